"""A fixed piece of work timed in blocks, and what the kernel counted in each of them.

Sources of the counts: the Linux kernel's ``Documentation/scheduler/sched-stats.rst`` (schedstat),
``Documentation/accounting/psi.rst``, ``proc(5)``; thermal_throttle of
``arch/x86/kernel/cpu/mce/therm_throt.c``; the Raspberry Pi firmware's ``get_throttled`` (Raspberry
Pi documentation, "vcgencmd").
"""

from __future__ import annotations

import re
import resource
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from os import sysconf
from pathlib import Path
from time import perf_counter_ns, process_time_ns
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from profiler.contention import run_delay_ns
from profiler.device.preflight import CPU
from profiler.result import AbsentSource
from profiler.sensors.base import Source
from profiler.sensors.probe import first_line, numbered, parse_count
from profiler.sensors.site import Site
from profiler.sensors.system import CpuTimes, open_thermal, parse_cpu_times
from profiler.stamps import Stamps
from profiler.timing import Clock, timed_block

if TYPE_CHECKING:
    from profiler.sentinel import Work

# As the timed blocks of a run, so that what is seen here is what a run sees.
BLOCK_NS = 250_000_000
# Caches, the clock and the governor come up to speed; none of it is the noise of a steady run.
LEAD_IN_NS = 500_000_000

_GET_THROTTLED = "sys/devices/platform/soc/soc:firmware/get_throttled"
# Bits of what is so now; 16 and up are of what was so since boot.
_UNDERVOLTAGE = 0x1
_CAPPED_OR_THROTTLED = 0x2 | 0x4 | 0x8
# Fields of /proc/PID/stat behind the command's name in parentheses: field 39 is the CPU.
_PROCESSOR_AFTER_NAME = 36


@dataclass(frozen=True)
class Block:
    """Slices in a row, and what was counted meanwhile. ``None``: not counted here.

    Attributes:
        start_ns: of the first slice; ``end_ns`` of the last.
        slices_ns: how long each slice took.
        cpu_seconds: CPU time of this process.
        run_delay_seconds: its threads were ready to run and waited for a CPU.
        machine_seconds: CPU time of all CPUs together, and of it ``busy_seconds`` and
            ``stolen_seconds``.
        cpu: that it ran on at the end, that CPU's clock then, and the highest that it can do.
    """

    start_ns: int
    end_ns: int
    slices_ns: NDArray[np.int64]
    cpu_seconds: float
    involuntary_switches: int
    run_delay_seconds: float | None = None
    machine_seconds: float | None = None
    busy_seconds: float | None = None
    stolen_seconds: float | None = None
    cpu_pressure_seconds: float | None = None
    memory_pressure_seconds: float | None = None
    cpu: int | None = None
    clock_hertz: float | None = None
    highest_clock_hertz: float | None = None
    temperature_celsius: float | None = None
    throttled: bool | None = None
    undervoltage: bool | None = None

    @property
    def seconds(self) -> float:
        return (self.end_ns - self.start_ns) / 1e9


@dataclass(frozen=True)
class Moment:
    """Running totals and states between two blocks."""

    cpu_ns: int
    involuntary_switches: int
    run_delay_ns: int | None
    cpu_times: CpuTimes | None
    cpu_pressure_us: int | None
    memory_pressure_us: int | None
    cpu: int | None
    clock_hertz: float | None
    highest_clock_hertz: float | None
    temperature_celsius: float | None
    throttle_events: int | None
    firmware_state: int | None


class Watch:
    """Reads all that may explain why a block was slow; about 0.2 ms a reading.

    Args:
        root: of the filesystem that describes the device.
        cpu_clock: CPU time of this process, nanoseconds.
    """

    def __init__(
        self, root: Path = Path("/"), cpu_clock: Callable[[], int] = process_time_ns
    ) -> None:
        self._root = root
        self._cpu_clock = cpu_clock
        thermal = open_thermal(Site.at(root))
        self._thermal: Source | None = None if isinstance(thermal, AbsentSource) else thermal
        self._throttle_files = [
            path
            for cpu in numbered(root / CPU, "cpu")
            for path in sorted((cpu / "thermal_throttle").glob("*_throttle_count"))
        ]

    def read(self) -> Moment:
        root = self._root
        cpu = _current_cpu(root)
        cpufreq = root / CPU / f"cpu{cpu}" / "cpufreq"
        return Moment(
            # The clock first: it is that of the work, and falls as soon as the work pauses.
            clock_hertz=_kilohertz(cpufreq / "scaling_cur_freq"),
            highest_clock_hertz=_kilohertz(cpufreq / "cpuinfo_max_freq"),
            cpu=cpu,
            cpu_ns=self._cpu_clock(),
            involuntary_switches=resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw,
            run_delay_ns=run_delay_ns(root / "proc"),
            cpu_times=_cpu_times(root),
            cpu_pressure_us=pressure_total(root, "cpu"),
            memory_pressure_us=pressure_total(root, "memory"),
            temperature_celsius=self._hottest(),
            throttle_events=self._throttle_events(),
            firmware_state=_firmware_state(root),
        )

    def close(self) -> None:
        if self._thermal is not None:
            self._thermal.close()

    def _hottest(self) -> float | None:
        readings = self._thermal.read() if self._thermal else []
        return max((r.value for r in readings if r.value is not None), default=None)

    def _throttle_events(self) -> int | None:
        counts = [_count(path) for path in self._throttle_files]
        known = [count for count in counts if count is not None]
        return sum(known) if known else None


def _count(path: Path) -> int | None:
    try:
        return parse_count(first_line(path) or "")
    except ValueError:
        return None


def _kilohertz(path: Path) -> float | None:
    found = _count(path)
    # A number that no clock has is no clock; 0 is what some drivers say of a CPU that is off.
    return 1000.0 * found if found and found < 1 << 40 else None


def _current_cpu(root: Path) -> int | None:
    after_name = (first_line(root / "proc/self/stat") or "").rpartition(")")[2].split()
    try:
        return int(after_name[_PROCESSOR_AFTER_NAME])
    except (IndexError, ValueError):
        return None


def _cpu_times(root: Path) -> CpuTimes | None:
    try:
        return parse_cpu_times(first_line(root / "proc/stat") or "")
    except ValueError:
        return None


def pressure_total(root: Path, what: str) -> int | None:
    """Microseconds in which some task waited for ``cpu``, ``memory`` or ``io``, since boot."""
    text = first_line(root / "proc/pressure" / what) or ""
    found = re.search(r"^some .*\btotal=(\d{1,18})\b", text, re.MULTILINE)
    return int(found.group(1)) if found else None


def _firmware_state(root: Path) -> int | None:
    try:
        return int(first_line(root / _GET_THROTTLED) or "", 16)
    except ValueError:
        return None


def record(
    work: Work,
    seconds: float,
    watch: Watch,
    clock: Clock = perf_counter_ns,
    on_progress: Callable[[float], None] | None = None,
) -> list[Block]:
    """Blocks of slices for this long, after a lead-in that is not kept.

    Args:
        work: one slice.
        seconds: for how long.
        watch: read between blocks.
        clock: monotonic, nanoseconds.
        on_progress: is told the seconds that are over, between blocks.
    """
    timed_block(work, None, clock() + LEAD_IN_NS, Stamps(), clock)
    blocks: list[Block] = []
    start = clock()
    end = start + int(seconds * 1e9)
    before = watch.read()
    while (now := clock()) < end:
        stamps = Stamps()
        timed_block(work, None, now + BLOCK_NS, stamps, clock)
        after = watch.read()
        blocks.append(block_of(stamps, before, after))
        before = after
        if on_progress is not None:
            on_progress((clock() - start) / 1e9)
    return blocks


def block_of(stamps: Stamps, before: Moment, after: Moment) -> Block:
    """The differences between two moments, beside the slices between them."""
    ticks = float(sysconf("SC_CLK_TCK"))
    busy = stolen = machine = None
    if before.cpu_times is not None and after.cpu_times is not None:
        # The kernel may take back some idle time, so no difference counts as negative.
        busy = max(0, after.cpu_times.busy - before.cpu_times.busy) / ticks
        stolen = max(0, after.cpu_times.stolen - before.cpu_times.stolen) / ticks
        idle = max(0, after.cpu_times.idle - before.cpu_times.idle) / ticks
        machine = busy + stolen + idle
    states = [s for s in (before.firmware_state, after.firmware_state) if s is not None]
    return Block(
        start_ns=stamps.starts[0],
        end_ns=stamps.ends[-1],
        slices_ns=stamps.latency_ns(),
        cpu_seconds=(after.cpu_ns - before.cpu_ns) / 1e9,
        involuntary_switches=after.involuntary_switches - before.involuntary_switches,
        run_delay_seconds=_passed(before.run_delay_ns, after.run_delay_ns, 1e-9),
        machine_seconds=machine,
        busy_seconds=busy,
        stolen_seconds=stolen,
        cpu_pressure_seconds=_passed(before.cpu_pressure_us, after.cpu_pressure_us, 1e-6),
        memory_pressure_seconds=_passed(before.memory_pressure_us, after.memory_pressure_us, 1e-6),
        cpu=after.cpu,
        clock_hertz=after.clock_hertz,
        highest_clock_hertz=after.highest_clock_hertz,
        temperature_celsius=after.temperature_celsius,
        throttled=_throttled(before, after, states),
        undervoltage=any(s & _UNDERVOLTAGE for s in states) if states else None,
    )


def _passed(before: int | None, after: int | None, unit: float) -> float | None:
    """A thread that ended takes its delay out of the sum: no difference counts as negative."""
    return None if before is None or after is None else max(0, after - before) * unit


def _throttled(before: Moment, after: Moment, states: Sequence[int]) -> bool | None:
    marks = [bool(state & _CAPPED_OR_THROTTLED) for state in states]
    if before.throttle_events is not None and after.throttle_events is not None:
        marks.append(after.throttle_events > before.throttle_events)
    return any(marks) if marks else None
