"""How finely this device can measure at all: its noise floor, what limits it, and what would help.

A fixed piece of work is timed alone for some seconds, in blocks, while the kernel is asked what
came in between. From that follow the smallest difference between two runs that can be told here,
and the causes that keep it from being smaller.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path
from time import perf_counter_ns
from types import ModuleType
from typing import TYPE_CHECKING

from profiler.base import Frozen, StrEnum
from profiler.device.environment import virtualization
from profiler.device.preflight import read_preflight
from profiler.errors import InputError
from profiler.noise.neighbours import Neighbour, Processes, busiest, running
from profiler.result import Interval, Preflight
from profiler.timing import Clock

if TYPE_CHECKING:
    from profiler.noise.trace import Block, Watch
    from profiler.sentinel import Work

FULL_SECONDS = 10.0
QUICK_SECONDS = 3.0
# Fewer blocks than this say nothing about how blocks differ.
LEAST_SECONDS = 1.0
# The resolvable difference is given for runs of this length: what `fleetmark run` takes by default.
RUN_SECONDS = 10.0

# The stop rule's own goal is ±1 %; a device below it does not limit what fleetmark claims. Above
# 5 % even the differences that people buy hardware for disappear.
QUIET = 0.01
USABLE = 0.05


class Verdict(StrEnum):
    QUIET = "quiet"
    USABLE = "usable"
    NOISY = "noisy"


class Limit(StrEnum):
    """Which of the figures the verdict rests on.

    ``spread``: slices of the same work differ. ``resolution``: so do whole runs.
    ``lost_time``: the work is kept from running, so that its latency is also someone else's.
    ``unknown``: the device wanders more slowly than was measured.
    """

    SPREAD = "spread"
    RESOLUTION = "resolution"
    LOST_TIME = "lost_time"
    UNKNOWN = "unknown"


class CauseName(StrEnum):
    NEIGHBOURS_INSIDE = "neighbours_inside"
    NEIGHBOURS_OUTSIDE = "neighbours_outside"
    SMT = "smt"
    THERMAL = "thermal"
    UNDERVOLTAGE = "undervoltage"
    GOVERNOR = "governor"
    TURBO = "turbo"
    MIXED_CPUS = "mixed_cpus"
    BATTERY = "battery"
    MEMORY = "memory"
    NOTHING_FOUND = "nothing_found"


class Cause(Frozen):
    """Something that makes this device noisy: what shows it, and what to do about it."""

    name: CauseName
    evidence: str
    remedy: str


class NoiseFigures(Frozen):
    """What was seen. Shares and relative values are 0 … 1; ``None``: the kernel does not tell.

    Attributes:
        seconds: measured, in ``blocks`` with ``slices`` of the work.
        slice_seconds: median of a slice.
        spread: interquartile range of the slices, relative to their median.
        tail: 99th percentile of the slices over their median.
        within_blocks: interquartile range within a block, relative; the median block's.
        between_blocks: interquartile range of the blocks' medians, relative.
        drift: change of the blocks' medians from the first to the last, relative.
        resolvable: smallest difference of two runs of ``resolvable_seconds`` that can be told.
        run_delay_share: of the time, waiting for a CPU that another program of this system had.
        run_delay_correlation: of a block's mean slice with its run-queue delay.
        neighbour_share: of the time beyond the pace of undisturbed slices, such waiting.
        undisturbed_blocks: blocks with next to no such waiting, and ``spread_undisturbed`` theirs.
        steal_share: of the CPU time that this system wanted, what the hypervisor gave to others.
        cpu_pressure_share: of the time, some program waited for a CPU (PSI).
        memory_pressure_share: of the time, some program waited for memory (PSI).
        other_load_share: of the machine's CPU time, what other programs used.
        cpu_time_variation: CPU time of the same work, from the slow to the fast blocks, relative;
            waiting is not in it, so it tells of clocks, caches and hypervisors.
        involuntary_switches: times that the work was put aside for another program.
        clock_hertz: median clock of the CPU that worked, and ``clock_variation`` as above.
        clock_change: of the clock, from the first quarter of the time to the last, relative.
        mixed_cpus: it ran on CPUs whose highest clocks differ.
        throttled: the hardware or firmware slowed the CPU down meanwhile.
        undervoltage: the firmware saw too low a supply voltage meanwhile.
    """

    seconds: float
    blocks: int
    slices: int
    slice_seconds: float
    spread: float
    tail: float
    within_blocks: float
    between_blocks: float
    drift: Interval | None
    resolvable: float | None
    resolvable_reason: str | None = None
    resolvable_seconds: float
    run_delay_share: float | None
    run_delay_correlation: float | None
    neighbour_share: float | None
    undisturbed_blocks: int | None
    spread_undisturbed: float | None
    steal_share: float | None
    cpu_pressure_share: float | None
    memory_pressure_share: float | None
    other_load_share: float | None
    cpu_time_variation: float
    involuntary_switches: int
    clock_hertz: float | None
    clock_variation: float | None
    clock_change: float | None
    mixed_cpus: bool | None
    temperature_start_celsius: float | None
    temperature_end_celsius: float | None
    throttled: bool | None
    undervoltage: bool | None


class NoiseFloor(Frozen):
    """The device's noise floor, judged and explained.

    Attributes:
        kind: of the work; floors of different kinds cannot be compared.
        floor: the largest of spread, resolvable difference and lost time; ``None``: not known.
        limit: which of them that is.
    """

    kind: str
    verdict: Verdict
    floor: float | None
    limit: Limit
    figures: NoiseFigures
    causes: tuple[Cause, ...]
    neighbours: tuple[Neighbour, ...]
    virtual: bool
    preflight: Preflight


def measure_noise(
    work: Work,
    seconds: float = FULL_SECONDS,
    *,
    root: Path = Path("/"),
    watch: Watch | None = None,
    clock: Clock = perf_counter_ns,
    processes: Callable[[], Processes] = running,
    nvml: ModuleType | None = None,
    on_progress: Callable[[float], None] | None = None,
) -> NoiseFloor:
    """Time ``work`` alone and explain what disturbs it. Takes ``seconds`` and a half.

    Args:
        work: one slice of a fixed piece of work, about a millisecond.
        seconds: for how long.
        root: of the filesystem that describes the device.
        watch: reads what the kernel counts; ``None`` is one for this process.
        clock: monotonic, nanoseconds.
        processes: lists what runs, and the CPU time that it has used.
        nvml: see ``read_preflight``.
        on_progress: is told the seconds that are over, between blocks.

    Raises:
        InputError: that is too short a time.
    """
    from profiler.noise.trace import Watch, record  # NumPy; not on the way to --help

    if not LEAST_SECONDS <= seconds < float("inf"):
        raise InputError(
            "seconds", seconds, "is no time to measure a noise floor in",
            f"Give it {LEAST_SECONDS:g} s or more; {FULL_SECONDS:g} s is usual",
        )  # fmt: skip
    preflight = read_preflight(root, nvml=nvml)
    watch = watch or Watch(root)
    collected = gc.isenabled()
    gc.collect()
    # A collection in mid-slice would be taken for the device's noise.
    gc.disable()
    try:
        before, begin = processes(), clock()
        blocks = record(work, seconds, watch, clock, on_progress)
        others = busiest(before, processes(), (clock() - begin) / 1e9)
    finally:
        watch.close()
        if collected:
            gc.enable()
    return judge(work.kind, blocks, others, preflight, virtual=virtualization(root) is not None)


def judge(
    kind: str,
    blocks: list[Block],
    neighbours: tuple[Neighbour, ...],
    preflight: Preflight,
    *,
    virtual: bool,
) -> NoiseFloor:
    """Figures, verdict and causes of what was recorded. Pure.

    Args:
        kind: of the work.
        blocks: as ``record`` gives them.
        neighbours: other programs that used the CPUs meanwhile.
        preflight: the device's state before.
        virtual: whether this is a virtual machine.
    """
    from profiler.noise.causes import find_causes
    from profiler.noise.figures import summarise

    figures = summarise(blocks, RUN_SECONDS)
    floor, limit = noise_floor(figures)
    verdict = verdict_on(floor)
    return NoiseFloor(
        kind=kind,
        verdict=verdict,
        floor=floor,
        limit=limit,
        figures=figures,
        causes=find_causes(figures, neighbours, preflight, virtual=virtual, verdict=verdict),
        neighbours=neighbours,
        virtual=virtual,
        preflight=preflight,
    )


def noise_floor(figures: NoiseFigures) -> tuple[float | None, Limit]:
    """The figure that the verdict rests on."""
    if figures.resolvable is None:
        return None, Limit.UNKNOWN
    lost = (figures.run_delay_share or 0.0) + (figures.steal_share or 0.0)
    return max(
        (figures.spread, Limit.SPREAD),
        (figures.resolvable, Limit.RESOLUTION),
        (lost, Limit.LOST_TIME),
    )


def verdict_on(floor: float | None) -> Verdict:
    if floor is None or floor >= USABLE:
        return Verdict.NOISY
    return Verdict.QUIET if floor < QUIET else Verdict.USABLE
