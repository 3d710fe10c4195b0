"""Which other programs of this system used its CPUs, between two looks."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import NamedTuple

from profiler.base import Frozen

# Of one CPU; what used less disturbed nobody.
LEAST_SHARE = 0.01
MOST_LISTED = 20


class Process(NamedTuple):
    """A process at one moment.

    ``started`` tells it from a later one with the same number. ``cpu_seconds`` includes those of
    its children that have ended, so that a compiler's many short processes count as their parent's.
    """

    name: str
    started: float
    parent: int
    cpu_seconds: float


Processes = Mapping[int, Process]


class Neighbour(Frozen):
    """Another program; ``cpu_share`` is of one CPU, so that two busy threads make 2."""

    pid: int
    name: str
    cpu_share: float


def running() -> dict[int, Process]:
    """All processes that can be seen from here but this one."""
    import psutil  # not on the way to --help

    found = {}
    for process in psutil.process_iter(["name", "create_time", "ppid", "cpu_times"]):
        info = process.info
        times = info["cpu_times"]
        # Who may not be looked at, or has just ended, has None there.
        if process.pid != os.getpid() and times is not None:
            found[process.pid] = Process(
                name=info["name"] or "?",
                started=info["create_time"] or 0.0,
                parent=info["ppid"] or 0,
                cpu_seconds=sum(times[:4]),  # user, system, and both of the children that ended
            )
    return found


def busiest(before: Processes, after: Processes, seconds: float) -> tuple[Neighbour, ...]:
    """Who used most CPU time between two looks, busiest first.

    Args:
        before: the first look.
        after: the second.
        seconds: between them.
    """
    if seconds <= 0:
        return ()
    used = {pid: process.cpu_seconds for pid, process in after.items()}
    for pid, process in before.items():
        # What it had used before is no longer of interest, wherever it is counted now.
        heir = _heir(pid, before, after)
        if heir is not None:
            used[heir] -= process.cpu_seconds
    found = [
        Neighbour(pid=pid, name=after[pid].name, cpu_share=cpu_seconds / seconds)
        for pid, cpu_seconds in used.items()
        if cpu_seconds / seconds >= LEAST_SHARE
    ]
    return tuple(sorted(found, key=lambda n: -n.cpu_share)[:MOST_LISTED])


def _heir(pid: int, before: Processes, after: Processes) -> int | None:
    """The process itself, or the nearest ancestor that is still there."""
    seen: set[int] = set()
    while pid in before and pid not in seen:
        if pid in after and after[pid].started == before[pid].started:
            return pid
        seen.add(pid)
        pid = before[pid].parent
    return None
