"""How much a device varies from one run to the next: pure functions.

An interval within a run holds for the time that was measured. A machine whose speed wanders over
minutes (a hypervisor's neighbours, a shared cache, a room that warms up) gives another median half
an hour later, and no run of ten seconds can show by how much. Earlier runs of the same
configuration on the same device can, and those of others until there are enough.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from profiler.result import Experience, Interval, OverRuns
from profiler.stats import student

# With fewer earlier runs Student's quantile would make the interval useless.
LEAST_PAST = 3
# What lies longer back tells of another device: it was updated, moved, cleaned.
MOST_PAST = 19
# exp() of it is a factor of a million; a spread that large says that nothing is known.
_LARGEST_LOG = 14.0


class Known(NamedTuple):
    """The variation from run to run, or why it is not known."""

    found: OverRuns | None
    reason: str | None


class Variation(NamedTuple):
    """From run to run: relative standard deviation, its degrees of freedom, number of runs."""

    sd: float
    freedom: float
    runs: int


def over_runs(
    seconds: float, past: Sequence[float], others: Sequence[Sequence[float]] = ()
) -> Known:
    """The interval in which runs of this configuration on this device lie.

    Args:
        seconds: median of this run.
        past: medians of earlier runs, in their order.
        others: the same of other configurations on this device, which stand in while this one
            has too few.
    """
    medians = [*past[-MOST_PAST:], seconds]
    if min(medians) <= 0:
        return Known(None, "the clock is too coarse for this model")
    if len(medians) > LEAST_PAST:
        return Known(_stated(seconds, variation(medians), Experience.CONFIGURATION), None)
    typical = _typical([variation(each) for each in others if len(each) > LEAST_PAST])
    if typical is not None:
        return Known(_stated(seconds, typical, Experience.DEVICE), None)
    return Known(
        None,
        f"{len(medians)} run(s) of this configuration are known on this device, and "
        f"{LEAST_PAST + 1} tell how far runs lie apart",
    )


def variation(medians: Sequence[float]) -> Variation:
    """From the mean square successive difference of the logarithms (von Neumann 1941).

    Not from their spread: a step, as an update makes one, counts once and not for every run after
    it. Its degrees of freedom are 2 (n - 1)² / (3 n - 4), from its variance for normal values.
    """
    n = len(medians)
    steps = np.diff(np.log(medians))
    sd = math.sqrt(float(np.sum(steps**2)) / (2 * (n - 1)))
    return Variation(sd, 2 * (n - 1) ** 2 / (3 * n - 4), n)


def _typical(known: Sequence[Variation]) -> Variation | None:
    """Of a device's configurations: the middle one, as sure as the least sure of them.

    One model of microseconds that jitters by a fifth says little about another one.
    """
    if not known:
        return None
    middle = sorted(known)[len(known) // 2]
    return Variation(
        middle.sd, min(each.freedom for each in known), sum(each.runs for each in known)
    )


def _stated(seconds: float, found: Variation, of: Experience) -> OverRuns:
    half = min(student(found.freedom) * found.sd, _LARGEST_LOG)
    return OverRuns(
        runs=found.runs,
        of=of,
        relative_sd=found.sd,
        freedom=found.freedom,
        p50=Interval(value=seconds, low=seconds * math.exp(-half), high=seconds * math.exp(half)),
    )


def differences(found: OverRuns) -> float:
    """95 % half-width of the logarithm of the ratio of two runs, if nothing but time lies between.

    The two differ by the root of 2 more than one differs from their mean.
    """
    return math.sqrt(2) * student(found.freedom) * found.relative_sd
