"""One source under the sampler: read on its own schedule, with what that cost and where it failed.

A reader is driven by one thread. Another may ask for its readings and its report at any time, also
while a read does not come back.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Sequence
from time import perf_counter, thread_time

from profiler.result import SourceReport
from profiler.sensors.base import Channel, Quantity, Reading, Source
from profiler.sensors.newest import NewestOfSource
from profiler.sensors.rates import FAST, SLOW_PERIOD_SECONDS, period_seconds
from profiler.sensors.recorder import Recorder
from profiler.sensors.schedule import Schedule
from profiler.sensors.trace import Series

# A read that takes longer blocks. When in it the value was taken nobody knows: it is no reading.
BLOCKED_AFTER_SECONDS = 1.0


class SourceReader:
    """Reads one source.

    Args:
        source: open.
        hertz: what was asked for; the source may be read less often (``rates``).
        threaded: whether a thread of its own drives it.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        source: Source,
        hertz: float,
        *,
        threaded: bool = False,
        clock: Callable[[], float] = perf_counter,
    ) -> None:
        self.recorder = Recorder(source.channels)
        self.ticks = 0
        self._source = source
        self._threaded = threaded
        self._clock = clock
        self._lock = threading.Lock()
        period = period_seconds(source.name, source.channels, hertz)
        # The first tick comes early even where the others are a second apart.
        self._schedule = Schedule(clock() - (period - min(period, 1 / hertz)), period)
        self._half_period = period / 2
        self._slow_due: float | None = None
        self._reads = 0
        self._longest = 0.0
        self._last_of_all = 0.0
        self._blocked = 0.0
        self._cpu = 0.0
        self._reading_since: float | None = None
        self._error: str | None = None
        self._closed = False

    @property
    def due(self) -> float:
        """When the next tick is."""
        return self._schedule.due

    @property
    def channels(self) -> tuple[Channel, ...]:
        return self._source.channels

    @property
    def fast(self) -> bool:
        """Whether it has anything but slow quantities."""
        return any(channel.quantity in FAST for channel in self._source.channels)

    def tick(self) -> None:
        """Read the fast quantities, and once a second the slow ones as well."""
        now = self._clock()
        with self._lock:
            self._schedule.ran(now)
        slow = self._slow_due is None or now >= self._slow_due - self._half_period
        if slow:
            begin = now if self._slow_due is None else self._slow_due
            self._slow_due = max(begin, now - SLOW_PERIOD_SECONDS) + SLOW_PERIOD_SECONDS
        self._read(None if slow else FAST)
        self.ticks += 1

    def finish(self) -> None:
        """Read all once more, so that the last moment is covered."""
        self._read(None)

    def close(self) -> None:
        """Take nothing more; a read that does not come back is a failed one."""
        with self._lock:
            self._closed = True
            if self._reading_since is None:
                return
            seconds = self._clock() - self._reading_since
            self._error = f"a read has not come back for {seconds:.1f} s"
            self.recorder.add(self._failures(self._source.channels, self._error))

    def recent(self, since: float) -> tuple[Series, ...]:
        """The readings from ``since`` on."""
        with self._lock:
            return self.recorder.recent(since)

    def newest(self) -> NewestOfSource | None:
        """What was read last; ``None`` before anything was."""
        with self._lock:
            readings = self.recorder.newest()
            if not readings:
                return None
            return NewestOfSource(
                source=self._source.name,
                readings=readings,
                failed=sum(reading.value is None for reading in readings),
                duration_seconds=self._last_of_all,
                failed_total=self.recorder.failed,
            )

    def report(self) -> SourceReport:
        """What was read so far, and what it took."""
        with self._lock:
            now = self._clock()
            pending = 0.0 if self._reading_since is None else now - self._reading_since
            stuck = pending if pending >= BLOCKED_AFTER_SECONDS else 0.0
            return SourceReport(
                source=self._source.name,
                reads=self._reads,
                readings=self.recorder.readings,
                failed_readings=self.recorder.failed,
                missed_ticks=self._schedule.missed + (self._schedule.overdue(now) if stuck else 0),
                largest_gap_seconds=self._schedule.gap_seconds(now)
                if stuck
                else self._schedule.largest_gap_seconds,
                longest_read_seconds=max(self._longest, pending),
                blocked_seconds=self._blocked + stuck,
                cpu_seconds=self._cpu,
                own_thread=self._threaded,
                error=self._error,
            )

    def _read(self, only: Collection[Quantity] | None) -> None:
        begin, cpu = self._clock(), thread_time()
        with self._lock:
            self._reading_since = begin
        error = None
        readings: Sequence[Reading] = ()
        try:
            readings = self._source.read(only)
        except Exception as raised:  # noqa: BLE001 - a reader that is broken costs its own source only
            error = f"{type(raised).__name__}: {raised}"
        seconds = self._clock() - begin
        if seconds >= BLOCKED_AFTER_SECONDS:
            error = error or f"the read took {seconds:.1f} s"
        with self._lock:
            self._reading_since = None
            if self._closed:
                return
            self._reads += 1
            self._cpu += thread_time() - cpu
            self._longest = max(self._longest, seconds)
            if only is None:
                self._last_of_all = seconds
            if seconds >= BLOCKED_AFTER_SECONDS:
                self._blocked += seconds
            if error is not None:
                self._error = error
                readings = self._failures(self._wanted(only), error)
            self.recorder.add(readings)

    def _wanted(self, only: Collection[Quantity] | None) -> list[Channel]:
        return [c for c in self._source.channels if only is None or c.quantity in only]

    def _failures(self, channels: Sequence[Channel], error: str) -> list[Reading]:
        now = self._clock()
        return [Reading(channel=c.key, seconds=now, value=None, error=error) for c in channels]
