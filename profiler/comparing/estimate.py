"""A ratio of two results' figures on its way to a verdict."""

from __future__ import annotations

from typing import NamedTuple

from profiler.comparing.comparison import Basis, Method
from profiler.comparing.log_ratio import LogRatio


class Estimate(NamedTuple):
    """Where the ratio comes from, or why there is none; ``note`` is for who reads the verdict."""

    found: LogRatio | None
    method: Method
    reason: str | None = None
    note: str | None = None
    basis: Basis = Basis.WALL_CLOCK
