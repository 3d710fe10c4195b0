"""A function in a fresh process that shares the parent's imports.

``fork`` after the engine's libraries were imported, and before any tensor work, starts a process in
about 15 ms where an import takes seconds. The child's answer comes back as JSON over a pipe.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import traceback
from collections.abc import Callable
from time import perf_counter
from typing import TypeVar

from pydantic import ValidationError

from profiler.allocation import classify
from profiler.base import Frozen
from profiler.errors import (
    DeviceError,
    ModelError,
    OutOfMemory,
    RunFailure,
    RunTimeout,
    Unsupported,
)
from profiler.process import die_with_parent
from profiler.result import FailureKind

FAILURES: dict[FailureKind, type[RunFailure]] = {
    kind.kind: kind for kind in (ModelError, DeviceError, RunTimeout, OutOfMemory, Unsupported)
}

# The pause between two looks at a child, and the share of a CPU that looking may take.
WATCH_SECONDS = 0.005
WATCH_SHARE = 0.1

Answer = TypeVar("Answer", bound=Frozen)


class _Failure(Frozen):
    failure: FailureKind
    message: str


def describe_exit(status: int, what: str) -> RunFailure:
    """The typed failure of a child that ended without an answer, from its wait status."""
    if not os.WIFSIGNALED(status):
        return ModelError(f"{what} ended itself with exit code {os.waitstatus_to_exitcode(status)}")
    number = os.WTERMSIG(status)
    # Most real-time signals have no name.
    name = signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"
    if number == signal.SIGKILL:
        return OutOfMemory(f"{what} was killed (SIGKILL), as the kernel does when memory runs out")
    return ModelError(f"{what} crashed with {name}")


def call_in_child(
    function: Callable[[], Answer],
    answer: type[Answer],
    what: str,
    watch: Callable[[int], None] | None = None,
) -> Answer:
    """Run ``function`` in a forked child and return its answer.

    Args:
        function: runs in the child.
        answer: the type to parse the child's answer as.
        what: names the child in messages, such as ``repetition 2``.
        watch: called in this process with the child's pid, again and again until it answers. It
            must not raise, and nothing should be timed meanwhile.

    Raises:
        RunFailure: the child raised, crashed, was killed or answered nonsense.
    """
    reader, writer = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        _child(function, writer)
    os.close(writer)
    try:
        if watch is not None:
            _watch(reader, pid, watch)
        raw = _read(reader)
    finally:
        os.close(reader)
    _, status = os.waitpid(pid, 0)
    if status != 0:
        raise describe_exit(status, what)
    return _parse(raw, answer, what)


def _watch(reader: int, pid: int, watch: Callable[[int], None]) -> None:
    """Until the child's answer begins, or its end."""
    poll = select.poll()
    poll.register(reader, select.POLLIN)
    pause = WATCH_SECONDS
    while not poll.poll(pause * 1000):
        start = perf_counter()
        watch(pid)
        # Where looking takes long, it is done less often: it must not take a CPU from the child.
        pause = max(WATCH_SECONDS, (perf_counter() - start) / WATCH_SHARE)


def _read(reader: int) -> bytes:
    chunks = []
    while chunk := os.read(reader, 1 << 16):
        chunks.append(chunk)
    return b"".join(chunks)


def _parse(raw: bytes, answer: type[Answer], what: str) -> Answer:
    mark, body = raw[:1], raw[1:]
    try:
        if mark == b"+":
            return answer.model_validate_json(body)
        failure = _Failure.model_validate_json(body)
    except ValidationError as error:
        raise ModelError(f"{what} ended without an answer") from error
    raise FAILURES.get(failure.failure, ModelError)(failure.message)


def _keep_to_this_process(writer: int) -> None:
    """A process that the model starts must not hold the answer's end open, or nobody sees it."""
    is_open = True

    def close() -> None:
        nonlocal is_open
        # Once: the number may be another file's in the children of that process.
        if is_open:
            is_open = False
            with contextlib.suppress(OSError):
                os.close(writer)

    os.register_at_fork(after_in_child=close)


def _child(function: Callable[[], Answer], writer: int) -> None:
    """Never returns: the child must not run on into its parent's code."""
    code = 1
    try:
        die_with_parent()
        # The parent's own input is not the model's to read: the worker's next command is in it.
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.close(null)
        _keep_to_this_process(writer)
        try:
            message = b"+" + function().model_dump_json().encode()
        except BaseException as error:  # noqa: BLE001 - all of it goes to the parent, typed
            if not isinstance(error, RunFailure):
                traceback.print_exc()
            failure = classify(error)
            text = str(failure)
            message = b"-" + _Failure(failure=failure.kind, message=text).model_dump_json().encode()
        with os.fdopen(writer, "wb") as pipe:
            pipe.write(message)
        code = 0
    finally:
        try:
            # A model may have closed or replaced either; that is no way out of here.
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            # No atexit handlers: they belong to the parent, and an engine's may hang.
            os._exit(code)
