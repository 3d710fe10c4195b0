"""A function in a fresh process: its answer comes back, and so does every way to go wrong."""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest

from profiler.base import Frozen
from profiler.errors import (
    DeviceError,
    ModelError,
    OutOfMemory,
    RunFailure,
    RunTimeout,
    Unsupported,
)
from profiler.forked import FAILURES, call_in_child, describe_exit
from profiler.result import FailureKind
from profiler.worker_process import describe_code


class Number(Frozen):
    value: int


def call(function: Callable[[], Number]) -> Number:
    return call_in_child(function, Number, "the test")


def raising(error: BaseException) -> Callable[[], Number]:
    def function() -> Number:
        raise error

    return function


def test_the_answer_is_the_childs() -> None:
    found = call(lambda: Number(value=os.getpid()))
    assert found.value != os.getpid()


def test_a_large_answer_does_not_block() -> None:
    class Long(Frozen):
        text: str

    assert len(call_in_child(lambda: Long(text="x" * 1_000_000), Long, "it").text) == 1_000_000


def test_an_exception_is_the_models(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ModelError, match=r"^ValueError: wrong shape$"):
        call(raising(ValueError("wrong shape")))
    # For the end of stderr that the result shows.
    assert "Traceback" in capfd.readouterr().err


@pytest.mark.parametrize("kind", [ModelError, DeviceError, RunTimeout, OutOfMemory, Unsupported])
def test_a_typed_failure_keeps_its_kind_and_its_text(
    kind: type[RunFailure], capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(RunFailure, match="as it was said") as caught:
        call(raising(kind("as it was said")))
    assert type(caught.value) is kind
    assert str(caught.value) == "as it was said"
    assert "Traceback" not in capfd.readouterr().err


def test_every_kind_that_a_child_can_send_has_its_class() -> None:
    assert set(FAILURES) == set(FailureKind) - {FailureKind.LOST}


@pytest.mark.parametrize("error", [SystemExit(0), KeyboardInterrupt(), GeneratorExit()])
def test_not_even_an_exit_passes_for_an_answer(error: BaseException) -> None:
    with pytest.raises(ModelError, match=type(error).__name__):
        call(raising(error))


def killed_by(number: int) -> Callable[[], Number]:
    def function() -> Number:
        # Python's own handlers must not be asked.
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
        signal.pause()
        raise AssertionError("unreachable")

    return function


@pytest.mark.parametrize("name", ["SIGSEGV", "SIGABRT", "SIGILL", "SIGFPE", "SIGBUS"])
def test_a_crash_is_the_models_and_names_its_signal(name: str) -> None:
    with pytest.raises(ModelError, match=f"the test crashed with {name}"):
        call(killed_by(getattr(signal, name)))


def test_a_kill_is_the_kernels_for_want_of_memory() -> None:
    def function() -> Number:
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("unreachable")

    with pytest.raises(OutOfMemory, match="SIGKILL"):
        call(function)


def test_a_signal_without_a_name_is_told_by_its_number() -> None:
    number = signal.SIGRTMIN + 3
    assert str(number) in str(describe_exit(number, "the test"))


def exiting(code: int) -> Callable[[], Number]:
    def function() -> NoReturn:
        os._exit(code)

    return function


def test_an_exit_code_is_told() -> None:
    with pytest.raises(ModelError, match="exit code 3"):
        call(exiting(3))


def test_an_exit_without_an_answer_is_no_success() -> None:
    with pytest.raises(ModelError, match="without an answer"):
        call(exiting(0))


def test_an_answer_of_another_type_is_nonsense() -> None:
    class Other(Frozen):
        text: str

    with pytest.raises(ModelError, match="without an answer"):
        call(lambda: Other(text="x"))  # type: ignore[arg-type, return-value]


def test_nothing_of_the_parent_runs_in_the_child(tmp_path: Path) -> None:
    trail = tmp_path / "ran"

    def leave_a_trail() -> None:
        trail.write_text("x", encoding="ascii")

    atexit.register(leave_a_trail)
    try:
        try:
            assert call(lambda: Number(value=1)).value == 1
            with pytest.raises(ModelError):
                call(raising(ValueError("x")))
        finally:
            here = os.getpid()
    finally:
        atexit.unregister(leave_a_trail)
    assert not trail.exists()
    assert here == os.getpid()


@pytest.mark.parametrize("broken", ["closed", "gone", "full"])
def test_a_broken_stdout_does_not_let_the_child_out(broken: str, tmp_path: Path) -> None:
    """Were the child let out, it would go on in this very test, as a second pytest."""

    def function() -> Number:
        if broken == "closed":
            sys.stdout.close()
        elif broken == "gone":
            sys.stdout = None
        else:
            sys.stdout = open("/dev/full", "w", encoding="ascii")  # noqa: PTH123, SIM115
            print("something to flush")
        return Number(value=1)

    parent = os.getpid()
    try:
        answer = call(function)
    finally:
        if os.getpid() != parent:
            os._exit(99)
    assert answer.value == 1


def test_what_the_child_prints_is_not_lost(capfd: pytest.CaptureFixture[str]) -> None:
    def function() -> Number:
        print("from the model", end="")
        return Number(value=1)

    call(function)
    assert capfd.readouterr().out == "from the model"


def test_what_the_parent_had_not_flushed_comes_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "out"
    with path.open("w", encoding="ascii") as file:
        monkeypatch.setattr(sys, "stdout", file)
        print("once", end="")
        call(lambda: Number(value=1))
        monkeypatch.undo()
    assert path.read_text(encoding="ascii") == "once"


def test_a_process_that_the_model_leaves_behind_does_not_hold_its_answer_up(
    tmp_path: Path,
) -> None:
    ended, status = tmp_path / "ended", tmp_path / "status"

    def leave() -> NoReturn:
        # Gets the number that the pipe had, and must keep it in a process of its own.
        own = os.open(os.devnull, os.O_RDONLY)
        pid = os.fork()
        if pid == 0:
            with contextlib.suppress(OSError):
                os.fstat(own)
                os._exit(0)
            os._exit(1)
        status.write_text(str(os.waitpid(pid, 0)[1]), encoding="ascii")
        time.sleep(10)
        ended.touch()
        os._exit(0)

    def function() -> Number:
        pid = os.fork()
        if pid == 0:
            leave()
        while not (status.exists() and status.read_text(encoding="ascii")):
            time.sleep(0.001)
        return Number(value=pid)

    left = call(function).value
    assert not ended.exists()
    os.kill(left, signal.SIGKILL)
    assert status.read_text(encoding="ascii") == "0"


def test_a_child_is_watched_until_it_answers() -> None:
    seen: list[int] = []

    def function() -> Number:
        time.sleep(0.1)
        return Number(value=os.getpid())

    found = call_in_child(function, Number, "the test", seen.append)
    assert set(seen) == {found.value}


def test_a_child_that_ends_at_once_needs_no_look() -> None:
    with pytest.raises(ModelError, match="exit code 3"):
        call_in_child(exiting(3), Number, "the test", lambda _: None)


@pytest.mark.parametrize(
    ("code", "kind", "text"),
    [
        (-9, OutOfMemory, "SIGKILL"),
        (-11, ModelError, "SIGSEGV"),
        (3, ModelError, "exit code 3"),
        (0, ModelError, "exit code 0"),
    ],
)
def test_subprocess_codes_are_described_alike(code: int, kind: type, text: str) -> None:
    found = describe_code(code, "the worker")
    assert type(found) is kind
    assert text in str(found)


def test_what_the_parent_is_told_is_not_the_childs_to_read() -> None:
    program = (
        "import os, sys\n"
        "from profiler.base import Frozen\n"
        "from profiler.forked import call_in_child\n"
        "class Seen(Frozen):\n"
        "    count: int\n"
        "print(call_in_child(lambda: Seen(count=len(os.read(0, 100))), Seen, 'it').count)\n"
        "print(call_in_child(lambda: Seen(count=len(sys.stdin.read())), Seen, 'it').count)\n"
        "print(sys.stdin.readline().strip())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], input="the next command\n", capture_output=True,
        text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.stdout.split("\n")[:3] == ["0", "0", "the next command"], done.stderr
