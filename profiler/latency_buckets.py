"""Latencies counted in buckets: what heatmaps and the live view are made of.

Ten buckets a decade, from 50 µs to 31.5 s, on the preferred numbers of ISO 3 (series R10), so that
their bounds are short to write and read. A quantile that is read off them is wrong by up to 2 % and
more: exact ones come from raw iterations, and no alert rests on buckets.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pydantic import Field

from profiler.base import Frozen

if TYPE_CHECKING:  # NumPy; not on the way to --help
    import numpy as np
    from numpy.typing import NDArray

_R10 = (1.0, 1.25, 1.6, 2.0, 2.5, 3.15, 4.0, 5.0, 6.3, 8.0)
_LOWEST, _HIGHEST = 5e-5, 31.5
# Upper bounds in seconds, inclusive; above the last one there is one bucket more.
BOUNDS: tuple[float, ...] = tuple(
    bound
    for exponent in range(-5, 2)
    for step in _R10
    if _LOWEST <= (bound := float(f"{step}e{exponent}")) <= _HIGHEST
)


class MeasuredLatencies(Frozen):
    """The iterations of one block, counted, and what they were measured of.

    Attributes:
        accelerator: as the engine resolved it, likewise ``precision`` and ``threads``.
        inputs: see ``shapes``.
        counts: iterations by the index of their bucket in ``BOUNDS``; empty buckets are left out.
        sum_seconds: of all of them.
        slowest_seconds: the longest one.
    """

    accelerator: str | None
    precision: str | None
    threads: int | None
    inputs: str
    counts: dict[int, int] = Field(max_length=len(BOUNDS) + 1)
    sum_seconds: float
    slowest_seconds: float


def bucket_of(seconds: float) -> int:
    """The index of the bucket that a latency falls into."""
    from bisect import bisect_left

    return bisect_left(BOUNDS, seconds)


def count(seconds: NDArray[np.float64]) -> dict[int, int]:
    """How many latencies fall into which bucket; empty ones are left out."""
    import numpy as np

    found, counts = np.unique(np.searchsorted(BOUNDS, seconds), return_counts=True)
    return dict(zip(found.tolist(), counts.tolist(), strict=True))


# A label of a metric; longer ones are cut, with a digest that tells them apart.
_LONGEST = 80


def shapes(inputs: Sequence[tuple[int, ...]]) -> str:
    """``1x3x224x224`` of every input, as the label ``inputs`` says it."""
    from hashlib import sha256

    text = ",".join("x".join(map(str, shape)) or "scalar" for shape in inputs)
    if len(text) <= _LONGEST:
        return text
    return f"{text[: _LONGEST - 13]}…{sha256(text.encode()).hexdigest()[:12]}"
