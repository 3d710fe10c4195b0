"""Ratios of what was measured side by side: one per round, and an interval over the rounds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

RESAMPLES = 10_000


class Interval(NamedTuple):
    """A median over rounds and its 95 % bounds."""

    value: float
    low: float
    high: float


def per_round(numerators: Sequence[float], denominators: Sequence[float]) -> list[float]:
    """Each round's own ratio: what slows a whole round down cancels."""
    return [a / b for a, b in zip(numerators, denominators, strict=True)]


def geometric_means(*columns: Sequence[float]) -> list[float]:
    """Per round, over several models."""
    return [float(np.exp(np.mean(np.log(row)))) for row in zip(*columns, strict=True)]


def bootstrap_median(
    values: Sequence[float], *, resamples: int = RESAMPLES, seed: int = 0
) -> Interval:
    """The median with its 95 % percentile-bootstrap interval.

    The rounds are what is drawn: iterations within one share that round's luck.
    """
    data = np.asarray(values, dtype=np.float64)
    drawn = np.random.default_rng(seed).integers(0, len(data), size=(resamples, len(data)))
    low, high = np.quantile(np.median(data[drawn], axis=1), [0.025, 0.975])
    return Interval(value=float(np.median(data)), low=float(low), high=float(high))
