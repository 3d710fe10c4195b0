"""What fleetmark itself costs the measured work."""

from __future__ import annotations

from datetime import datetime

from profiler.base import Frozen
from profiler.results.latency import Interval


class OverheadFigure(Frozen):
    """What a part of fleetmark costs the measured work: relative slow-down, with 95 % bounds."""

    what: str
    relative: Interval
    pairs: int
    control: Interval
    passes: bool


class Overhead(Frozen):
    """This device's own overhead, as ``fleetmark overhead`` measured it."""

    measured_at: datetime
    model: str
    runtime: str
    figures: tuple[OverheadFigure, ...]
