"""The loop of the sampler's process: every source on its own schedule, and none waits for another.

Sources that never block share the main thread: one wake-up for all of them is the cheapest. A
source that may block has a thread of its own, from its opening on. A read in a driver holds no
interpreter lock, so if it hangs, the others go on; at the end it is left behind.

All waits are ``select`` with a time-out, which is monotonic: locks and conditions with a time-out
wait by the wall clock on some Pythons, and that may be set while a run goes on.
"""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from time import perf_counter, process_time, sleep

from profiler.result import AbsentSource, SamplerReport
from profiler.sensors.base import Source
from profiler.sensors.cpus import Place
from profiler.sensors.newest import WRITE_SECONDS, NewestWriter
from profiler.sensors.recorder import Recorder
from profiler.sensors.rhythm import LISTEN_SECONDS, METERED, Rhythm, listen
from profiler.sensors.source_reader import SourceReader
from profiler.sensors.trace import Series

# What a watch is shown of the past.
RECENT_SECONDS = 120.0
# A wait may end this much early, by the rounding of times.
_EARLY_SECONDS = 1e-4
# Sources that do not open, or not answer, do not hold up who waits for the first readings.
_READY_SECONDS = 2.0
_LOOK_FOR_READY_SECONDS = 0.02
_WATCH_SECONDS = 0.25
_NOTHING_DUE_SECONDS = 3600.0
# For the last read of sources that have a thread.
_LAST_READ_SECONDS = 1.0

# Is given what makes the recent readings, and the time. It runs between two ticks: be quick.
Watch = Callable[[Callable[[], Sequence[Series]], float], None]
# Waits for at most so many seconds; tells whether the end was asked for. Used by all threads.
Stopped = Callable[[float], bool]


@dataclass(frozen=True)
class Opener:
    """How a source is opened, and whether that or its reads may block.

    ``listen``: how often it has a new value is measured before it is read.
    """

    name: str
    open: Callable[[], tuple[Sequence[Source], Sequence[AbsentSource]]]
    may_block: bool = True
    listen: bool = False


@dataclass
class _Lane:
    """What one opener gave. Written by the thread that opened it; seen by the main one."""

    name: str
    threaded: bool
    began: float
    readers: tuple[SourceReader, ...] = ()
    absent: tuple[AbsentSource, ...] = ()
    rhythms: tuple[Rhythm, ...] = ()
    opened: bool = False

    @property
    def ready(self) -> bool:
        return self.opened and all(reader.ticks for reader in self.readers)


class Sampling:
    """Reads sources at ``hertz``, or less often where their rates say so.

    Args:
        openers: of the sources, in the order in which they are read and told.
        hertz: ticks per second.
        clock: seconds, monotonic.
        watch: is shown the readings while they come.
        newest: tells other processes what was read last.

    Attributes:
        absent: after ``run``, the sources that could not be opened, those that still hang included.
    """

    def __init__(
        self,
        openers: Sequence[Opener],
        hertz: float,
        clock: Callable[[], float] = perf_counter,
        watch: Watch | None = None,
        newest: NewestWriter | None = None,
    ) -> None:
        self._openers = tuple(openers)
        self._hertz = hertz
        self._clock = clock
        self._watch = watch
        self._newest = newest
        self._begin = clock()
        listens = any(opener.listen for opener in openers)
        self._ready_seconds = _READY_SECONDS + (LISTEN_SECONDS if listens else 0.0)
        self._lanes = [_Lane(o.name, o.may_block, self._begin) for o in self._openers]
        self._readers: tuple[SourceReader, ...] = ()
        self.absent: tuple[AbsentSource, ...] = ()

    def run(self, stopped: Stopped, ready: Callable[[], None]) -> None:
        """Tick until told to stop; read once more then, so that the last moment is covered.

        Args:
            stopped: see ``Stopped``.
            ready: called once, when every source was read, or is not to be waited for.
        """
        ended, tell_ended = os.pipe()
        pairs = zip(self._openers, self._lanes, strict=True)
        # Those with a thread first: opening and listening to the others takes its time here.
        for opener, lane in sorted(pairs, key=lambda pair: not pair[1].threaded):
            self._begin_lane(opener, lane, stopped, tell_ended)
        self._main(stopped, ready)
        if self._wait_for_threads(ended):
            # Else one may still write: then the process, which is about to end, closes them.
            os.close(ended)
            os.close(tell_ended)
        # A source that opens now is too late: what was read and what is told must agree.
        self._readers = self._opened()
        self.absent = tuple(a for lane in self._lanes for a in self._absent(lane))
        for reader in self._readers:
            reader.close()

    @property
    def rhythms(self) -> tuple[Rhythm, ...]:
        """After ``run``: of the sources that were listened to."""
        return tuple(rhythm for lane in self._lanes if lane.readers for rhythm in lane.rhythms)

    @property
    def recorders(self) -> tuple[Recorder, ...]:
        """After ``run``: what was read, by source."""
        return tuple(reader.recorder for reader in self._readers)

    def report(self, place: Place) -> SamplerReport:
        """After ``run``: what was read and what it cost this process."""
        readers = self._readers
        reports = tuple(reader.report() for reader in readers)
        gaps = [
            report.largest_gap_seconds
            for report, reader in zip(reports, readers, strict=True)
            if reader.fast or not any(each.fast for each in readers)
        ]
        return SamplerReport(
            readings=sum(r.readings for r in reports),
            failed_readings=sum(r.failed_readings for r in reports),
            missed_ticks=sum(r.missed_ticks for r in reports),
            largest_gap_seconds=max(gaps, default=0.0),
            cpu_seconds=process_time(),
            cpu_affinity=tuple(sorted(place.cpus)),
            kept_off=place.kept_off,
            kept_off_reason=place.reason,
            sources=tuple(r.source for r in reports),
            by_source=reports,
        )

    def _opened(self) -> tuple[SourceReader, ...]:
        return tuple(reader for lane in self._lanes for reader in lane.readers)

    def _absent(self, lane: _Lane) -> tuple[AbsentSource, ...]:
        if lane.readers or lane.opened:
            return lane.absent
        seconds = self._clock() - lane.began
        return (
            AbsentSource(
                source=lane.name,
                reason=f"opening it has not come back for {seconds:.1f} s",
                remedy="its driver or device may hang; the kernel's log may say why (dmesg)",
                hangs=True,
            ),
        )

    # --- lanes -------------------------------------------------------------------------------

    def _begin_lane(self, opener: Opener, lane: _Lane, stopped: Stopped, tell_ended: int) -> None:
        if not lane.threaded:
            self._open(opener, lane)
            return

        def body() -> None:
            try:
                self._open(opener, lane)
                if lane.readers:
                    self._read_until(lane.readers, stopped)
            finally:
                # After the write nothing uses the pipe any more.
                os.write(tell_ended, b".")

        threading.Thread(target=body, name=opener.name, daemon=True).start()

    def _open(self, opener: Opener, lane: _Lane) -> None:
        try:
            sources, absent = opener.open()
        except Exception as error:  # noqa: BLE001 - one source that is broken costs no other
            reason = f"opening it failed: {type(error).__name__}: {error}"
            sources, absent = (), (AbsentSource(source=opener.name, reason=reason),)
        lane.absent = tuple(absent)
        if opener.listen:
            lane.rhythms = tuple(r for each in sources for r in self._listen(each))
        lane.readers = tuple(
            SourceReader(source, self._hertz, threaded=lane.threaded, clock=self._clock)
            for source in sources
        )
        lane.opened = True

    def _listen(self, source: Source) -> tuple[Rhythm, ...]:
        try:
            return listen(source, clock=self._clock, pause=sleep)
        except Exception as error:  # noqa: BLE001 - it is read all the same, which will tell
            reason = f"listening to it failed: {type(error).__name__}: {error}"
            return tuple(
                Rhythm(channel=channel.key, seconds=None, reason=reason)
                for channel in source.channels
                if channel.quantity in METERED
            )

    def _read_until(self, readers: Sequence[SourceReader], stopped: Stopped) -> None:
        while not stopped(self._until(readers, _NOTHING_DUE_SECONDS)):
            self._tick(readers)
        for reader in readers:
            reader.finish()

    def _until(self, readers: Sequence[SourceReader], most: float) -> float:
        due = min((reader.due for reader in readers), default=float("inf"))
        return min(max(0.0, due - self._clock()), most)

    def _tick(self, readers: Sequence[SourceReader]) -> None:
        now = self._clock()
        for reader in readers:
            if reader.due <= now + _EARLY_SECONDS:
                reader.tick()

    # --- the main thread ---------------------------------------------------------------------

    def _main(self, stopped: Stopped, ready: Callable[[], None]) -> None:
        readers = [r for lane in self._lanes if not lane.threaded for r in lane.readers]
        told = False
        while not stopped(self._until(readers, self._most(readers, told=told))):
            self._tick(readers)
            now = self._clock()
            if not told and (self._all_ready() or now - self._begin >= self._ready_seconds):
                told = True
                ready()
            if self._watch is not None:
                self._watch(partial(self._recent, now - RECENT_SECONDS), now)
            if self._newest is not None:
                self._newest(self._opened())
        for reader in readers:
            reader.finish()
        if self._newest is not None:
            # What it has counted is counted on by the next one.
            self._newest.write(self._opened())

    def _most(self, readers: Sequence[SourceReader], *, told: bool) -> float:
        """How long to sleep at most, whatever is due to be read."""
        if not told and not (readers and self._all_inline):
            return _LOOK_FOR_READY_SECONDS
        if self._watch is not None:
            return _WATCH_SECONDS
        return _NOTHING_DUE_SECONDS if self._newest is None else WRITE_SECONDS

    @property
    def _all_inline(self) -> bool:
        return not any(lane.threaded for lane in self._lanes)

    def _all_ready(self) -> bool:
        return all(lane.ready for lane in self._lanes)

    def _recent(self, since: float) -> tuple[Series, ...]:
        return tuple(series for reader in self._opened() for series in reader.recent(since))

    def _wait_for_threads(self, ended: int) -> bool:
        """Whether all of them ended in time."""
        deadline = self._clock() + _LAST_READ_SECONDS
        running = sum(lane.threaded for lane in self._lanes)
        while running:
            left = deadline - self._clock()
            if left <= 0 or not select.select([ended], [], [], left)[0]:
                return False
            running -= len(os.read(ended, running))
        return True
