"""Options that were given and would change nothing, or stand in each other's way.

A specification has a value for every field, given or not. Whether somebody asked for it is known
only where options are read: on the command line and in ``profile``.
"""

from __future__ import annotations

from profiler.errors import InputError
from profiler.spec import Scenario

_LEAVE_OUT = "Leave it out"


def refuse_idle_options(
    scenario: Scenario,
    *,
    target: object = None,
    percentile: object = None,
    settle_time: object = None,
) -> None:
    """Options without a meaning in the scenario; ``None`` was not given.

    Raises:
        InputError: one of them was given.
    """
    if settle_time is not None and scenario is not Scenario.SUSTAINED:
        raise InputError(
            "settle-time", settle_time, f"is about the scenario sustained, not {scenario}",
            _LEAVE_OUT,
        )  # fmt: skip
    if percentile is not None and scenario is Scenario.OFFLINE:
        raise InputError(
            "percentile", percentile, "is one of latency, and the scenario offline has none",
            _LEAVE_OUT,
        )  # fmt: skip
    if target is not None and scenario is Scenario.SERVER:
        raise InputError(
            "target", target, "ends nothing in the scenario server, which takes all of its time",
            _LEAVE_OUT,
        )  # fmt: skip


def refuse_deadline(timeout_seconds: float, max_time_seconds: float) -> None:
    """Raises:
    InputError: the run would be ended before its time is over.
    """
    if timeout_seconds < max_time_seconds:
        raise InputError(
            "timeout", f"{timeout_seconds:g}",
            f"would end the run within the {max_time_seconds:g} s that it may measure",
            f"Lower --max-time, or raise --timeout above {max_time_seconds:g} s",
        )  # fmt: skip


def refuse_quick_repetitions(repetitions: int | None) -> None:
    """Several processes in a first look, which is one; ``None`` was not given.

    Raises:
        InputError: another number of them was given.
    """
    if repetitions not in (None, 1):
        raise InputError(
            "repetitions", repetitions, "contradicts --quick, which is one process",
            "Leave one of both away",
        )  # fmt: skip
