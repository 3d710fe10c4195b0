"""Two results as they are stored → a comparison, or what stands in its way.

A result keeps each process's median and not its iterations. Where these are not at hand the
interval is Welch's t of the medians, whose spread holds the noise inside the processes too. What
runs of different times differ by anyway is allowed for (``between_times``); where both timed the
same sentinel, the device's own speed is looked at as well: a verdict that the seconds give and the
sentinel explains is withdrawn.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import NamedTuple

import numpy as np

from profiler.comparing import bootstrap, log_ratio
from profiler.comparing.between_times import between_times
from profiler.comparing.comparable import comparable, in_the_way
from profiler.comparing.compare import (
    MARGIN,
    Names,
    Sample,
    check_margin,
    checked,
    decide,
    judge,
    worded,
)
from profiler.comparing.comparison import Basis, Comparison, Method, Verdict
from profiler.comparing.estimate import Estimate
from profiler.comparing.log_ratio import LogRatio
from profiler.comparing.report import names, percent, ratio
from profiler.result import Interval, RunResult
from profiler.spec import Scenario


class _Medians(NamedTuple):
    """Each process's median, or why they cannot be used."""

    seconds: tuple[float, ...]
    reason: str | None = None


def compare_results(
    baseline: RunResult,
    candidate: RunResult,
    *,
    margin: float = MARGIN,
    across: Collection[str] = (),
    force: bool = False,
    basis: Basis = Basis.WALL_CLOCK,
    iterations: tuple[Sample, Sample] | None = None,
) -> Comparison:
    """Compare two stored results.

    Args:
        baseline: what the candidate is measured against.
        candidate: the new one.
        margin: of equivalence, relative.
        across: fields that are meant to differ besides model and runtime; ``comparable`` has them.
        force: give a verdict whatever differs.
        basis: what the verdict is on; seconds, or units of the sentinel. Between seconds of
            different times it may be those at the device's usual speed: ``between_times``.
        iterations: of baseline and candidate, as ``Iterations.timed_groups()`` gives them, where
            they are at hand; the interval is then bootstrapped from them.

    Raises:
        InputError: ``margin`` is none, or an iteration is no latency.
    """
    check_margin(margin)
    differences = comparable(baseline, candidate, across)
    refusals = in_the_way(differences, force=force)
    wall = between_times(_wall_clock(baseline, candidate, iterations), baseline, candidate)
    relative = _sentinel(baseline, candidate)
    chosen = relative if basis is Basis.SENTINEL else wall
    counts = len(baseline.repetitions), len(candidate.repetitions)
    called = Names(*names(baseline, candidate))
    if chosen.found is None:
        found = _without_ratio(chosen, counts, margin, called)
    else:
        found = decide(chosen.found, chosen.method, counts, margin, called, chosen.basis)
    update: dict[str, object] = {
        "differences": differences,
        "refusals": refusals,
        "sentinel_ratio": relative.found.interval() if relative.found else None,
        "sentinel_reason": relative.reason,
    }
    found = found.model_copy(update=update)
    if chosen.note is not None:
        found = found.model_copy(update={"notes": (*found.notes, chosen.note)})
    if refusals:
        return worded(found.model_copy(update=_refused(found)))
    if chosen.basis is Basis.WALL_CLOCK:
        found = _with_sentinel(_judged_on_both(found, baseline, candidate))
    return worded(_with_shared_flags(found, baseline, candidate))


def _refused(found: Comparison) -> dict[str, object]:
    listed = ", ".join(each.field for each in found.refusals)
    return {
        "verdict": Verdict.INCONCLUSIVE,
        "reason": f"the two differ in {listed}",
        "notes": (),
    }


def _without_ratio(
    chosen: Estimate, counts: tuple[int, int], margin: float, called: Names
) -> Comparison:
    return Comparison(
        verdict=Verdict.INCONCLUSIVE,
        baseline=called.baseline,
        candidate=called.candidate,
        ratio=None,
        reason=chosen.reason,
        basis=chosen.basis,
        method=chosen.method,
        margin=margin,
        baseline_processes=counts[0],
        candidate_processes=counts[1],
    )


# --- figures of a result ----------------------------------------------------------------------


def _wall_clock(
    baseline: RunResult, candidate: RunResult, iterations: tuple[Sample, Sample] | None
) -> Estimate:
    offline = [r.scenario == Scenario.OFFLINE for r in (baseline, candidate)]
    if all(offline):
        return _throughput(baseline, candidate)
    if any(offline):
        return Estimate(None, Method.MEDIANS, "a latency and a throughput have no ratio")
    if iterations is not None:
        first = _as_reported("baseline", baseline, iterations[0])
        second = _as_reported("candidate", candidate, iterations[1])
        return Estimate(bootstrap.log_ratio(first, second), Method.BOOTSTRAP)
    old, new = _medians(baseline), _medians(candidate)
    for side, each in (("baseline", old), ("candidate", new)):
        if each.reason:
            return _of_points(baseline, candidate, f"the {side} {each.reason}")
    return Estimate(log_ratio.of_medians(old.seconds, new.seconds), Method.MEDIANS)


def _as_reported(side: str, result: RunResult, groups: Sample) -> Sample:
    """Iterations without what the clock cost, where the result's own figures are without it."""
    return checked(side, [np.maximum(group - _overhead(result), 0.0) for group in groups])


def _medians(result: RunResult) -> _Medians:
    if not result.repetitions:
        return _Medians((), "does not say what each of its processes measured")
    seconds = tuple(r.median_seconds - _overhead(result) for r in result.repetitions)
    if min(seconds) <= 0:
        return _Medians((), "has a process whose median is no longer than reading the clock")
    return _Medians(seconds)


def _overhead(result: RunResult) -> float:
    """What the clock cost each iteration, where the result's own latency is without it."""
    subtracted = any(flag.name == "clock_overhead" for flag in result.flags)
    return (result.clock_overhead_seconds or 0.0) if subtracted else 0.0


def _of_points(baseline: RunResult, candidate: RunResult, reason: str) -> Estimate:
    """The ratio that the results' medians have, which nothing bounds."""
    values = [
        r.latency.p50.value if r.latency and r.latency.p50 else 0 for r in (baseline, candidate)
    ]
    if min(values) <= 0:
        return Estimate(None, Method.MEDIANS, reason)
    value = math.log(values[1]) - math.log(values[0])
    return Estimate(LogRatio(value, None, None, None, reason), Method.MEDIANS)


def _throughput(baseline: RunResult, candidate: RunResult) -> Estimate:
    """Time per item, so that below 1 is faster here too."""
    sides = [r.offline.items_per_second if r.offline else None for r in (baseline, candidate)]
    old, new = sides
    if old is None or new is None or min(old.value, new.value) <= 0:
        return Estimate(None, Method.INTERVALS, "one of the two has no throughput")
    return _of_intervals(_inverted(old), _inverted(new), baseline, candidate)


def _inverted(rate: Interval) -> Interval:
    if not rate.low or not rate.high:
        return Interval(value=1 / rate.value, low=None, high=None)
    return Interval(value=1 / rate.value, low=1 / rate.high, high=1 / rate.low)


def _sentinel(baseline: RunResult, candidate: RunResult) -> Estimate:
    old, new = baseline.sentinel, candidate.sentinel
    if old is None or new is None:
        without = [r for r in (baseline, candidate) if r.sentinel is None]
        reason = without[0].sentinel_reason or "no sentinel was timed"
        return _no_units(reason)
    if old.kind != new.kind:
        reason = f"two sentinels are not one: {old.kind}, {new.kind}"
        return _no_units(reason)
    first, second = old.relative_p50, new.relative_p50
    if first is None or second is None or min(first.value, second.value) <= 0:
        why = old.relative_p50_reason or new.relative_p50_reason
        return _no_units(why or "no latency in units of the sentinel")
    return _of_intervals(first, second, baseline, candidate)._replace(basis=Basis.SENTINEL)


def _no_units(reason: str) -> Estimate:
    return Estimate(None, Method.INTERVALS, reason, basis=Basis.SENTINEL)


def _of_intervals(
    old: Interval, new: Interval, baseline: RunResult, candidate: RunResult
) -> Estimate:
    counts = len(baseline.repetitions), len(candidate.repetitions)
    found = log_ratio.of_intervals(old, new, max(1, min(counts) - 1))
    reason = log_ratio.too_few(*counts)
    if reason is not None:
        found = LogRatio(found.value, None, None, None, reason)
    return Estimate(found, Method.INTERVALS, found.reason)


# --- what else a verdict must stand up to -----------------------------------------------------


def _judged_on_both(found: Comparison, baseline: RunResult, candidate: RunResult) -> Comparison:
    """Withdraw what the device's own speed explains."""
    if found.sentinel_ratio is None or found.verdict is Verdict.INCONCLUSIVE:
        return found
    relative = judge(found.sentinel_ratio, found.margin)
    speed = _speed(baseline, candidate)
    opposite = {found.verdict, relative} == {Verdict.FASTER, Verdict.SLOWER}
    if relative is found.verdict or not (opposite or speed):
        return found
    cause = speed or "the sentinel says the opposite"
    reason = f"it would be {found.verdict.value} in seconds, but {cause}"
    update = {"verdict": Verdict.INCONCLUSIVE, "reason": reason, "notes": ()}
    return found.model_copy(update=update)


def _speed(baseline: RunResult, candidate: RunResult) -> str | None:
    """By how much the device itself changed, where that is certain."""
    if baseline.sentinel is None or candidate.sentinel is None:
        return None
    old, new = baseline.sentinel.seconds, candidate.sentinel.seconds
    if old.value <= 0 or not (old.below(new) or new.below(old)):
        return None
    change = new.value / old.value - 1
    word = "slower" if change > 0 else "faster"
    return f"the device itself had become {percent(abs(change))} {word}"


def _with_sentinel(found: Comparison) -> Comparison:
    if found.sentinel_ratio is None:
        return found
    note = f"In units of the sentinel the ratio is {ratio(found.sentinel_ratio)}."
    return found.model_copy(update={"notes": (*found.notes, note)})


def _with_shared_flags(found: Comparison, baseline: RunResult, candidate: RunResult) -> Comparison:
    """A flag on both sides is no difference, and still a doubt."""
    shared = {f.name for f in baseline.flags} & {f.name for f in candidate.flags}
    if not shared:
        return found
    note = f"Both are flagged {', '.join(sorted(shared))}."
    return found.model_copy(update={"notes": (*found.notes, note)})
