"""Ends a worker that takes too much memory before the whole device suffers."""

from __future__ import annotations

import re
from pathlib import Path

import psutil

from profiler.errors import OutOfMemory

# What the rest of the device keeps: this share of its memory, and no less than this many bytes.
RESERVE_SHARE = 0.03
RESERVE_BYTES = 64 * 1024 * 1024


def available_and_total(proc: Path = Path("/proc")) -> tuple[int, int] | None:
    """``MemAvailable`` and ``MemTotal`` in bytes, or ``None`` where the kernel does not tell."""
    text = (proc / "meminfo").read_text(encoding="ascii")
    values = dict(re.findall(r"^(MemAvailable|MemTotal):\s*(\d+) kB", text, re.MULTILINE))
    if len(values) < 2:  # noqa: PLR2004 - both are needed
        return None
    return int(values["MemAvailable"]) * 1024, int(values["MemTotal"]) * 1024


def tree_rss(pid: int) -> int:
    """Resident bytes of a process and its descendants; shared pages are counted once each."""
    try:
        process = psutil.Process(pid)
        family = [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0
    total = 0
    for member in family:
        try:
            total += member.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total


class MemoryGuard:
    """Checks a worker against its own limit and against what the device has left."""

    def __init__(self, pid: int, limit_bytes: int | None, proc: Path = Path("/proc")) -> None:
        self._pid = pid
        self._limit = limit_bytes
        self._proc = proc

    def check(self) -> None:
        """Raises:
        OutOfMemory: the worker must end now.
        """
        if self._limit is not None:
            used = tree_rss(self._pid)
            if used > self._limit:
                raise OutOfMemory(
                    f"the worker held {used / 2**20:.0f} MiB, over the limit of "
                    f"{self._limit / 2**20:.0f} MiB"
                )
        memory = available_and_total(self._proc)
        if memory is None:
            return
        available, total = memory
        if available < max(RESERVE_BYTES, RESERVE_SHARE * total):
            raise OutOfMemory(
                f"the device had {available / 2**20:.0f} MiB of {total / 2**20:.0f} MiB left"
            )
