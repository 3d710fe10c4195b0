"""The highest rate at which a percentile of latency stays within a bound.

The search begins at the rate that a queue with the measured service times is foreseen to bear,
brackets the answer from there and divides the bracket on a logarithmic scale. Each trial is as long
as its percentile's interval needs, and longer until the interval lies on one side of the bound.
A rate *meets* the bound when the whole interval is below it and *fails* when the whole of it is
above; what stays undecided counts as not shown. So the answer errs to the low side.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from time import perf_counter_ns
from typing import TYPE_CHECKING

from profiler import stats, units
from profiler.result import Met, ServerReport, ServerTrial
from profiler.scenarios.bracket import STEP, Bracket
from profiler.scenarios.queueing import (
    Forecast,
    calls_needed,
    forecast,
    rate_for,
)
from profiler.scenarios.served import Served, join
from profiler.scenarios.server import DRAIN_SHARE, Offer
from profiler.scenarios.trial import describe, judge, late
from profiler.timing import Clock

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# The search is over when the next rate that was not shown to meet the bound is so little above.
TOLERANCE = 0.05
# A model that is idle for 98 % of the time has no queue that less load would shorten.
LEAST_UTILIZATION = 0.02
# Until a trial has its calls it is looked at after each doubling from so many, for overload only.
FIRST_LOOK = 64
# The looks at calls of microseconds, hundreds of thousands of them, take about so much of the time.
LOOKING = 1.25
_FASTER = "Raise the bound, or use a faster runtime, precision or device"
# A trial takes no more than this share of the time that is left, or the others would have none.
TRIAL_SHARE = 0.5


@dataclass(frozen=True)
class Goal:
    """What is searched: the highest rate with ``percentile`` within the bound.

    Attributes:
        percentile: by name.
        bound_seconds: of latency, from the scheduled arrival.
        seconds: for the whole search.
        tolerance: how close, relative, the rates above and below the answer come to each other.
    """

    percentile: str
    bound_seconds: float
    seconds: float
    tolerance: float = TOLERANCE

    @property
    def level(self) -> float:
        return stats.PERCENTILES[self.percentile]


@dataclass(frozen=True)
class Found:
    """The search's answer, and the calls served at its rate; ``None``: there were none."""

    report: ServerReport
    served: Served | None


def search(
    offer: Offer,
    service_seconds: NDArray[np.float64],
    goal: Goal,
    clock: Clock = perf_counter_ns,
) -> Found:
    """Find the highest rate.

    Args:
        offer: serves a load.
        service_seconds: of calls without a queue, in measured order, as from the warm-up.
        goal: what is searched.
        clock: of the offer, monotonic, nanoseconds.
    """
    impossible = _service_above(service_seconds, goal)
    if impossible:
        return Found(_report(goal, [], impossible), None)
    end = clock() + int(goal.seconds * 1e9)
    foreseen = rate_for(service_seconds, goal.level, goal.bound_seconds)
    least = LEAST_UTILIZATION / float(service_seconds.mean())
    tried: list[_Tried] = []
    # An easy rate that is shown is worth more than a hard one that is not; where even the easiest
    # would take most of the time, it may.
    for share in (TRIAL_SHARE, 1.0):
        bracket = Bracket(first=foreseen / STEP, least=least, tolerance=goal.tolerance)
        tried = _divide(bracket, _Trials(offer, service_seconds, goal, end, clock), share)
        if tried:
            break
    if not tried:
        # Nothing can be decided in this time. Latencies at a likely rate are better than none.
        trial = _Trial.of(offer, service_seconds, goal, foreseen / STEP, clock)
        tried.append(trial.run(goal.seconds))
    trials = [trial for trial, _ in tried]
    met = any(each.met is Met.MEETS for each in trials)
    reason = None if met else _why_none(trials, goal, foreseen, least)
    report = _report(goal, trials, reason)
    chosen = next(done for each, done in tried if each.rate_per_second == report.rate_per_second)
    return Found(report, chosen)


_Tried = tuple[ServerTrial, Served]


@dataclass
class _Trials:
    """What every trial of a search needs. ``service_seconds`` are the latest that were seen."""

    offer: Offer
    service_seconds: NDArray[np.float64]
    goal: Goal
    end_ns: int
    clock: Clock

    def left_seconds(self) -> float:
        return (self.end_ns - self.clock()) / 1e9

    def at(self, rate: float) -> _Trial:
        return _Trial.of(self.offer, self.service_seconds, self.goal, rate, self.clock)


def _divide(bracket: Bracket, trials: _Trials, share: float) -> list[_Tried]:
    """Try rates until the bracket is narrow or the time is over.

    Args:
        bracket: which rate comes next.
        trials: how to try one.
        share: of the time that is left, what a trial may need while no rate was shown to meet.
    """
    tried: list[_Tried] = []
    while (rate := bracket.next()) is not None and (left := trials.left_seconds()) > 0:
        trial = trials.at(rate)
        if trial.needed_seconds > (left if bracket.met is not None else share * left):
            # It could not be shown to meet the bound in time; a lower rate may take less.
            bracket.note(rate, Met.UNDECIDED)
            continue
        tried.append(trial.run(left))
        bracket.note(rate, tried[-1][0].met or Met.UNDECIDED)
        # Under load calls may take another time than one after the other: forecasts learn it.
        seen = tried[-1][1].service_seconds()
        if len(seen):
            trials.service_seconds = seen
    return tried


@dataclass(frozen=True)
class _Trial:
    """One rate, what is foreseen of it, and how many calls it needs."""

    offer: Offer
    goal: Goal
    rate: float
    expected: Forecast | None
    enough: float
    clock: Clock

    @classmethod
    def of(
        cls,
        offer: Offer,
        service_seconds: NDArray[np.float64],
        goal: Goal,
        rate: float,
        clock: Clock,
    ) -> _Trial:
        expected = forecast(service_seconds, rate, goal.level)
        enough = calls_needed(expected, goal.level) if expected else math.inf
        return cls(offer, goal, rate, expected, enough, clock)

    @property
    def needed_seconds(self) -> float:
        """How long its calls take to come and to be looked at; three sigma of a Poisson number."""
        return LOOKING * (self.enough + 3 * math.sqrt(self.enough)) / self.rate

    def run(self, left: float) -> tuple[ServerTrial, Served]:
        """Offer the rate until it is decided or its share of the time that is left is over."""
        seconds = max(TRIAL_SHARE * left, min(left, self.needed_seconds))
        begin = self.clock()
        parts: list[Served] = []
        look = float(FIRST_LOOK)
        while True:
            remaining = seconds - (self.clock() - begin) / 1e9
            calls = max(1, math.ceil(min(look, self.rate * remaining)))
            parts.append(self.offer(self.rate, calls, remaining + DRAIN_SHARE * seconds))
            served = join(parts)
            trial = describe(self.rate, self.goal.percentile, [served], self.expected)
            met = judge(trial, self.goal.bound_seconds)
            over = self.clock() - begin >= seconds * 1e9 or served.over_ns is not None
            if met is not Met.UNDECIDED or over:
                return trial.model_copy(update={"met": met}), served
            # Doubled each time: every further look is one more chance to be wrong.
            done = len(served.end_ns)
            look = float(done) if done >= self.enough else min(done, self.enough - done)


def _service_above(service_seconds: NDArray[np.float64], goal: Goal) -> str | None:
    """Why no rate can meet the bound, where the calls alone take longer than it."""
    for name in ("p50", goal.percentile):
        alone = stats.percentile([service_seconds], stats.PERCENTILES[name]).interval
        if alone is not None and alone.low is not None and alone.low > goal.bound_seconds:
            return (
                f"the {name} of the calls alone, without any queue, is "
                f"{units.seconds(alone.value)}: more than the bound of "
                f"{units.seconds(goal.bound_seconds)}. {_FASTER}"
            )
    fastest = float(service_seconds.min())
    if fastest > goal.bound_seconds:
        # Too few or too unsteady for an interval, and yet not one of them was fast enough.
        return (
            f"the fastest of {len(service_seconds)} calls alone, without any queue, took "
            f"{units.seconds(fastest)}: more than the bound of "
            f"{units.seconds(goal.bound_seconds)}. {_FASTER}"
        )
    return None


def _why_none(trials: list[ServerTrial], goal: Goal, foreseen: float, least: float) -> str:
    lowest = min(trials, key=lambda each: each.rate_per_second)
    rate = f"{units.rate(lowest.rate_per_second)} calls per second"
    if lowest.rate_per_second <= least and lowest.met is Met.FAILS:
        return (
            f"even at {rate}, with the model idle for {100 * (1 - lowest.utilization):.0f} % of "
            f"the time, the bound of {units.seconds(goal.bound_seconds)} is not met. "
            + (late(lowest) or _FASTER)
        )
    detail = lowest.latency_reason or late(lowest) or "its interval is not below the bound"
    return (
        f"no rate was shown to meet the bound in {units.seconds(goal.seconds)}. The lowest that "
        f"was offered is {rate} ({detail}). From the service times about {units.rate(foreseen)} "
        "per second are to be "
        "expected, but that was not measured. Give it more time (--max-time), or bound a lower "
        "percentile"
    )


def _report(goal: Goal, trials: list[ServerTrial], reason: str | None) -> ServerReport:
    rates = {
        met: [each.rate_per_second for each in trials if each.met is met]
        for met in (Met.MEETS, Met.FAILS)
    }
    highest = max(rates[Met.MEETS], default=None)
    lowest = min((each.rate_per_second for each in trials), default=None)
    return ServerReport(
        percentile=goal.percentile,
        rate_per_second=lowest if highest is None else highest,
        latency_bound_seconds=goal.bound_seconds,
        highest_rate_per_second=highest,
        highest_rate_reason=reason,
        failing_rate_per_second=min(rates[Met.FAILS], default=None),
        trials=tuple(trials),
    )
