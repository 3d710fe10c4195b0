"""A ``ray start --block`` that is started, watched, adopted after a restart, and ended whole.

Used by the coordinator for the head and by a device's daemon for its raylet. Ray spawns helpers in
process groups of their own, but all of them stay in the session of the ``ray start`` process: the
session is what is ended.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from profiler.base import Frozen
from profiler.errors import FleetmarkError

# Long enough for a raylet to sign off at the head, so that its node is not waited for as dead.
TERM_SECONDS = 3.0
LOG_TAIL_LINES = 15


BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class ProcessMark(Frozen):
    """Identifies a process for sure: a pid alone may have been given to another one.

    Attributes:
        boot_id: of the boot that the process belongs to.
        start_ticks: since that boot, and not by the clock: a board without a battery sets its
            clock while it runs, and the start of every process would seem to have moved.
    """

    pid: int
    boot_id: str
    start_ticks: int


def parse_stat(text: str) -> tuple[str, int]:
    """State and start of a process from ``/proc/PID/stat``, as ``man 5 proc`` numbers them."""
    # The name of the program, in parentheses, may itself hold blanks and parentheses.
    fields = text.rpartition(")")[2].split()
    return fields[3 - 3], int(fields[22 - 3])


def mark_of(pid: int) -> ProcessMark | None:
    """The mark of a running process; ``None`` when there is none, or a zombie."""
    try:
        state, mark = _state_and_mark(pid)
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if state in {"Z", "X"} else mark


def _state_and_mark(pid: int) -> tuple[str, ProcessMark]:
    """Raises:
    FileNotFoundError: there is no such process, as ``ProcessLookupError`` in mid-reading.
    """
    text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    state, ticks = parse_stat(text)
    boot_id = BOOT_ID.read_text(encoding="ascii").strip()
    return state, ProcessMark(pid=pid, boot_id=boot_id, start_ticks=ticks)


def ray_command() -> str:
    """Path of the ``ray`` command beside this Python.

    Raises:
        FleetmarkError: Ray is not installed.
    """
    beside = Path(sys.executable).with_name("ray")
    found = str(beside) if beside.exists() else shutil.which("ray")
    if found is None:
        raise FleetmarkError("Ray is not installed here: pip install 'fleetmark[agent]'")
    return found


def ray_environment(base: Mapping[str, str], token_path: Path) -> dict[str, str]:
    """Environment of every process that talks to our Ray cluster."""
    return dict(base) | {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(token_path),
        "RAY_USAGE_STATS_ENABLED": "0",
        # Ray's memory monitor kills its own workers first: that would be the agent. Our worker
        # offers itself to the kernel instead, and the session guards what the device has left.
        "RAY_memory_monitor_refresh_ms": "0",
        "PYTHONUNBUFFERED": "1",
    }


class RayProcess:
    """One supervised ``ray start --block``."""

    def __init__(self, mark: ProcessMark, child: subprocess.Popen[bytes] | None) -> None:
        self.mark = mark
        self._child = child

    @classmethod
    def start(
        cls, arguments: Sequence[str], environment: Mapping[str, str], log: Path
    ) -> RayProcess:
        """Start it in a session of its own, its output in ``log``.

        Raises:
            FleetmarkError: Ray is not installed.
        """
        command = [ray_command(), "start", "--block", "--disable-usage-stats", *arguments]
        with log.open("wb") as file:
            child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                env=dict(environment),
                start_new_session=True,
            )
        # Also of one that has ended already: it is ours to wait for, so the number is still its.
        _, mark = _state_and_mark(child.pid)
        return cls(mark, child)

    @classmethod
    def adopt(cls, mark: ProcessMark) -> RayProcess | None:
        """Take over one that outlived its supervisor, if it still runs."""
        found = cls(mark, None)
        return found if found.running() else None

    def running(self) -> bool:
        if self._child is not None:
            return self._child.poll() is None
        return mark_of(self.mark.pid) == self.mark

    def stop(self) -> None:
        """End every process of the session: asked first, killed after ``TERM_SECONDS``."""
        if self._child is None and not self.running():
            # Adopted, and gone since: the number may be another session's by now.
            return
        for signal_number, seconds in ((signal.SIGTERM, TERM_SECONDS), (signal.SIGKILL, 5.0)):
            members = self._session()
            for member in members:
                _signal(member, signal_number)
            deadline = time.monotonic() + seconds
            while self._session() and time.monotonic() < deadline:
                time.sleep(0.05)
            if not self._session():
                break
        if self._child is not None:
            self._child.wait()

    def _session(self) -> list[int]:
        """Pids in the session, zombies aside. While there are any, the number stays the session's,
        whether its leader lives or not.
        """
        members = []
        for pid in psutil.pids():
            try:
                if os.getsid(pid) != self.mark.pid:
                    continue
            except (ProcessLookupError, PermissionError):
                continue
            if mark_of(pid) is not None:
                members.append(pid)
        return members


def _signal(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def short_runtime_dir(owner: Path) -> Path:
    """Where Ray keeps its sockets: short, since a socket's path holds 107 bytes, and private.

    Raises:
        FleetmarkError: the directory belongs to somebody else.
    """
    name = hashlib.sha256(str(owner.resolve()).encode()).hexdigest()[:10]
    path = Path("/tmp") / f"fleetmark-{os.getuid()}-{name}"  # noqa: S108 - checked below
    with suppress(FileExistsError):
        path.mkdir(mode=0o700)
    status = path.lstat()
    foreign = status.st_uid != os.getuid() or status.st_mode & 0o077
    if foreign or not stat.S_ISDIR(status.st_mode):
        raise FleetmarkError(f"{path} exists and is not a private directory of ours; remove it")
    return path


def fresh_runtime_dir(owner: Path, name: str) -> Path:
    """A part of the runtime directory for Ray to begin in; what an earlier one left is removed.

    Sockets and logs of every session would pile up otherwise; the last one's stay until then.
    """
    path = short_runtime_dir(owner) / name
    shutil.rmtree(path, ignore_errors=True)
    return path


def remove_runtime_dir(owner: Path) -> None:
    """Leave nothing in ``/tmp``, once Ray has ended."""
    shutil.rmtree(short_runtime_dir(owner), ignore_errors=True)


def log_tail(log: Path) -> str:
    """The end of a log, for an error message."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    return "\n".join(lines[-LOG_TAIL_LINES:])
