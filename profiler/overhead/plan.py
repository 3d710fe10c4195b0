"""Measuring our own overhead: what is asked, and what was seen. Data only."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Literal

from profiler.base import Frozen, StrEnum


class Subject(StrEnum):
    """What is held still and let go; ``control`` is nothing.

    ``recorded_tree`` is a sampler of another device's sensors, from a copy of its files.
    """

    SAMPLER = "sampler"
    RECORDED = "recorded_tree"
    FLEET = "fleet"
    CONTROL = "control"


class OverheadPlan(Frozen):
    """What to measure.

    Attributes:
        rounds: of four blocks each, for every subject.
        hertz: of the sampler.
        fleet_pids: the fleet's processes on this device; none: they are not measured.
        warmup_seconds: before the first block.
        recorded_root: a recorded device tree; a second sampler reads all of its sources.
    """

    rounds: int
    hertz: float
    fleet_pids: tuple[int, ...]
    warmup_seconds: float
    seed: int
    recorded_root: Path | None = None


class Round(Frozen):
    """One round: median latencies of its two blocks at rest, and of its two with the subject."""

    subject: Subject
    still: tuple[float, float]
    running: tuple[float, float]

    @property
    def log_ratio(self) -> float:
        """Of running over still."""
        return math.log(sum(self.running)) - math.log(sum(self.still))


class OverheadMeasured(Frozen):
    """All rounds, in the order of time."""

    kind: Literal["overhead_measured"] = "overhead_measured"
    rounds: tuple[Round, ...]
