"""Processes that are held still go on again, whatever becomes of who held them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from profiler.overhead.pause import Paused

# Until a test gives up. It asserts nothing: a machine that others use may take long for anything.
PATIENCE_SECONDS = 120


@pytest.fixture
def subject() -> Iterator[psutil.Process]:
    process = subprocess.Popen([sys.executable, "-c", "import time\nwhile 1: time.sleep(0.01)"])
    yield psutil.Process(process.pid)
    process.kill()
    process.wait()


def until(process: psutil.Process, *, stopped: bool) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (process.status() == psutil.STATUS_STOPPED) is not stopped:
        assert time.monotonic() < deadline, process.status()
        time.sleep(0.005)


def test_stop_and_resume(subject: psutil.Process) -> None:
    with Paused([subject.pid]) as paused:
        paused.stop()
        until(subject, stopped=True)
        paused.resume()
        until(subject, stopped=False)


def test_leaving_lets_it_go(subject: psutil.Process) -> None:
    with pytest.raises(RuntimeError, match="in the middle"), Paused([subject.pid]) as paused:  # noqa: PT012
        paused.stop()
        until(subject, stopped=True)
        raise RuntimeError("in the middle")
    until(subject, stopped=False)


def test_kill_9_of_the_holder_lets_it_go(subject: psutil.Process, tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    program = (
        "import pathlib, sys, time\n"
        "from profiler.overhead.pause import Paused\n"
        f"with Paused([{subject.pid}]) as paused:\n"
        "    paused.stop()\n"
        f"    pathlib.Path({str(ready)!r}).touch()\n"
        "    time.sleep(60)\n"
    )
    holder = subprocess.Popen([sys.executable, "-c", program], start_new_session=True)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not ready.exists():
        assert time.monotonic() < deadline
        time.sleep(0.005)
    until(subject, stopped=True)
    os.killpg(holder.pid, signal.SIGKILL)
    holder.wait()
    until(subject, stopped=False)


def test_one_that_has_ended_is_left_out() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    with Paused([process.pid]) as paused:
        paused.stop()
        paused.resume()


def test_no_guard_is_left_behind(subject: psutil.Process) -> None:
    # By their ids: one that another test left may end meanwhile.
    before = children()
    with Paused([subject.pid]):
        (guard,) = children() - before
    assert guard not in children()


def children() -> set[int]:
    return {child.pid for child in psutil.Process().children()}
