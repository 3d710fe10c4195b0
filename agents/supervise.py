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
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

from profiler.base import Frozen
from profiler.errors import FleetmarkError

# Long enough for a raylet to sign off at the head, so that its node is not waited for as dead.
TERM_SECONDS = 3.0
LOG_TAIL_LINES = 15


class ProcessMark(Frozen):
    """Identifies a process for sure: a pid alone may have been given to another one."""

    pid: int
    created: float


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
        """Start it in a session of its own, its output in ``log``."""
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
        created = psutil.Process(child.pid).create_time()
        return cls(ProcessMark(pid=child.pid, created=created), child)

    @classmethod
    def adopt(cls, mark: ProcessMark) -> RayProcess | None:
        """Take over one that outlived its supervisor, if it still runs."""
        found = cls(mark, None)
        return found if found.running() else None

    def running(self) -> bool:
        if self._child is not None:
            return self._child.poll() is None
        try:
            process = psutil.Process(self.mark.pid)
            same = abs(process.create_time() - self.mark.created) < 1.0
            return same and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False

    def stop(self) -> None:
        """End every process of the session: asked first, killed after ``TERM_SECONDS``."""
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
        """Pids in the session, zombies aside; of another session with a recycled id, none."""
        if self._child is None and not self.running():
            return []
        members = []
        for pid in psutil.pids():
            try:
                if os.getsid(pid) != self.mark.pid:
                    continue
                if psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                    members.append(pid)
            except (ProcessLookupError, psutil.NoSuchProcess, PermissionError):
                continue
        return members


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def short_runtime_dir(owner: Path) -> Path:
    """Where Ray keeps its sockets: short, since a socket's path holds 107 bytes, and private.

    Raises:
        FleetmarkError: the directory belongs to somebody else.
    """
    name = hashlib.sha256(str(owner.resolve()).encode()).hexdigest()[:10]
    path = Path("/tmp") / f"fleetmark-{os.getuid()}-{name}"  # noqa: S108 - checked below
    path.mkdir(mode=0o700, exist_ok=True)
    status = path.lstat()
    if path.is_symlink() or status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise FleetmarkError(f"{path} exists and is not a private directory of ours; remove it")
    return path


def log_tail(log: Path) -> str:
    """The end of a log, for an error message."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    return "\n".join(lines[-LOG_TAIL_LINES:])
