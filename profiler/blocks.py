"""The timed part of a repetition: blocks of iterations, and what is done between them.

Nothing is done between two iterations of a block but to read the clock. Between blocks there is
time to read the kernel's counters, to time the sentinel, to tell how far it is, and to judge
whether it is enough. The first iteration after such a pause finds colder caches than the others; in
blocks of more than a few it only leads in.
"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter_ns
from typing import Any

import numpy as np

from profiler.contention import Counters, read_counters
from profiler.samples import Blocks, Iterations, Recording, SentinelSlices
from profiler.sentinel import Sentinel
from profiler.stamps import Stamps
from profiler.timing import Clock, DeviceTimer, timed_block, timed_block_on_device

BLOCK_NS = 250_000_000
# From so many iterations in a block on, its first one is not counted.
LEAD_IN_FROM = 8


class TimedBlocks:
    """Times a call in blocks and keeps what was seen.

    Args:
        call: one inference.
        synchronize: waits for the accelerator, or ``None``.
        timer: of the accelerator; ``None`` leaves its own time out.
        sentinel: timed between blocks; ``None`` leaves it out.
        pause: called between blocks, after all else; ``None``: the next one follows at once.
        counters: reads the kernel's counters.
        clock: monotonic, nanoseconds.
    """

    def __init__(
        self,
        call: Callable[[], Any],
        synchronize: Callable[[], None] | None,
        *,
        timer: DeviceTimer | None = None,
        sentinel: Sentinel | None = None,
        pause: Callable[[], None] | None = None,
        counters: Callable[[], Counters] = read_counters,
        clock: Clock = perf_counter_ns,
    ) -> None:
        self.stamps = Stamps()
        self.device_ns: list[int] = []
        self.lead_in: list[int] = []
        self._call = call
        self._synchronize = synchronize
        self._timer = timer
        self._sentinel = sentinel
        self._pause = pause
        self._read = counters
        self._clock = clock
        self._spans: list[tuple[int, int]] = []
        self._counters: list[Counters] = []

    def run(self, seconds: float, enough: Callable[[Stamps], bool]) -> None:
        """Time blocks until the time is over or ``enough`` says so; at least one iteration."""
        end = self._clock() + int(seconds * 1e9)
        while True:
            self._block(min(self._clock() + BLOCK_NS, end))
            if enough(self.stamps) or self._clock() >= end:
                return
            if self._pause is not None:
                self._pause()

    def _block(self, until_ns: int) -> None:
        first = len(self.stamps)
        before = self._read()
        self._time(until_ns)
        after = self._read()
        if len(self.stamps) - first >= LEAD_IN_FROM:
            self.lead_in.append(first)
        self._spans.append((self.stamps[first][0], self.stamps[-1][1]))
        self._counters += [before, after]
        if self._sentinel is not None:
            self._sentinel.between()

    def _time(self, until_ns: int) -> None:
        call, wait, stamps = self._call, self._synchronize, self.stamps
        if self._timer is None:
            timed_block(call, wait, until_ns, stamps, self._clock)
        else:
            timer, found = self._timer, self.device_ns
            timed_block_on_device(call, wait, timer, until_ns, stamps, found, self._clock)

    def counted(self) -> Stamps:
        """The stamps without those that only led in."""
        kept = np.ones(len(self.stamps), dtype=np.bool_)
        kept[self.lead_in] = False
        return Stamps.of(self.stamps.start_ns()[kept], self.stamps.end_ns()[kept])

    def recording(self, repetition: int, warmup: Stamps) -> Recording:
        """All of it, as columns."""
        slices = self._sentinel.slices if self._sentinel is not None else []
        return Recording(
            Iterations.from_stamps(repetition, warmup, self.stamps, self.lead_in, self.device_ns),
            Blocks.of(repetition, self._spans, self._counters[::2], self._counters[1::2]),
            SentinelSlices.of(repetition, slices),
        )
