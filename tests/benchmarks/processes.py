"""What processes cost while nothing is asked of them, from ``/proc``."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from profiler.base import Frozen

# What of a command line tells whose process it is, and what it is called here.
NAMES = (
    ("agents.cli.main coordinator", "fleetmark coordinator"),
    ("agents.cli.main agent", "fleetmark agent (daemon)"),
    ("ray::DeviceAgent", "DeviceAgent (actor)"),
    ("ray start", "ray start"),
    ("raylet/raylet", "raylet"),
    ("gcs/gcs_server", "GCS"),
    ("ray::DashboardAgent", "dashboard agent"),
    ("dashboard/agent.py", "dashboard agent"),
    ("ray::RuntimeEnvAgent", "runtime-env agent"),
    ("runtime_env/agent", "runtime-env agent"),
    ("dashboard/dashboard.py", "dashboard"),
    ("log_monitor.py", "log monitor"),
    ("_private/monitor.py", "autoscaler monitor"),
    ("default_worker.py", "Ray worker"),
)


class Memory(Frozen):
    """Resident bytes, and the proportional share of those that other processes map too."""

    rss_bytes: int
    pss_bytes: int


class ProcessCost(Frozen):
    """One process over the window. ``cpu_share`` is of one core."""

    name: str
    pid: int
    rss_bytes: int
    pss_bytes: int
    cpu_share: float


def parse_smaps_rollup(text: str) -> Memory:
    """``/proc/PID/smaps_rollup``.

    Raises:
        ValueError: it has no such lines.
    """
    found = dict(re.findall(r"^(Rss|Pss):\s+(\d+) kB$", text, re.MULTILINE))
    if set(found) != {"Rss", "Pss"}:
        raise ValueError("no Rss and Pss in it")
    return Memory(rss_bytes=int(found["Rss"]) * 1024, pss_bytes=int(found["Pss"]) * 1024)


def parse_cpu_ticks(text: str) -> int:
    """utime + stime of ``/proc/PID/stat``. The command's name may hold spaces and parentheses."""
    fields = text.rpartition(")")[2].split()
    # proc(5) numbers them from 1, and pid and comm come before: 14 and 15 are 11 and 12 here.
    return int(fields[11]) + int(fields[12])


def name_of(command_line: str) -> str:
    """What a process is called in the table."""
    for part, name in NAMES:
        if part in command_line:
            return name
    words = command_line.split()
    return Path(words[0]).name if words else "(kernel or gone)"


def _command_line(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")


def _cpu_seconds(pids: list[int]) -> dict[int, float]:
    """Of the processes that are there."""
    ticks = os.sysconf("SC_CLK_TCK")
    found = {}
    for pid in pids:
        try:
            text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            continue
        found[pid] = parse_cpu_ticks(text) / ticks
    return found


@dataclass(frozen=True)
class Idle:
    """The window: how long it was, who was there all the time, and how many came or went."""

    seconds: float
    costs: list[ProcessCost]
    changed: int


def watch(pids: Callable[[], list[int]], seconds: float) -> Idle:
    """What the processes of ``pids`` cost during ``seconds``."""
    begin = time.perf_counter()
    before = _cpu_seconds(pids())
    time.sleep(seconds)
    elapsed = time.perf_counter() - begin
    after = _cpu_seconds(pids())
    stayed = sorted(before.keys() & after.keys())
    costs = []
    for pid in stayed:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
        costs.append(
            ProcessCost(
                name=name_of(_command_line(pid)),
                pid=pid,
                cpu_share=(after[pid] - before[pid]) / elapsed,
                **parse_smaps_rollup(rollup).model_dump(),
            )
        )
    return Idle(elapsed, costs, len(before.keys() ^ after.keys()))
