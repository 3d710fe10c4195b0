"""Runs of several processes, of which some are slower than others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np

from profiler import stats
from profiler.spec import REPETITIONS, StopSpec
from tests.benchmarks.coverage.simulate import Statement, Tally, follow, of_interval
from tests.benchmarks.coverage.study import CAP, PERCENTILES, generator
from tests.benchmarks.coverage.traces import (
    AR_08,
    INDEPENDENT,
    SWITCHING,
    Trace,
    Values,
    inverse,
)

PROCESSES = REPETITIONS


@dataclass(frozen=True, eq=False)
class Between:
    """What makes one process of a run slower than another.

    Attributes:
        draw: by how much each of a run's processes is slower, in the order of their start.
        factors, weights: of all processes that there could be.
    """

    label: str
    draw: Callable[[np.random.Generator], Values]
    factors: Values
    weights: Values


def _spread(sigma: float) -> Between:
    """Processes drawn from a lognormal distribution."""
    z = np.linspace(-6, 6, 101)
    return Between(
        label=f"{100 * sigma:g} %",
        draw=lambda rng: np.exp(sigma * rng.standard_normal(PROCESSES)),
        factors=np.exp(sigma * z),
        weights=np.exp(-z * z / 2),
    )


def _drift(total: float) -> Between:
    """A device that slows down evenly; the processes are spread over that time."""
    return Between(
        label=f"drift of {100 * total:g} %",
        draw=lambda _: np.linspace(1.0, 1.0 + total, PROCESSES),
        factors=np.linspace(1.0, 1.0 + total, 101),
        weights=np.ones(101),
    )


BETWEEN = (_spread(0.0), _spread(0.01), _spread(0.02), _drift(0.03))
# How long each process measures: as the rule for the median says, or so many iterations.
RULED, CUT = "the rule's", 400
# Traces by how long is measured; those that the rule follows for long are left out there.
LENGTHS: tuple[tuple[str | int, tuple[Trace, ...]], ...] = (
    (RULED, (INDEPENDENT, AR_08)),
    (CUT, (INDEPENDENT, AR_08, SWITCHING)),
)

Row = tuple[str, str, str, str]  # trace, iterations a process, between them, percentile


def study_repetitions(count: int, seed: int) -> dict[Row, Tally]:
    """Tally the final intervals of runs of several processes."""
    found: dict[Row, Tally] = {}
    for length, traces in LENGTHS:
        percentiles = PERCENTILES[:1] if length == RULED else PERCENTILES
        for trace in traces:
            rng = generator(seed, trace)
            for _ in range(count):
                groups = [_repetition(trace, length, rng) for _ in range(PROCESSES)]
                for between in BETWEEN:
                    factors = between.draw(rng)
                    scaled = [g * factor for g, factor in zip(groups, factors, strict=True)]
                    measured = stats.Measured(scaled)
                    for name in percentiles:
                        tally = found.setdefault(
                            (trace.label, str(length), between.label, name), Tally()
                        )
                        truth = true_percentile(trace, between, stats.PERCENTILES[name])
                        tally.add(_said(measured, name), truth)
    return found


def _repetition(trace: Trace, length: str | int, rng: np.random.Generator) -> Values:
    if isinstance(length, int):
        return trace.make(rng, length).values
    values = trace.make(rng, CAP).values
    spec = StopSpec()
    return values[: follow(values, spec, spec.min_iterations).end]


def _said(measured: stats.Measured, name: str) -> Statement:
    """A run is flagged by the interval over all of its processes."""
    level = stats.PERCENTILES[name]
    interval = measured.percentile(level).interval
    half = stats.relative_half_width(interval)
    content = half is not None and half <= StopSpec().relative_half_width
    return of_interval(measured.ordered, level, interval)._replace(converged=content)


@cache
def true_percentile(trace: Trace, between: Between, level: float) -> float:
    """Of the iterations of all processes that there could be."""

    def cdf(x: float) -> float:
        shares = [trace.cdf(x / factor) for factor in between.factors]
        return float(np.average(shares, weights=between.weights))

    return inverse(cdf, level)
