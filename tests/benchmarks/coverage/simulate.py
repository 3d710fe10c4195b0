"""Histories through the real stop rule, and how often what is said of them is true."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from profiler import stats, stop
from profiler.autocorrelation import quantile
from profiler.result import Interval
from profiler.spec import StopSpec
from tests.benchmarks.coverage.traces import Values

# So near to the truth a figure is called right in the tables.
NEAR = 0.01


class Statement(NamedTuple):
    """What a rule says of a history.

    Attributes:
        start, end: of the iterations that it timed.
        low, high: the bounds that it states; both ``None``: it states none.
        converged: whether it stopped because it was content.
    """

    start: int
    end: int
    value: float
    low: float | None = None
    high: float | None = None
    converged: bool = False

    def holds(self, truth: float) -> bool:
        """Whether bounds are stated, and the truth is between them."""
        if self.low is None or self.high is None:
            return False
        return self.low <= truth <= self.high


def of_interval(values: Values, level: float, interval: Interval | None) -> Statement:
    """Our interval of all these iterations as a statement."""
    if interval is None:
        return Statement(0, len(values), quantile(np.sort(values), level))
    return Statement(0, len(values), interval.value, interval.low, interval.high)


def follow(values: Values, spec: StopSpec, first: int) -> Statement:
    """What our rule makes of a repetition that could go on to the last of these values.

    Args:
        values: of the repetition, all that its time allows.
        spec: the rule's settings.
        first: iterations at the first look.
    """
    n = first
    while True:
        n = min(n, len(values))
        enough = stop.judge(values[:n], spec).enough
        if enough or n == len(values):
            level = stats.PERCENTILES[spec.percentile]
            found = stats.percentile([values[:n]], level).interval
            return of_interval(values[:n], level, found)._replace(converged=enough)
        n = stop.next_check(spec, n)


class Share(NamedTuple):
    """A share of so many, with its binomial standard error; ``None``: there were none."""

    value: float | None
    error: float | None
    total: int

    @classmethod
    def of(cls, hits: Sequence[bool] | np.ndarray[Any, Any]) -> Share:
        total = len(hits)
        if total == 0:
            return cls(None, None, 0)
        value = float(np.mean(hits))
        return cls(value, math.sqrt(value * (1 - value) / total), total)

    def __str__(self) -> str:
        """In percent."""
        if self.value is None or self.error is None:
            return "—"
        return f"{100 * self.value:.1f} ± {100 * self.error:.1f}"


@dataclass
class Tally:
    """What became of the histories of one cell; one entry per history in each list."""

    n: list[int] = field(default_factory=list)
    converged: list[bool] = field(default_factory=list)
    given: list[bool] = field(default_factory=list)
    held: list[bool] = field(default_factory=list)
    near: list[bool] = field(default_factory=list)
    half: list[float] = field(default_factory=list)

    def add(self, said: Statement, truth: float) -> None:
        self.n.append(said.end - said.start)
        self.converged.append(said.converged)
        self.given.append(said.high is not None)
        self.held.append(said.holds(truth))
        self.near.append(abs(said.value / truth - 1) <= NEAR)
        if said.low is not None and said.high is not None and math.isfinite(said.low):
            self.half.append((said.high - said.low) / 2 / said.value)

    def coverage(self) -> Share:
        """Of the intervals that were given."""
        return Share.of(np.array(self.held)[np.array(self.given)])

    def coverage_of_converged(self) -> Share:
        """Of the intervals that the rule was content with."""
        return Share.of(np.array(self.held)[np.array(self.converged)])

    def false(self) -> Share:
        """Of all histories, those with an interval that does not hold."""
        return Share.of(np.array(self.given) & ~np.array(self.held))

    def false_converged(self) -> Share:
        """Of all histories, those whose interval the rule was content with and does not hold."""
        return Share.of(np.array(self.converged) & ~np.array(self.held))

    def mean_half(self) -> float | None:
        return float(np.mean(self.half)) if self.half else None

    def data(self) -> dict[str, Any]:
        shares = {
            "converged": Share.of(self.converged),
            "coverage_of_converged": self.coverage_of_converged(),
            "false": self.false(),
            "false_converged": self.false_converged(),
            "given": Share.of(self.given),
            "coverage_of_given": self.coverage(),
            "within_1_percent": Share.of(self.near),
        }
        return {name: share._asdict() for name, share in shares.items()} | {
            "histories": len(self.n),
            "mean_iterations": float(np.mean(self.n)),
            "p90_iterations": float(np.quantile(self.n, 0.9)),
            "mean_relative_half_width": self.mean_half(),
        }
