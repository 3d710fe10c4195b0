"""A child that is to die with its parent does, and one whose parent is gone already does too."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys

import pytest

from profiler.process import die_with_parent

DEADLINE_SECONDS = 60.0

# Prints the grandchild's pid once the wish is in place; the grandchild holds stdout open.
PARENT = """
import os, sys, time
from profiler.process import die_with_parent
ready, told = os.pipe()
me = os.getpid()
if os.fork() == 0:
    die_with_parent(parent=me)
    os.write(told, b"x")
    while True:
        time.sleep(60)
os.read(ready, 1)
sys.stdout.write("ready\\n")
sys.stdout.flush()
time.sleep(600)
"""


def test_a_killed_parent_takes_its_child_along() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"ready\n"
        parent.kill()
        # The child holds the other end: end of file means that it is gone.
        readable, _, _ = select.select([parent.stdout], [], [], DEADLINE_SECONDS)
        assert readable
        assert os.read(parent.stdout.fileno(), 1) == b""


def test_a_parent_that_is_gone_before_the_call_is_noticed() -> None:
    pid = os.fork()
    if pid == 0:
        die_with_parent(signal.SIGTERM, parent=-1)
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    assert os.WIFSIGNALED(status)
    assert os.WTERMSIG(status) == signal.SIGTERM


def test_a_living_parent_leaves_the_child_alone() -> None:
    me = os.getpid()
    pid = os.fork()
    if pid == 0:
        die_with_parent(parent=me)
        os._exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7


def test_a_signal_that_does_not_exist_is_refused() -> None:
    with pytest.raises(OSError, match="PR_SET_PDEATHSIG, 4711"):
        die_with_parent(4711)


def test_elsewhere_it_does_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    die_with_parent(4711)
