"""The loop of the sampler's process: tick, read, keep."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Collection, Sequence
from time import perf_counter, process_time

from profiler.result import SamplerReport
from profiler.sensors.base import Quantity, Source
from profiler.sensors.recorder import Recorder
from profiler.sensors.schedule import Schedule
from profiler.sensors.trace import Series

# These change within seconds at the fastest, and some drivers take milliseconds to tell them.
SLOW = frozenset({Quantity.TEMPERATURE, Quantity.MEMORY_TOTAL})
FAST = frozenset(Quantity) - SLOW
SLOW_PERIOD_SECONDS = 1.0

# What a watch is shown of the past.
RECENT_SECONDS = 120.0

# Is given what makes the recent readings, and the time. It runs between two ticks: be quick.
Watch = Callable[[Callable[[], Sequence[Series]], float], None]

# Off the workload's CPUs only where there are more than two.
_MIN_CPUS_TO_MOVE = 3


def sampler_cpus(allowed: Collection[int], workload: Collection[int]) -> frozenset[int]:
    """The CPUs for the sampler: those that the workload leaves, or all where there is no choice."""
    others = frozenset(allowed) - frozenset(workload)
    if len(allowed) >= _MIN_CPUS_TO_MOVE and workload and others:
        return others
    return frozenset(allowed)


class Sampling:
    """Reads sources at ``hertz``, from one period after it was made.

    Args:
        sources: open; read in this order at every tick.
        hertz: ticks per second.
        clock: seconds, monotonic.
        watch: is shown the readings after every tick.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        hertz: float,
        clock: Callable[[], float] = perf_counter,
        watch: Watch | None = None,
    ) -> None:
        self.recorder = Recorder([c for source in sources for c in source.channels])
        self.schedule = Schedule(clock(), 1 / hertz)
        self._sources = tuple(sources)
        self._clock = clock
        self._watch = watch
        self._slow_due = -math.inf

    def run(self, stopped: Callable[[float], bool], ready: Callable[[], None]) -> None:
        """Tick until told to stop; read once more then, so that the last moment is covered.

        Args:
            stopped: waits at most so many seconds; tells whether the end was asked for.
            ready: called once, after the first tick.
        """
        ticks = 0
        while not stopped(max(0.0, self.schedule.due - self._clock())):
            self.tick()
            ticks += 1
            if ticks == 1:
                ready()
        self._read(None)

    def tick(self) -> None:
        """Read the fast quantities, and once a second the slow ones as well."""
        now = self._clock()
        self.schedule.ran(now)
        if now >= self._slow_due:
            self._slow_due = now + SLOW_PERIOD_SECONDS
            self._read(None)
        else:
            self._read(FAST)
        if self._watch is not None:
            self._watch(lambda: self.recorder.recent(now - RECENT_SECONDS), now)

    def report(self) -> SamplerReport:
        """What was read and what it cost this process so far."""
        return SamplerReport(
            readings=self.recorder.readings,
            failed_readings=self.recorder.failed,
            missed_ticks=self.schedule.missed,
            largest_gap_seconds=self.schedule.largest_gap_seconds,
            cpu_seconds=process_time(),
            cpu_affinity=tuple(sorted(os.sched_getaffinity(0))),
            sources=tuple(source.name for source in self._sources),
        )

    def _read(self, only: Collection[Quantity] | None) -> None:
        for source in self._sources:
            self.recorder.add(source.read(only))
