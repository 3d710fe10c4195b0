"""A small fixed piece of work that tells how fast the device is *now*.

Where a machine's own speed wanders (a shared cache, a hypervisor, a laptop's clock), a latency in
seconds is not reproducible, but its ratio to fixed work done at the same moment can be. The work is
a 3 × 3 convolution of a 64 × 64 image of 32 channels as nine matrix products, in NumPy: the
arithmetic of a small network, in the second-level cache, with no engine of ours or a user's in it.
Its products are too small for a BLAS to use threads, so that it leaves no pool spinning behind.

The work must never change under one name: ``kind`` carries a version and what it was computed with.
"""

from __future__ import annotations

from statistics import median
from time import perf_counter_ns
from typing import Protocol

import numpy as np

from profiler.timing import Clock

# <work>-<version of the work>
NAME = "convolution-1"

SIZE, CHANNELS, KERNEL = 64, 32, 3
# Timed at most for this share of the time between blocks, whatever a slice takes on the device.
SHARE = 0.01
# Slices before and after a repetition's timed part.
EDGE_SLICES = 7
# In one pause between blocks, where the share allows it: the first finds the model's data in the
# cache, and the median of a few jitters less than one.
MOST_BETWEEN = 5
# The first calls fault pages in and settle the BLAS.
LEAD_IN_SLICES = 3


class Work(Protocol):
    """Something to be timed; ``kind`` names it and what it is computed with."""

    @property
    def kind(self) -> str: ...

    def __call__(self) -> None: ...


class ConvolutionWork:
    """About 75 million floating-point operations on 1.6 MB; 1 to 2 ms on a server's core."""

    kind = f"{NAME}/numpy-{np.__version__}"

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        side = SIZE + KERNEL - 1
        self._image = rng.standard_normal((side, side, CHANNELS), dtype=np.float32)
        shape = (KERNEL, KERNEL, CHANNELS, CHANNELS)
        self._kernel = rng.standard_normal(shape, dtype=np.float32)
        self._product = np.empty((SIZE, SIZE, CHANNELS), dtype=np.float32)
        self._sum = np.empty_like(self._product)

    def __call__(self) -> None:
        self._sum.fill(0)
        for row in range(KERNEL):
            for column in range(KERNEL):
                window = self._image[row : row + SIZE, column : column + SIZE]
                np.matmul(window, self._kernel[row, column], out=self._product)
                np.add(self._sum, self._product, out=self._sum)


# (start, end) in nanoseconds.
Slices = list[tuple[int, int]]


class Sentinel:
    """Times slices of work, and no more often than its share allows.

    Args:
        work: what is timed.
        clock: monotonic, nanoseconds.
    """

    def __init__(self, work: Work, clock: Clock = perf_counter_ns) -> None:
        self.kind = work.kind
        self.slices: Slices = []
        self._work = work
        self._clock = clock
        for _ in range(LEAD_IN_SLICES):
            self._time()
        self._every_ns = max(1, self._time()) / SHARE

    def _time(self) -> int:
        start = self._clock()
        self._work()
        end = self._clock()
        self._last = (start, end)
        return end - start

    def edge(self) -> float:
        """Time the slices of an edge of the timed part; their median in seconds."""
        durations = []
        for _ in range(EDGE_SLICES):
            durations.append(self._time())
            self.slices.append(self._last)
        return median(durations) / 1e9

    def between(self) -> None:
        """Time as many slices as the time since the last one allows; a few at most."""
        due = int((self._clock() - self._last[1]) / self._every_ns)
        for _ in range(min(due, MOST_BETWEEN)):
            self._time()
            self.slices.append(self._last)
