"""What other work on the device did to the measured one, as the kernel counts it.

A neighbour inside the system shows in the run-queue delay of the worker's threads: the time that
they were ready to run and waited for a CPU (``/proc/PID/task/TID/schedstat``, second field; see
Documentation/scheduler/sched-stats.rst). One behind a hypervisor shows in the steal time, or in
neither, when it takes cache and memory bandwidth only: that is what the sentinel is for.
"""

from __future__ import annotations

import os
import re
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


class Counters(Frozen):
    """Running totals at one moment. ``None``: this kernel does not count it.

    Attributes:
        run_delay_ns: of all threads of this process, together.
        steal_ns: of all CPUs, together.
        pressure_ns: time in which some task of the machine waited for a CPU.
        involuntary_switches: of this process.
    """

    run_delay_ns: int | None
    steal_ns: int | None
    pressure_ns: int | None
    involuntary_switches: int


def run_delay_ns(proc: Path = Path("/proc")) -> int | None:
    """Run-queue delay of this process's threads, summed; 9 µs for four threads."""
    total = 0
    try:
        tasks = os.listdir(proc / "self/task")  # noqa: PTH208 - a Path for each is slower
    except OSError:
        return None
    for task in tasks:
        try:
            with open(f"{proc}/self/task/{task}/schedstat", "rb") as file:  # noqa: PTH123
                total += int(file.read().split()[1])
        except FileNotFoundError:
            # The thread ended since the listing, or the kernel has no schedstats at all.
            if not os.path.exists(f"{proc}/self/schedstat"):  # noqa: PTH110
                return None
        except (OSError, ValueError, IndexError):
            return None
    return total


def steal_ns(proc: Path = Path("/proc")) -> int | None:
    """Time stolen from all CPUs together, from ``/proc/stat``, in ticks of 10 ms."""
    try:
        fields = (proc / "stat").read_text(encoding="ascii").split("\n", 1)[0].split()
        return int(int(fields[8]) * 1e9 / os.sysconf("SC_CLK_TCK"))
    except (OSError, ValueError, IndexError):
        return None


def pressure_ns(proc: Path = Path("/proc")) -> int | None:
    """``some`` total of ``/proc/pressure/cpu`` (Documentation/accounting/psi.rst: in µs)."""
    try:
        text = (proc / "pressure/cpu").read_text(encoding="ascii")
    except OSError:
        return None
    found = re.search(r"^some .*\btotal=(\d+)", text, re.MULTILINE)
    return int(found.group(1)) * 1000 if found else None


def read_counters(proc: Path = Path("/proc")) -> Counters:
    return Counters(
        run_delay_ns=run_delay_ns(proc),
        steal_ns=steal_ns(proc),
        pressure_ns=pressure_ns(proc),
        involuntary_switches=resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw,
    )
