"""Two results of different times: what the device did between them is no model's doing."""

from __future__ import annotations

import math
from typing import NamedTuple

from profiler import over_runs
from profiler.comparing import log_ratio
from profiler.comparing.comparison import Basis
from profiler.comparing.estimate import Estimate
from profiler.comparing.log_ratio import LogRatio, Spread
from profiler.comparing.report import percent, ratio
from profiler.device.run_history import configuration_of
from profiler.result import Experience, OverRuns, RunResult
from profiler.stats import student


def between_times(estimate: Estimate, baseline: RunResult, candidate: RunResult) -> Estimate:
    """The ratio with an interval no narrower than two runs at different times differ there anyway.

    Either that of the seconds, or the seconds at the device's usual speed where its runs have told
    how each of the two follows that speed, and that leaves less between runs. What was measured in
    turns shares its time, and has nothing of that between it.
    """
    found = estimate.found
    known = [r.over_runs for r in (baseline, candidate) if r.over_runs is not None]
    together = (
        baseline.started_at < candidate.finished_at and candidate.started_at < baseline.finished_at
    )
    if not known or together or found is None or found.low is None or found.high is None:
        return estimate
    within = max(found.value - found.low, found.high - found.value)
    widest = max(known, key=over_runs.differences)
    reach = over_runs.differences(widest)
    if reach <= within:
        return estimate
    usual = _at_usual_speed(baseline, candidate)
    if usual is not None and usual.beside(within) < reach:
        return _of_usual(estimate, found, usual, within)
    return estimate._replace(
        found=_reaching(found.value, reach, widest.freedom),
        note=(
            f"Two runs of this configuration differ by up to {percent(math.expm1(reach))} there, "
            f"as {_whose(widest)} tell; measured in one go they would share their time."
        ),
    )


class _Usual(NamedTuple):
    """What the device's speed made of the log ratio, and what runs differ by beside it.

    ``uncertain``: of ``shift``, by the sentinels' own intervals.
    """

    shift: float
    uncertain: float
    reach: float
    freedom: float
    runs: int

    def beside(self, within: float) -> float:
        """What bounds the ratio: what runs differ by, and no less than the two tell themselves."""
        return max(self.reach, math.hypot(within, self.uncertain))


def _at_usual_speed(baseline: RunResult, candidate: RunResult) -> _Usual | None:
    if baseline.device != candidate.device:
        return None
    sides = [(each, each.at_usual_speed, each.sentinel) for each in (baseline, candidate)]
    known = [(usual, now) for _, usual, now in sides if usual is not None and now is not None]
    if len(known) < len(sides) or known[0][1].kind != known[1][1].kind:
        return None
    usual = [each for each, _ in known]
    # One speed for both, in the middle between what was usual when either was measured.
    common = sum(math.log(each.sentinel_seconds) for each in usual) / 2
    away = [math.log(now.seconds.value) - common for _, now in known]
    follows = usual
    if configuration_of(baseline) == configuration_of(candidate):
        # One exponent, then: by two estimates of it equal speeds far from the usual one would
        # differ, and what a regression makes of the candidate's own would hide the regression.
        follows = [min(usual, key=lambda each: each.exponent_sd)] * 2
        bent = follows[0].exponent_sd * abs(away[1] - away[0])
    else:
        bent = math.hypot(*(e.exponent_sd * by for e, by in zip(follows, away, strict=True)))
    moved = [each.exponent * by for each, by in zip(follows, away, strict=True)]
    parts = [Spread(each.relative_sd**2, each.freedom) for each in usual]
    freedom = log_ratio.joint_freedom(parts)
    reach = student(freedom) * math.sqrt(sum(part.variance for part in parts) + bent**2)
    halves = [
        each.exponent * (now.seconds.relative_half_width or 0.0)
        for each, (_, now) in zip(follows, known, strict=True)
    ]
    runs = min(each.runs for each in usual)
    return _Usual(moved[1] - moved[0], math.hypot(*halves), reach, freedom, runs)


def _of_usual(estimate: Estimate, found: LogRatio, usual: _Usual, within: float) -> Estimate:
    seconds = ratio(found.interval())
    return estimate._replace(
        found=_reaching(found.value - usual.shift, usual.beside(within), usual.freedom),
        basis=Basis.USUAL_SPEED,
        note=(
            f"Of the seconds as measured the ratio is {seconds}; how each follows the device's "
            f"speed is known from its last runs, {usual.runs} or more, which differ by up to "
            f"{percent(math.expm1(usual.reach))} beside it."
        ),
    )


def _reaching(value: float, reach: float, freedom: float) -> LogRatio:
    return LogRatio(value, value - reach, value + reach, log_ratio.two_sided(value, reach, freedom))


def _whose(found: OverRuns) -> str:
    own = found.of is Experience.CONFIGURATION
    return f"its last {found.runs} runs" if own else f"{found.runs} runs of others"
