"""How long a repetition may go on in all while its device has not settled."""

from __future__ import annotations

from profiler.spec import RunSpec, Scenario

# Of what is left of the run's deadline, the wait for a device takes no more than this.
SETTLE_SHARE = 0.8


def limit_seconds(spec: RunSpec, left_seconds: float, repetitions: int) -> float:
    """Measured and unsettled is better than ended by the deadline without a figure.

    Args:
        spec: of the run; 0 s in any scenario but ``sustained``.
        left_seconds: until the run is ended.
        repetitions: that are to share them.
    """
    if spec.scenario is not Scenario.SUSTAINED:
        return 0.0
    return min(spec.settle_seconds, SETTLE_SHARE * max(0.0, left_seconds) / repetitions)
