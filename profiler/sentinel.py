"""A small fixed piece of work that tells how fast the device is *now*.

Where a machine's own speed wanders (a shared cache, a hypervisor, a laptop's clock), a latency in
seconds is not reproducible, but its ratio to fixed work done at the same moment can be. What slows
a network on such a machine is mostly its weights' way from a cache or a memory that others use too,
so the work is a network's: 512 layers of 64 × 64 weights (8.4 MB) on 49 positions, in NumPy, with
no engine of ours or a user's in it. Its products are just small enough for OpenBLAS not to use
threads (m·n·k ≤ 262,144: SMP_THRESHOLD_MIN × GEMM_MULTITHREAD_THRESHOLD in its interface/gemm.c),
so that it leaves no pool spinning behind.

What did worse, measured beside models (docs/measurement.md): a convolution that stays in the
second-level cache (``convolution-1``), layers with less to compute for each weight (``layers-1``:
128 × 128 on 16 positions), larger ones, sweeps over memory, page faults, a loop of the interpreter.

The work must never change under one name: ``kind`` carries a version and what it was computed with.
"""

from __future__ import annotations

import math
from statistics import median
from time import perf_counter_ns
from typing import Protocol

import numpy as np

from profiler.timing import Clock

# <work>-<version of the work>
NAME = "layers-3"

LAYERS, WIDTH, POSITIONS = 512, 64, 49
# Timed at most for this share of the time between blocks, whatever a slice takes on the device. Its
# jitter is a good part of what is left of a model's spread: with four slices in 0.6 s a fifth more
# was left than with thirteen, and more where these were at the ends than where all along.
SHARE = 0.05
# Slices before and after a repetition's timed part; on a slow device fewer, down to a single one,
# which then lasts for as long as several elsewhere. In runs of 3 s these are all there are: with
# five the spread of resnet18 in torch was half as large again as with fifteen.
EDGE_SLICES = 12
EDGE_NS = 40_000_000
# In one pause between blocks, where the share allows it: the median of a few jitters less than one.
MOST_BETWEEN = 5
# The first calls fault pages in and settle the BLAS; as many as an edge lasts, and two at least.
LEAD_IN_SLICES, LEAST_LEAD_IN = 4, 2


class Work(Protocol):
    """Something to be timed; ``kind`` names it and what it is computed with."""

    @property
    def kind(self) -> str: ...

    def __call__(self) -> None: ...


class LayersWork:
    """205 million floating-point operations on 8.4 MB; about 3.5 ms on a server's core."""

    kind = f"{NAME}/numpy-{np.__version__}"

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self._image = rng.random((POSITIONS, WIDTH), dtype=np.float32)
        self._weights = rng.random((LAYERS, WIDTH, WIDTH), dtype=np.float32)
        # Variance 2 / WIDTH, as a uniform one: what passes a layer is as large as before (He et
        # al. 2015, arXiv:1502.01852), and no denormal number makes the work another.
        self._weights -= 0.5
        self._weights *= math.sqrt(12 * 2 / WIDTH)
        self._sides = np.empty_like(self._image), np.empty_like(self._image)

    def __call__(self) -> None:
        source = self._image
        for number, weights in enumerate(self._weights):
            target = self._sides[number % 2]
            np.matmul(source, weights, out=target)
            np.maximum(target, 0, out=target)
            source = target


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
        last = 1
        for number in range(LEAD_IN_SLICES):
            if number >= LEAST_LEAD_IN and number * last >= EDGE_NS:
                break
            last = max(1, self._time())
        self._every_ns = last / SHARE
        self._at_edge = max(1, min(EDGE_SLICES, EDGE_NS // last))

    def _time(self) -> int:
        start = self._clock()
        self._work()
        end = self._clock()
        self._last = (start, end)
        return end - start

    def edge(self) -> float:
        """Time the slices of an edge of the timed part; their median in seconds."""
        return median(self._pause(self._at_edge)) / 1e9

    def between(self) -> None:
        """Time as many slices as the time since the last one allows; a few at most."""
        due = int((self._clock() - self._last[1]) / self._every_ns) - 1
        if due > 0:
            self._pause(min(due, MOST_BETWEEN))

    def _pause(self, slices: int) -> list[int]:
        """Durations of slices that are kept, after one that is not.

        That one finds the model's data in the caches. How much of them a model takes is no speed of
        the device, and would tell a slice alone in its pause from one among several.
        """
        self._time()
        durations = []
        for _ in range(slices):
            durations.append(self._time())
            self.slices.append(self._last)
        return durations
