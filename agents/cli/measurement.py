"""What ``run`` and ``submit`` ask of a measurement, from their options' texts."""

from __future__ import annotations

import re
from typing import NamedTuple

from agents.cli import options
from profiler.contradictions import refuse_quick_repetitions
from profiler.errors import InputError
from profiler.spec import (
    Scenario,
    ServerSpec,
    StopSpec,
    quick_seconds,
    usual_repetitions,
)

PERCENTILES = ("p50", "p90", "p95", "p99", "p999")
_SIDE = r"[1-9]\d{0,4}"


class Effort(NamedTuple):
    """How long and in how many processes."""

    repetitions: int
    max_time_seconds: float


def effort(repetitions: int | None, max_time: float, scenario: Scenario, *, quick: bool) -> Effort:
    """Repetitions and time; ``quick`` is one process in a part of the time.

    Raises:
        InputError: quick and a number of repetitions contradict each other.
    """
    if not quick:
        usual = usual_repetitions(scenario)
        return Effort(usual if repetitions is None else repetitions, max_time)
    refuse_quick_repetitions(repetitions)
    return Effort(1, quick_seconds(max_time, scenario))


def scenario_of(text: str) -> Scenario:
    return options.choice("scenario", text, Scenario)


def server_of(
    scenario: Scenario, rate: float | None, latency_bound: float | None, percentile: str | None
) -> ServerSpec | None:
    """The load of the scenario ``server``.

    Raises:
        InputError: an option of it is given without it, or it has none or both.
    """
    given = {"rate": rate, "latency-bound": latency_bound}
    named = {name: value for name, value in given.items() if value is not None}
    if scenario is not Scenario.SERVER:
        for name, value in named.items():
            raise InputError(name, value, "is about --scenario server", "Add it, or leave this out")
        return None
    if len(named) != 1:
        problem = "needs a rate or a latency bound" if not named else "takes one of both"
        raise InputError(
            "scenario", scenario, problem,
            "Say --rate 100, or --latency-bound 0.05 to search the highest rate",
        )  # fmt: skip
    return options.build(
        ServerSpec,
        rate_per_second=rate,
        latency_bound_seconds=latency_bound,
        # A bound on the median says nothing about a queue: what is not asked for is the tail.
        percentile=percentile or "p99",
    )


def stop_of(target: str, percentile: str) -> StopSpec:
    """``1%`` or ``0.01`` → the stop rule.

    Raises:
        InputError: that is no share, or the percentile is unknown.
    """
    if percentile not in PERCENTILES:
        raise InputError(
            "percentile", percentile, "is unknown", f"There are: {', '.join(PERCENTILES)}"
        )
    number, percent = target.strip().removesuffix("%"), target.strip().endswith("%")
    try:
        value = float(number) / (100 if percent else 1)
    except ValueError as error:
        raise InputError("target", target, "is no share", "Write 1% or 0.01") from error
    if not 0 <= value < 1:
        raise InputError("target", target, "is not between 0 and 100 %", "Write 1% or 0.01")
    return options.build(StopSpec, percentile=percentile, relative_half_width=value)


def resolutions(text: str | None) -> tuple[tuple[int, int] | None, ...]:
    """``224,160x120`` → (height, width) of each.

    Raises:
        InputError: one is neither a side nor height x width.
    """
    if text is None:
        return (None,)
    found = []
    for part in options.split("resolution", text):
        if not re.fullmatch(rf"{_SIDE}(x{_SIDE})?", part):
            raise InputError("resolution", part, "is no size", "Write 224, or 160x120 (H x W)")
        height, _, width = part.partition("x")
        found.append((int(height), int(width or height)))
    return tuple(found)
