"""Wire types of baselines: what a run is compared with, and what came of it."""

from __future__ import annotations

from datetime import datetime

from profiler.base import Frozen
from profiler.comparing.comparison import Comparison, Verdict
from profiler.result import Interval


class RunVerdict(Frozen):
    """The verdict on a run against its baseline, as it was found when its result came.

    Attributes:
        run_id: the candidate.
        baseline_run_id: what it was compared with.
        pinned: the baseline was chosen by a user; else it is the run before.
        ratio: of median latencies, candidate / baseline, with 95 % bounds; ``None`` where the two
            may not be compared, or there is no ratio.
        reason: why the verdict is ``inconclusive``.
        sentence: all of it in words.
        judged_at: by the coordinator's clock.
    """

    run_id: str
    baseline_run_id: str
    pinned: bool
    verdict: Verdict
    ratio: Interval | None
    reason: str | None
    sentence: str
    judged_at: datetime


class VerdictDetail(Frozen):
    """A verdict with all that led to it."""

    verdict: RunVerdict
    comparison: Comparison


class Configuration(Frozen):
    """What is compared with itself over time: a model as it is run on one device."""

    device: str
    model: str
    accelerator: str | None
    runtime: str
    precision: str | None
    batch_size: int
    threads: int | None
    inputs: str
    scenario: str


class Standing(Frozen):
    """How a configuration stands against its baseline.

    Attributes:
        run_id: its latest successful run.
        received_at: when that came, by the coordinator's clock.
        p50_seconds: of that run; ``None`` where it has none.
        pinned_run_id: the baseline that a user chose; ``None``: the run before is the baseline.
        verdict: ``None`` comes with ``reason``.
    """

    configuration: Configuration
    run_id: str
    received_at: datetime
    p50_seconds: float | None
    pinned_run_id: str | None
    verdict: RunVerdict | None
    reason: str | None


class StandingList(Frozen):
    """One standing per configuration; the latest first."""

    standings: tuple[Standing, ...]


class JudgedRun(Frozen):
    """One run in the history of a device: its median and the verdict on it."""

    configuration: Configuration
    run_id: str
    received_at: datetime
    p50_seconds: float | None
    p50_low_seconds: float | None
    p50_high_seconds: float | None
    verdict: RunVerdict | None


class History(Frozen):
    """Successful runs, newest first."""

    runs: tuple[JudgedRun, ...]
