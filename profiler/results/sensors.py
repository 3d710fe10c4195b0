"""What the sensors did, and which there were none of."""

from __future__ import annotations

from profiler.base import Frozen


class SourceReport(Frozen):
    """What the sampler did with one source.

    A read that took a second or longer *blocked*; its readings are counted as failed, since nobody
    knows when in that time they were taken. ``error`` is the last of a read as a whole; ``None``:
    there was none.
    """

    source: str
    reads: int
    readings: int
    failed_readings: int
    missed_ticks: int
    largest_gap_seconds: float
    longest_read_seconds: float
    blocked_seconds: float
    cpu_seconds: float
    own_thread: bool
    error: str | None = None


class SamplerReport(Frozen):
    """What the sampler did: its own cost and its gaps.

    ``largest_gap_seconds`` is between two ticks of a source that is read at full rate.
    ``kept_off`` tells whether it ran on other CPUs than the workload; ``None``: not known which
    those are.
    """

    readings: int
    failed_readings: int
    missed_ticks: int
    largest_gap_seconds: float
    cpu_seconds: float
    cpu_affinity: tuple[int, ...]
    kept_off: bool | None = None
    kept_off_reason: str | None = None
    sources: tuple[str, ...]
    by_source: tuple[SourceReport, ...] = ()


class AbsentSource(Frozen):
    """A sensor source that could not be read here, why, and what would help.

    ``expected`` is false where this kind of device does not have it, so that nobody misses it: a
    Jetson's rails on a desktop. ``hangs``: opening it did not come back while the run lasted.
    """

    source: str
    reason: str
    remedy: str | None = None
    expected: bool = True
    hangs: bool = False
