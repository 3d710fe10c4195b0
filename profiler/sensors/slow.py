"""Sources that take long to ask: another program, or a meter across the network.

They are asked once a period at most. Under a sampler that happens in a thread of the sampler's
process, and a tick takes what has arrived since the last; each reading keeps the time at which it
was taken, and none is handed out twice. Elsewhere whoever reads waits for the answer.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Sequence
from time import perf_counter

from profiler.result import AbsentSource
from profiler.sensors.base import Channel, Quantity, Reading, Source


class SlowSource:
    """A source in front of another that is not to be asked more often than once a period.

    Args:
        source: its ``read`` may take long; it is called by one thread at a time.
        period_seconds: between the beginnings of two reads.
        background: read in a thread that begins with the first ``read``.
        clock: seconds, monotonic.
        missing: as of ``ProbeSource``.
    """

    def __init__(
        self,
        source: Source,
        period_seconds: float,
        *,
        background: bool,
        clock: Callable[[], float] = perf_counter,
        missing: Sequence[AbsentSource] = (),
    ) -> None:
        self.missing = tuple(missing)
        self._source = source
        self._period = period_seconds
        self._background = background
        self._clock = clock
        self._lock = threading.Lock()
        self._arrived: list[Reading] = []
        self._last: list[Reading] = []
        self._due: float | None = None
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._quantities = {channel.key: channel.quantity for channel in source.channels}

    @property
    def name(self) -> str:
        return self._source.name

    @property
    def channels(self) -> tuple[Channel, ...]:
        return self._source.channels

    def read(self, only: Collection[Quantity] | None = None) -> list[Reading]:
        """See ``Source.read``; in the background, only what is new."""
        if not self._background:
            return [r for r in self._waited() if self._wanted(r, only)]
        if self._thread is None:
            self._thread = threading.Thread(target=self._follow, name=self.name, daemon=True)
            self._thread.start()
        with self._lock:
            found = [r for r in self._arrived if self._wanted(r, only)]
            self._arrived = [r for r in self._arrived if not self._wanted(r, only)]
        return found

    def close(self) -> None:
        """End the thread; a question that is under way is waited for, up to its own time-out."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
        self._source.close()

    def _waited(self) -> list[Reading]:
        now = self._clock()
        if self._due is None or now >= self._due:
            self._due = now + self._period
            self._last = self._source.read()
        return self._last

    def _wanted(self, reading: Reading, only: Collection[Quantity] | None) -> bool:
        return only is None or self._quantities[reading.channel] in only

    def _follow(self) -> None:
        due = self._clock()
        while not self._ended.wait(max(0.0, due - self._clock())):
            # A read that took longer than a period is not caught up with.
            due = max(due + self._period, self._clock())
            readings = self._read_or_failed()
            with self._lock:
                self._arrived += readings

    def _read_or_failed(self) -> list[Reading]:
        """A thread that ended would look like a sensor that has nothing new."""
        try:
            return self._source.read()
        except Exception as error:  # noqa: BLE001 - whatever it is, it is what the readings say
            now, text = self._clock(), f"{type(error).__name__}: {error}"
            return [
                Reading(channel=channel.key, seconds=now, value=None, error=text)
                for channel in self.channels
            ]
