"""What lowered the device's clocks while it measured. Data only."""

from __future__ import annotations

from profiler.base import Frozen


class ThrottleShare(Frozen):
    """One cause, as one channel tells of it.

    ``cause`` is a ``ThrottleCause``, or ``clock_drop`` where nothing tells of throttling and the
    clock fell all the same. ``share`` is of the timed parts. ``counted``: the device counted the
    time itself; else it is that of the readings that found it throttled, to within one of them.
    """

    source: str
    cause: str
    share: float
    counted: bool


class Throttling(Frozen):
    """How much of the timed parts was throttled, and why.

    Attributes:
        share: of the time in which the readings tell, that in which any cause held.
        iterations_share: of the timed iterations, those that overlapped it.
        causes: the largest share first; those that never held are left out.
        channels: how many tell of throttling.
    """

    share: float
    iterations_share: float | None
    causes: tuple[ThrottleShare, ...]
    channels: int
