"""How much of the machine others used while a run was measured."""

from __future__ import annotations

import os
import resource
from pathlib import Path

from profiler.base import Frozen


class CpuTimes(Frozen):
    """Seconds: the machine's busy CPU time, its total, and that of this process and its children.

    ``busy`` counts stolen time too: another virtual machine disturbs as another process does.
    """

    busy: float
    total: float
    own: float


def parse_stat(text: str, ticks_per_second: float) -> tuple[float, float]:
    """Busy and total CPU seconds of all CPUs from ``/proc/stat``."""
    # user nice system idle iowait irq softirq steal; guest time is inside user already
    values = [int(field) for field in text.splitlines()[0].split()[1:9]]
    idle = values[3] + values[4]
    return (sum(values) - idle) / ticks_per_second, sum(values) / ticks_per_second


def read_cpu_times(proc: Path = Path("/proc")) -> CpuTimes:
    ticks = float(os.sysconf("SC_CLK_TCK"))
    busy, total = parse_stat((proc / "stat").read_text(encoding="ascii"), ticks)
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return CpuTimes(busy=busy, total=total, own=sum(u.ru_utime + u.ru_stime for u in usages))


def other_share(before: CpuTimes, after: CpuTimes) -> float:
    """Share (0 … 1) of the machine's CPU time that others used between two readings.

    ``/proc/stat`` counts in ticks of 10 ms, so over short spans the share is kept within 0 … 1.
    """
    total = after.total - before.total
    if total <= 0:
        return 0.0
    others = (after.busy - before.busy) - (after.own - before.own)
    return min(1.0, max(0.0, others / total))
