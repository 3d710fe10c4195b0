"""What the sensors did, and which there were none of."""

from __future__ import annotations

from profiler.base import Frozen


class SamplerReport(Frozen):
    """What the sampler did: its own cost and its gaps."""

    readings: int
    failed_readings: int
    missed_ticks: int
    largest_gap_seconds: float
    cpu_seconds: float
    cpu_affinity: tuple[int, ...]
    sources: tuple[str, ...]


class AbsentSource(Frozen):
    """A sensor source that could not be read here, why, and what would help.

    ``expected`` is false where this kind of device does not have it, so that nobody misses it: a
    Jetson's rails on a desktop.
    """

    source: str
    reason: str
    remedy: str | None = None
    expected: bool = True
