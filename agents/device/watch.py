"""Reads the sensors of an idle device once a second.

A scrape finds what was read last, so that it costs the device the same whoever asks and however
often, and counters that wrap are read often enough. While a run is measured nothing is read here,
lest the device be disturbed: the run's own sampler does that, and a scrape finds what it read last.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from time import perf_counter, thread_time
from typing import NamedTuple

from agents.exporter import EnergyCount, SensorRead, ThrottledCount
from profiler.base import Frozen
from profiler.sensors.base import Channel, Quantity, Reading, Source
from profiler.sensors.counts import EnergyCounter, FlagCounter
from profiler.sensors.newest import STALE_SECONDS, Newest, NewestOfSource

log = logging.getLogger(__name__)

PERIOD_SECONDS = 1.0
# Of one core, for reading: sources that take more CPU time are read less often.
MAX_CPU_SHARE = 0.004
LONGEST_PERIOD_SECONDS = 30.0


class Readings(Frozen):
    """What was read last; no ``readings`` while a run is on the device and no sampler reads."""

    channels: tuple[Channel, ...]
    readings: tuple[Reading, ...]
    energy: tuple[EnergyCount, ...]
    throttled: tuple[ThrottledCount, ...]
    sensors: tuple[SensorRead, ...]


class _LastRead(NamedTuple):
    failed: int
    duration_seconds: float


class SensorWatch:
    """The sources of a device and what they said last; safe between threads.

    Args:
        sources: open; they stay so.
        newest: what the samplers of runs have read.
        clock: ``perf_counter``.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        newest: Callable[[], Newest | None] = lambda: None,
        clock: Callable[[], float] = perf_counter,
    ) -> None:
        self._sources = sources
        self._newest = newest
        self._clock = clock
        self._lock = threading.Lock()
        self._last: dict[str, Reading] = {}
        self._reads: dict[str, _LastRead] = {}
        self._failed = Counter({source.name: 0 for source in sources})
        self._failed_in_runs: Counter[str] = Counter()
        self._read_at = float("-inf")
        self._following = False
        self._channels = {c.key: c for source in sources for c in source.channels}
        self._energy = {
            key: EnergyCounter(channel)
            for key, channel in self._channels.items()
            if channel.quantity is Quantity.ENERGY
        }
        self._flags = {
            key: FlagCounter()
            for key, channel in self._channels.items()
            if channel.quantity is Quantity.THROTTLED_NOW
        }

    def read(self) -> None:
        """Read every source once."""
        if self._following:
            # What the last run's sampler counted until its end.
            self.follow()
            self._following = False
        for source in self._sources:
            start = self._read_at = self._clock()
            found = source.read()
            seconds = self._clock() - start
            with self._lock:
                self._keep(source.name, found, seconds)

    def _keep(self, name: str, found: list[Reading], seconds: float) -> None:
        if not found and name in self._reads:
            # A slow source has nothing new: it is as well as it was.
            return
        failed = sum(reading.value is None for reading in found)
        self._failed[name] += failed
        self._reads[name] = _LastRead(failed, seconds)
        for reading in found:
            self._last[reading.channel] = reading
            if reading.channel in self._energy:
                self._energy[reading.channel].add(reading)
            if reading.channel in self._flags:
                self._flags[reading.channel].add(reading)

    def follow(self) -> None:
        """Take what a run's sampler read, if it reads now. Until then what was read here stands
        for a moment, as long as the sampler's last word does.
        """
        self._following = True
        newest = self._newest()
        fresh = self._clock() - STALE_SECONDS
        with self._lock:
            if self._read_at < fresh or (newest is not None and newest.seconds >= fresh):
                self._last.clear()
                self._reads.clear()
            if newest is None:
                return
            for key, count in newest.counted.items():
                counter = self._energy.get(key) or self._flags.get(key)
                if counter is not None:
                    counter.counted_elsewhere(count)
            self._failed_in_runs.update(
                {name: n - self._failed_in_runs[name] for name, n in newest.failed.items()}
            )
            if newest.seconds >= fresh:
                for source in newest.sources:
                    self._take(source)

    def _take(self, found: NewestOfSource) -> None:
        self._last.update((reading.channel, reading) for reading in found.readings)
        self._reads[found.source] = _LastRead(found.failed, found.duration_seconds)

    def readings(self) -> Readings:
        with self._lock:
            return Readings(
                channels=tuple(self._channels.values()),
                readings=tuple(self._last.values()),
                energy=tuple(
                    EnergyCount(source=c.source, channel=c.label, joules=counter.total)
                    for key, counter in self._energy.items()
                    for c in [self._channels[key]]
                ),
                throttled=tuple(self._throttled()),
                sensors=tuple(self._sensor(source.name) for source in self._sources),
            )

    def _sensor(self, name: str) -> SensorRead:
        read = self._reads.get(name)
        return SensorRead(
            source=name,
            failed=read.failed if read else None,
            duration_seconds=read.duration_seconds if read else None,
            failed_total=self._failed[name] + self._failed_in_runs[name],
        )

    def _throttled(self) -> list[ThrottledCount]:
        found = []
        for key, channel in self._channels.items():
            seconds: float | None = None
            if channel.quantity is Quantity.THROTTLED:
                last = self._last.get(key)
                seconds = last.value if last is not None else None
            elif key in self._flags:
                seconds = self._flags[key].total
            if seconds is not None:
                found.append(
                    ThrottledCount(
                        source=channel.source,
                        channel=channel.label,
                        reason=channel.cause.value if channel.cause is not None else "",
                        seconds=seconds,
                    )
                )
        return found


class WatchThread(threading.Thread):
    """Keeps a watch up to date for as long as the process lives.

    Args:
        watch: what to read.
        idle: set while no run is on the device.
    """

    def __init__(self, watch: SensorWatch, idle: threading.Event) -> None:
        super().__init__(name="sensors", daemon=True)
        self._watch = watch
        self._idle = idle
        self._stop_asked = threading.Event()

    def run(self) -> None:
        # At once, the load since the sources were opened could not be told yet.
        pause = PERIOD_SECONDS
        while not self._stop_asked.wait(pause):
            if not self._idle.is_set():
                self._watch.follow()
                # Not a wake-up until the device is idle again.
                self._idle.wait()
                continue
            used = thread_time()
            try:
                self._watch.read()
            except Exception:
                # A plug-in's source that breaks its promise must not end the readings of others.
                log.exception("the sensors could not be read; trying again")
            pause = period(thread_time() - used)

    def stop(self) -> None:
        self._stop_asked.set()
        self._idle.set()
        self.join()


def period(cpu_seconds: float) -> float:
    """The pause after a round of readings that took so much CPU time."""
    return min(max(PERIOD_SECONDS, cpu_seconds / MAX_CPU_SHARE), LONGEST_PERIOD_SECONDS)
