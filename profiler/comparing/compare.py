"""Baseline and candidate → faster | slower | same | inconclusive.

Three ways in, for three ways of measuring: ``compare`` for the iterations of two sets of processes,
``compare_medians`` where only each process's median was kept, ``compare_paired`` for processes that
took turns. ``compare_results`` has one for two results as they are stored.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from profiler.base import Frozen
from profiler.comparing import bootstrap, log_ratio
from profiler.comparing.comparison import Basis, Comparison, Method, Verdict
from profiler.comparing.log_ratio import LogRatio
from profiler.comparing.report import percent, sentence
from profiler.errors import InputError
from profiler.result import Interval

# Seconds of the timed iterations, one array per process, in measured order.
Sample = Sequence[NDArray[np.float64]]

__all__ = [
    "Basis", "Comparison", "Method", "Names", "Round", "Sample", "Verdict", "compare",
    "compare_medians", "compare_paired", "control_false_discoveries", "judge",
]  # fmt: skip

# Differences within ±1 % are called none: the precision that a run itself is stopped at.
MARGIN = 0.01
# Expected share of false winners among those that several comparisons name.
FALSE_DISCOVERIES = 0.05
# Student's quantile falls from 12.7 to 3.2 between two and four rounds: with fewer, one round that
# something disturbed decides the width.
LEAST_ROUNDS = 4


class Names(NamedTuple):
    """What the sentence calls the two."""

    baseline: str = "the baseline"
    candidate: str = "the candidate"


NAMELESS = Names()


class Round(Frozen):
    """Processes that ran in turns, and their medians in seconds.

    A round is best of four, in the order baseline, candidate, candidate, baseline (ABBA): whatever
    drifts evenly over it then falls on both alike, and what slows all of it cancels in its ratio.
    """

    baseline: tuple[float, ...] = Field(min_length=1)
    candidate: tuple[float, ...] = Field(min_length=1)


def judge(interval: Interval, margin: float = MARGIN) -> Verdict:
    """The verdict that an interval of the ratio allows.

    The margin is the same distance both ways: from 1 / (1 + margin) to 1 + margin. ``same`` is the
    usual equivalence test, at half the usual risk: two one-sided ones (Schuirmann 1987, "A
    comparison of the two one-sided tests procedure and the power approach").
    """
    if interval.low is None or interval.high is None:
        return Verdict.INCONCLUSIVE
    if 1 / (1 + margin) <= interval.low and interval.high <= 1 + margin:
        return Verdict.SAME
    if interval.low > 1:
        return Verdict.SLOWER
    return Verdict.FASTER if interval.high < 1 else Verdict.INCONCLUSIVE


def compare(
    baseline: Sample,
    candidate: Sample,
    *,
    margin: float = MARGIN,
    names: Names = NAMELESS,
    basis: Basis = Basis.WALL_CLOCK,
    resamples: int = bootstrap.RESAMPLES,
    seed: int = 0,
) -> Comparison:
    """From the iterations of several processes of each, by hierarchical bootstrap.

    Args:
        baseline: one array per process, in measured order, such as ``Iterations.timed_groups()``.
        candidate: the same, in the same unit; as many processes or not.
        margin: of equivalence, relative.
        names: for the sentence.
        basis: what the arrays are in.
        resamples: how often each level is drawn.
        seed: of the draws.

    Raises:
        InputError: there is nothing to compare, or a value is no latency.
    """
    check_margin(margin)
    old, new = checked("baseline", baseline), checked("candidate", candidate)
    found = bootstrap.log_ratio(old, new, resamples=resamples, seed=seed)
    return decide(found, Method.BOOTSTRAP, (len(old), len(new)), margin, names, basis)


def compare_medians(
    baseline: Sequence[float],
    candidate: Sequence[float],
    *,
    margin: float = MARGIN,
    names: Names = NAMELESS,
    basis: Basis = Basis.WALL_CLOCK,
) -> Comparison:
    """From one median per process of each, by Welch's t interval of their logarithms.

    Raises:
        InputError: there is nothing to compare, or a value is no latency.
    """
    check_margin(margin)
    old, new = _checked_medians("baseline", baseline), _checked_medians("candidate", candidate)
    found = log_ratio.of_medians(old, new)
    return decide(found, Method.MEDIANS, (len(old), len(new)), margin, names, basis)


def compare_paired(
    rounds: Sequence[Round],
    *,
    margin: float = MARGIN,
    names: Names = NAMELESS,
    basis: Basis = Basis.WALL_CLOCK,
) -> Comparison:
    """From rounds in which both took turns; each gives one ratio, whatever slowed all of it.

    Args:
        rounds: at least 4 for an interval.
        margin: of equivalence, relative.
        names: for the sentence.
        basis: what the medians are in.

    Raises:
        InputError: there is no round, or a value is no latency.
    """
    check_margin(margin)
    if not rounds:
        raise InputError("rounds", "none", "gives nothing to compare", "Measure at least 4")
    logs = []
    for number, each in enumerate(rounds, 1):
        old = _checked_medians(f"baseline of round {number}", each.baseline)
        new = _checked_medians(f"candidate of round {number}", each.candidate)
        logs.append(float(np.mean(np.log(new)) - np.mean(np.log(old))))
    if len(logs) < LEAST_ROUNDS:
        reason = f"{len(logs)} round(s) bound nothing; {LEAST_ROUNDS} or more do"
        found = LogRatio(float(np.mean(logs)), None, None, None, reason)
    else:
        found = log_ratio.of_pairs(logs)
    counts = sum(len(each.baseline) for each in rounds), sum(len(each.candidate) for each in rounds)
    decided = decide(found, Method.ROUNDS, counts, margin, names, basis)
    return worded(decided.model_copy(update={"rounds": len(rounds)}))


def decide(
    found: LogRatio,
    method: Method,
    processes: tuple[int, int],
    margin: float,
    names: Names,
    basis: Basis,
) -> Comparison:
    """An estimate as a comparison, with its verdict and its words."""
    interval = found.interval()
    verdict = judge(interval, margin)
    reason = found.reason
    if verdict is Verdict.INCONCLUSIVE and reason is None:
        reason = f"the interval includes 1 and reaches beyond ±{percent(margin)}"
    return worded(
        Comparison(
            verdict=verdict,
            baseline=names.baseline,
            candidate=names.candidate,
            ratio=interval,
            reason=reason,
            p_value=found.p_value,
            basis=basis,
            method=method,
            margin=margin,
            baseline_processes=processes[0],
            candidate_processes=processes[1],
            notes=_small(interval, verdict, margin),
        )
    )


def worded(found: Comparison) -> Comparison:
    """The comparison with the sentence that says it."""
    return found.model_copy(update={"sentence": sentence(found)})


def _small(interval: Interval, verdict: Verdict, margin: float) -> tuple[str, ...]:
    """A difference that is certain need not be one that matters."""
    nearest = interval.low if verdict is Verdict.SLOWER else interval.high
    if not verdict.winner or nearest is None or max(nearest, 1 / nearest) > 1 + margin:
        return ()
    return (f"The difference is real, but may be smaller than {percent(margin)}.",)


def control_false_discoveries(
    found: Sequence[Comparison], rate: float = FALSE_DISCOVERIES
) -> tuple[Comparison, ...]:
    """Several comparisons that are read together: winners that chance explains are withdrawn.

    Of 20 comparisons of equals one comes out faster or slower at 95 %. With the procedure of
    Benjamini and Hochberg no more than ``rate`` of those that remain are false, on average. Those
    without a p-value, or with something in the way, claim nothing and do not count.
    """
    tested = [i for i, each in enumerate(found) if each.p_value is not None and not each.refusals]
    if len(tested) < 2:  # noqa: PLR2004 - one alone is not several
        return tuple(found)
    adjusted = log_ratio.false_discovery_adjusted([found[i].p_value or 0.0 for i in tested])
    result = list(found)
    for place, p_value in zip(tested, adjusted, strict=True):
        result[place] = _adjusted(found[place], p_value, rate, len(tested))
    return tuple(result)


def _adjusted(found: Comparison, p_value: float, rate: float, count: int) -> Comparison:
    update: dict[str, object] = {"adjusted_p_value": p_value}
    if found.verdict.winner and p_value > rate:
        update |= {
            "verdict": Verdict.INCONCLUSIVE,
            "reason": (
                f"it would be {found.verdict.value} by itself, but as one of {count} comparisons "
                f"it does not survive a false-discovery rate of {percent(rate)}"
            ),
            "notes": (),
        }
    return worded(found.model_copy(update=update))


# --- what is no latency -----------------------------------------------------------------------


def check_margin(margin: float) -> None:
    if not 0 < margin < 1:
        raise InputError("margin", margin, "is no margin", "Choose one above 0 and below 1")


def checked(side: str, groups: Sample) -> list[NDArray[np.float64]]:
    """Arrays that have a median above 0.

    Raises:
        InputError: one has not.
    """
    if not len(groups):
        raise InputError(side, "no process", "gives nothing to compare", "Measure it first")
    found = []
    for number, group in enumerate(groups, 1):
        values = np.asarray(group, dtype=np.float64)
        where = f"process {number}"
        if values.ndim != 1 or not len(values):
            raise InputError(side, where, "has no timed iteration", "Measure it for longer")
        if not np.isfinite(values).all() or values.min() < 0:
            raise InputError(
                side,
                where,
                "holds what is no latency",
                "Give seconds, 0 or more, all of them known",
            )
        _checked_medians(side, [float(np.median(values))])
        found.append(values)
    return found


def _checked_medians(side: str, medians: Sequence[float]) -> list[float]:
    """Raises:
    InputError: there is none, or one of them is no latency above 0.
    """
    if not len(medians):
        raise InputError(side, "no process", "gives nothing to compare", "Measure it first")
    for value in medians:
        if not math.isfinite(value) or value <= 0:
            raise InputError(
                side, value, "is no median to take a ratio of",
                "It must be a number of seconds above 0; use a larger batch for so short a call",
            )  # fmt: skip
    return [float(value) for value in medians]
