"""What a result's own stamps tell of the clock of the device that made it."""

from __future__ import annotations

from datetime import datetime

from profiler.result import RunResult

# Of a clock that is set by NTP, and of the way of a result to the coordinator, there is less.
TOLERANCE_SECONDS = 60.0


def offset_seconds(result: RunResult, submitted: datetime, received: datetime) -> float | None:
    """How far the device's clock is off at least, negative if behind; ``None``: it may be right.

    A run cannot end before it was submitted, nor after its result came. In between nothing is
    claimed: a device that was cut off delivers late, with a clock that is right.

    Args:
        submitted: when the run was, by the coordinator's clock.
        received: when its result came, by the same clock.
    """
    ahead = (result.finished_at - received).total_seconds()
    behind = (result.finished_at - submitted).total_seconds()
    if ahead > TOLERANCE_SECONDS:
        return ahead
    return behind if behind < -TOLERANCE_SECONDS else None
