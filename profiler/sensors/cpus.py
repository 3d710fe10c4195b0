"""Where the sampler runs: off the workload's CPUs, where there are others."""

from __future__ import annotations

import os
from collections.abc import Collection
from typing import NamedTuple

# Off the workload's CPUs only where there are more than two.
_MIN_CPUS_TO_MOVE = 3


class Place(NamedTuple):
    """The CPUs for the sampler; ``kept_off`` is ``None`` where the workload's are not known."""

    cpus: frozenset[int]
    kept_off: bool | None
    reason: str | None = None


def choose(allowed: Collection[int], workload: Collection[int]) -> Place:
    """The CPUs that the workload leaves, or all where there is no choice.

    Args:
        allowed: where the sampler may run.
        workload: where the measured work may run; empty when not known.
    """
    everywhere = frozenset(allowed)
    if not workload:
        return Place(everywhere, None, "where the workload runs is not known")
    if len(everywhere) < _MIN_CPUS_TO_MOVE:
        return Place(everywhere, kept_off=False, reason=f"there are {len(everywhere)} CPUs")
    others = everywhere - frozenset(workload)
    if not others:
        return Place(
            everywhere, kept_off=False, reason=f"the workload may use all {len(everywhere)} CPUs"
        )
    return Place(others, kept_off=True)


def move(workload: Collection[int]) -> Place:
    """Move this process to where ``choose`` says; threads that it starts later come along.

    A workload that is bound to some CPUs has a sampler that was bound with it, by inheritance: it
    may run on all that its control group allows.
    """
    if workload:
        widest = range(os.cpu_count() or 1)
        os.sched_setaffinity(0, {*os.sched_getaffinity(0), *widest})
    place = choose(os.sched_getaffinity(0), workload)
    os.sched_setaffinity(0, place.cpus)
    return place
