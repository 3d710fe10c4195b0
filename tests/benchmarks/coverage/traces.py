"""Simulated latencies whose percentiles are known.

A value of 1 is the nominal iteration, taken as 1 ms wherever a rule counts seconds.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.signal import lfilter
from scipy.special import ndtr, ndtri

Values = NDArray[np.float64]
Cdf = Callable[[float], float]

NOISE = 0.1  # relative, of the traces with one mode
SMALL_NOISE = 0.02  # of those with several
HEAVY_NOISE = 0.05

SLOW_SHARE, SLOW_FACTOR = 0.4, 1.2
DWELL = 50.0  # iterations in a row in one mode, on average
TAIL_SHARE, TAIL_INDEX = 0.05, 1.5
PERIOD, HIT_FACTOR = 37, 1.3
DRIFT = 0.03  # from the first iteration to the last
WALK = 0.03  # standard deviation of the last iteration's level

# Enough for the percentiles of a level that moves smoothly.
LEVELS = 256


class History(NamedTuple):
    """Latencies in a row, and the level that each varied around where that moves."""

    values: Values
    levels: Values | None = None


@dataclass(frozen=True)
class Trace:
    """A process that makes latencies.

    Attributes:
        make: so many of them, from a generator.
        cdf: of one latency, given its level.
        mean: of one latency, given its level.
    """

    label: str
    make: Callable[[np.random.Generator, int], History]
    cdf: Cdf
    mean: float

    def percentile(self, level: float, levels: Values | None = None) -> float:
        """The true percentile; with ``levels``, of the iterations that had these."""
        if levels is None:
            return inverse(self.cdf, level)
        return _of_mixture(levels, level)

    def true_mean(self, levels: Values | None = None) -> float:
        return self.mean if levels is None else self.mean * float(levels.mean())


def _lognormal(sigma: float) -> Cdf:
    return lambda x: float(ndtr(math.log(x) / sigma))


@cache
def inverse(cdf: Cdf, level: float) -> float:
    return float(brentq(lambda x: cdf(x) - level, 0.1, 1e6, xtol=1e-12))


def _of_mixture(levels: Values, level: float) -> float:
    """Percentile of lognormal latencies around these levels, by Newton's method."""
    logs = np.log(levels[:: max(1, len(levels) // LEVELS)])
    x = float(logs.mean()) + NOISE * float(ndtri(level))
    for _ in range(20):
        z = (x - logs) / NOISE
        density = float(np.exp(-z * z / 2).mean()) / NOISE / math.sqrt(2 * math.pi)
        step = (float(ndtr(z).mean()) - level) / density
        x -= step
        if abs(step) < 1e-10:
            break
    return math.exp(x)


def autoregressive(phi: float) -> Callable[[np.random.Generator, int], History]:
    """Lognormal latencies whose logarithm is a stationary AR(1) process; 0: independent."""

    def make(rng: np.random.Generator, n: int) -> History:
        noise = rng.standard_normal(n)
        if phi:
            noise[1:] *= math.sqrt(1 - phi * phi)
            noise = lfilter([1.0], [1.0, -phi], noise)
        return History(np.exp(NOISE * noise))

    return make


def _moving(log_levels: Values, rng: np.random.Generator) -> History:
    levels = np.exp(log_levels)
    return History(levels * np.exp(NOISE * rng.standard_normal(len(levels))), levels)


def drift(rng: np.random.Generator, n: int) -> History:
    return _moving(np.log1p(np.linspace(0.0, DRIFT, n)), rng)


def walk(rng: np.random.Generator, n: int) -> History:
    return _moving(np.cumsum(rng.standard_normal(n)) * WALK / math.sqrt(n), rng)


def _two_modes(slow: NDArray[np.bool_], rng: np.random.Generator) -> History:
    noise = np.exp(SMALL_NOISE * rng.standard_normal(len(slow)))
    return History(np.where(slow, SLOW_FACTOR, 1.0) * noise)


def bimodal(rng: np.random.Generator, n: int) -> History:
    return _two_modes(rng.random(n) < SLOW_SHARE, rng)


def switching(rng: np.random.Generator, n: int) -> History:
    """The modes of ``bimodal``, which last for ``DWELL`` iterations on average."""
    begins_slow = rng.random() < SLOW_SHARE
    means = np.array([2 * DWELL * (1 - SLOW_SHARE), 2 * DWELL * SLOW_SHARE])
    if begins_slow:
        means = means[::-1]
    dwells: list[NDArray[np.int64]] = []
    total = 0
    while total < n:
        more = rng.geometric(1 / means, size=(max(4, int(n / DWELL / 2)), 2)).ravel()
        dwells.append(more)
        total += int(more.sum())
    lengths = np.concatenate(dwells)
    slow = (np.arange(len(lengths)) + begins_slow) % 2 == 1
    return _two_modes(np.repeat(slow, lengths)[:n], rng)


def heavy(rng: np.random.Generator, n: int) -> History:
    """A share of the iterations is multiplied by what follows a Pareto distribution."""
    hit = rng.random(n) < TAIL_SHARE
    values = np.exp(HEAVY_NOISE * rng.standard_normal(n))
    values[hit] *= 1 + rng.pareto(TAIL_INDEX, int(hit.sum()))
    return History(values)


def periodic(rng: np.random.Generator, n: int) -> History:
    values = np.exp(SMALL_NOISE * rng.standard_normal(n))
    values[int(rng.integers(PERIOD)) :: PERIOD] *= HIT_FACTOR
    return History(values)


def _modes_cdf(share: float, factor: float) -> Cdf:
    one = _lognormal(SMALL_NOISE)
    return lambda x: (1 - share) * one(x) + share * one(x / factor)


def _heavy_cdf(x: float) -> float:
    """The Pareto factor averaged over the noise that it multiplies."""
    z = np.linspace(-8, 8, 2001)
    weights = np.exp(-z * z / 2)
    ratio = np.maximum(1.0, x / np.exp(HEAVY_NOISE * z))
    hit = float(np.average(1 - ratio**-TAIL_INDEX, weights=weights))
    return (1 - TAIL_SHARE) * _lognormal(HEAVY_NOISE)(x) + TAIL_SHARE * hit


def _mean(sigma: float, factor: float = 1.0) -> float:
    return factor * math.exp(sigma * sigma / 2)


_ONE_MODE = _lognormal(NOISE)
_TWO_MODES = _modes_cdf(SLOW_SHARE, SLOW_FACTOR)
_TWO_MODES_MEAN = _mean(SMALL_NOISE, 1 + SLOW_SHARE * (SLOW_FACTOR - 1))

INDEPENDENT = Trace("independent", autoregressive(0.0), _ONE_MODE, _mean(NOISE))
AR_05 = Trace("AR(1) φ = 0.5", autoregressive(0.5), _ONE_MODE, _mean(NOISE))
AR_08 = Trace("AR(1) φ = 0.8", autoregressive(0.8), _ONE_MODE, _mean(NOISE))
AR_095 = Trace("AR(1) φ = 0.95", autoregressive(0.95), _ONE_MODE, _mean(NOISE))
BIMODAL = Trace("two modes, independent", bimodal, _TWO_MODES, _TWO_MODES_MEAN)
SWITCHING = Trace("two modes, 50 in a row", switching, _TWO_MODES, _TWO_MODES_MEAN)
HEAVY = Trace(
    "heavy tail", heavy, _heavy_cdf, _mean(HEAVY_NOISE, 1 + TAIL_SHARE / (TAIL_INDEX - 1))
)
PERIODIC = Trace(
    "every 37th +30 %",
    periodic,
    _modes_cdf(1 / PERIOD, HIT_FACTOR),
    _mean(SMALL_NOISE, 1 + (HIT_FACTOR - 1) / PERIOD),
)
DRIFTING = Trace("drift", drift, _ONE_MODE, _mean(NOISE))
WALKING = Trace("random walk", walk, _ONE_MODE, _mean(NOISE))

STATIONARY = (INDEPENDENT, AR_05, AR_08, AR_095, BIMODAL, SWITCHING, HEAVY, PERIODIC)
MOVING = (DRIFTING, WALKING)
