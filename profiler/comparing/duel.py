"""Two configurations against each other on this device, live: their repetitions take turns."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from profiler.comparing.compare import MARGIN, Names, Round, compare_paired
from profiler.comparing.comparison import Comparison
from profiler.errors import InputError
from profiler.events import ProgressEvent
from profiler.local_run import requests_for
from profiler.order import abba
from profiler.pool import WorkerPool
from profiler.result import RunResult, RunStatus
from profiler.sensors.setup import ALL_SENSORS, SensorSetup
from profiler.session import measure
from profiler.spec import RunSpec

# Two processes of each in a round.
PER_ROUND = 2


class Side(NamedTuple):
    """One of the two: what to measure, and the artifact's file."""

    spec: RunSpec
    path: Path | None


class Outcome(NamedTuple):
    """The verdict; ``None`` where one of the two failed, which its result tells."""

    comparison: Comparison | None
    results: tuple[RunResult, RunResult]


def duel(
    baseline: Side,
    candidate: Side,
    *,
    rounds: int,
    cache_dir: Path,
    names: Names,
    margin: float = MARGIN,
    on_progress: Callable[[int, ProgressEvent], None],
    python: str = sys.executable,
    sensors: SensorSetup = ALL_SENSORS,
) -> Outcome:
    """Measure both in rounds of A B B A, and compare round by round.

    What slows the device for longer than a round slows both alike, and cancels in its ratio.

    Args:
        baseline: its spec's ``max_time_seconds`` is for all of its processes together.
        candidate: likewise.
        rounds: of two processes of each.
        cache_dir: converted models are kept here.
        names: for the sentence.
        margin: of equivalence, relative.
        on_progress: called with 0 for the baseline, 1 for the candidate.
        python: the interpreter of the workers.
        sensors: what is read meanwhile.

    Raises:
        InputError: the two measure different things, which no ratio could compare.
    """
    if baseline.spec.scenario is not candidate.spec.scenario:
        raise InputError(
            "scenario", candidate.spec.scenario, f"is not {baseline.spec.scenario}",
            "Compare within one scenario",
        )  # fmt: skip
    update = {"repetitions": PER_ROUND * rounds}
    with (
        tempfile.TemporaryDirectory(prefix="fleetmark-") as work,
        WorkerPool(python=python, keep=0) as pool,
    ):
        sides = [(side.spec.model_copy(update=update), side.path) for side in (baseline, candidate)]
        requests = requests_for(sides, Path(work), cache_dir=cache_dir, sensors=sensors)
        old, new = measure(
            requests,
            pool,
            on_progress=on_progress,
            order=lambda _counts, seed: abba(rounds, seed),
            seed=baseline.spec.seed,
        )
    if any(result.status is not RunStatus.SUCCEEDED for result in (old, new)):
        return Outcome(None, (old, new))
    turns = [
        Round(baseline=_round_of(old, number), candidate=_round_of(new, number))
        for number in range(rounds)
    ]
    return Outcome(compare_paired(turns, margin=margin, names=names), (old, new))


def _round_of(result: RunResult, number: int) -> tuple[float, ...]:
    """The medians of a round's two processes, in seconds."""
    by_index: Sequence[float] = [
        each.median_seconds for each in sorted(result.repetitions, key=lambda r: r.index)
    ]
    return tuple(by_index[PER_ROUND * number : PER_ROUND * (number + 1)])
