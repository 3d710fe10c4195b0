"""Hierarchical bootstrap of the ratio of two latencies: repetition → block of iterations.

Two things make a median uncertain. Processes differ from each other, and inside each the iterations
are noisy and repeat each other. Both are resampled (10,000 times, from a fixed seed), each with the
correction that it needs:

Between processes
    Repetitions are drawn with replacement, their iterations left as they were. The spread of the
    medians already holds the noise inside each process; drawing blocks as well would count that
    twice (Davison and Hinkley 1997, "Bootstrap Methods and their Application", section 3.8). With R
    repetitions the variance of the draws is short by (R - 1) / R, because deviations are taken from
    the sample's own mean, and their quantiles are nearly normal where those of so few are
    Student's. At R = 5 the plain percentile interval covers 84 % of one mean and 88 % of a
    difference, not 95 %. So each side's deviations are scaled by sqrt(R / (R - 1)) and their sum by
    t / z with the degrees of freedom of Welch and Satterthwaite. Hesterberg 2015, "What teachers
    should know about the bootstrap", The American Statistician 69, calls what is corrected
    narrowness bias. In simulations with 2 % between processes the interval covered 94 to 98 % and
    the plain hierarchical bootstrap 64 to 96 %, least where processes are few and their own noise
    is small.

Within processes
    Every repetition is kept; its blocks are drawn with replacement, the iterations of a block
    staying together, since each resembles the one before (Künsch 1989, "The jackknife and the
    bootstrap for general stationary observations", Annals of Statistics 17). There are many blocks,
    so the corrections here are small: those of R do not apply. A drawn set's median is found from
    the share of its iterations that lie below the process's median, carried back through the
    process's own quantiles (Woodruff 1952, "Confidence intervals for medians and other position
    measures", JASA 47). That costs one sort per process, however many draws: a million iterations
    take a fraction of a second.

The interval is the wider of both on each side. The first alone is right on average; the second
keeps a few processes that happen to agree from promising more than their iterations can.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from profiler.autocorrelation import of_percentile
from profiler.comparing.log_ratio import (
    LogRatio,
    Spread,
    bounded,
    joint_freedom,
    too_few,
    wider,
)
from profiler.stats import CONFIDENCE, NORMAL, student

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Seconds = NDArray[np.float64]

RESAMPLES = 10_000
# A block is so many autocorrelation times long. For AR(1) a block of L leaves out about tau / 2 L
# of the variance of a mean (Künsch 1989): here a tenth, 5 % of the width.
BLOCK_TIMES = 5
# Blocks of one side, all processes together. More make no interval better, and longer blocks than
# needed are harmless.
MOST_BLOCKS = 400
LEAST_BLOCKS = 2


class Process(NamedTuple):
    """One process: its log median, its latencies in order, and its blocks.

    ``shares`` has, per block, the share of iterations below the median; those equal to it, which a
    coarse clock gives many of, count half.
    """

    log_median: float
    ordered: Seconds
    shares: Seconds


def describe(values: Seconds, most_blocks: int = MOST_BLOCKS) -> Process:
    """A process ready for resampling.

    Args:
        values: seconds, in measured order, with a median above 0.
        most_blocks: it is cut into no more than this.
    """
    middle = float(np.median(values))
    length = BLOCK_TIMES * of_percentile(values, 0.5).time
    count = int(max(1, min(most_blocks, len(values) // length)))
    edges = np.linspace(0, len(values), count + 1).astype(np.int64)
    below = (values < middle) + 0.5 * (values == middle)
    shares = np.add.reduceat(below, edges[:-1]) / np.diff(edges)
    return Process(math.log(middle), np.sort(values), shares)


def resampled_medians(process: Process, resamples: int, rng: np.random.Generator) -> Seconds:
    """Log medians of a process whose blocks were drawn with replacement.

    With fewer than two blocks nothing is known of the noise inside, and all are the same.
    """
    count = len(process.shares)
    if count < LEAST_BLOCKS:
        return np.full(resamples, process.log_median)
    drawn = process.shares[rng.integers(count, size=(resamples, count))].mean(axis=1)
    # As for repetitions, but with many: the variance of draws is short by 1 / count.
    shift = (drawn - process.shares.mean()) * math.sqrt(count / (count - 1))
    places = np.clip(0.5 - shift, 0.0, 1.0) * (len(process.ordered) - 1)
    found = np.interp(places, np.arange(len(process.ordered)), process.ordered)
    # A clock that reads 0 for some calls must not make the logarithm infinite.
    least = process.ordered[np.searchsorted(process.ordered, 0.0, side="right")]
    return np.asarray(np.log(np.maximum(found, least)), dtype=np.float64)


class _Side(NamedTuple):
    """Deviations of one side's mean log median, for both levels, and what they are known by."""

    centre: float
    between: Seconds
    between_spread: Spread
    within: Seconds
    within_spread: Spread


def _side(groups: Sequence[Seconds], resamples: int, rng: np.random.Generator) -> _Side:
    count = len(groups)
    most = max(LEAST_BLOCKS, MOST_BLOCKS // count)
    processes = [describe(group, most) for group in groups]
    logs = np.array([process.log_median for process in processes])
    centre = float(logs.mean())
    drawn = logs[rng.integers(count, size=(resamples, count))].mean(axis=1) - centre
    within = np.zeros(resamples)
    for process in processes:
        within += (resampled_medians(process, resamples, rng) - process.log_median) / count
    return _Side(
        centre=centre,
        between=drawn * math.sqrt(count / (count - 1)),
        between_spread=Spread(float(logs.var(ddof=1)) / count, count - 1),
        within=within,
        within_spread=Spread(
            float(within.var()), sum(len(process.shares) - 1 for process in processes)
        ),
    )


def log_ratio(
    baseline: Sequence[Seconds],
    candidate: Sequence[Seconds],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> LogRatio:
    """The ratio candidate / baseline of typical medians, with its corrected 95 % interval.

    Args:
        baseline: one array per process, in measured order; every median is above 0.
        candidate: the same, in the same unit; as many processes or not.
        resamples: how often each level is drawn.
        seed: of the draws.
    """
    if reason := too_few(len(baseline), len(candidate)):
        medians = [
            np.mean([math.log(np.median(g)) for g in side]) for side in (baseline, candidate)
        ]
        return LogRatio(float(medians[1] - medians[0]), None, None, None, reason)
    rng = np.random.default_rng(seed)
    old, new = (_side(side, resamples, rng) for side in (baseline, candidate))
    value = new.centre - old.centre
    found = _corrected(value, new.between - old.between, (old.between_spread, new.between_spread))
    inside = (old.within_spread, new.within_spread)
    if sum(spread.freedom for spread in inside) == 0:
        return found
    return wider(found, _corrected(value, new.within - old.within, inside))


def _corrected(value: float, deviations: Seconds, spreads: Sequence[Spread]) -> LogRatio:
    """Percentile interval of the deviations, widened from normal to Student's quantiles."""
    freedom = joint_freedom(spreads)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(deviations, [tail, 1 - tail]) * (student(freedom) / NORMAL)
    return bounded(value, max(0.0, -float(low)), max(0.0, float(high)), freedom)
