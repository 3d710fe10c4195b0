"""What a tool said about one model, whatever it is called there."""

from __future__ import annotations

import json
import re
from pathlib import PurePath
from typing import Any

from pydantic import Field

from agents.messages import RunList
from profiler.base import Frozen
from profiler.errors import FleetmarkError
from profiler.result import Interval, RunResult, RunStatus

# Further figures of the same run, each with a row of its own.
UNDISTURBED = "undisturbed blocks only"
IN_SENTINELS = "in units of the sentinel"
AT_USUAL_SPEED = "at the device's usual speed"

_LOADGEN_LINE = re.compile(r"^:::MLLOG (\{.*\})$", re.MULTILINE)
# benchmark_app changes the unit below 1 ms; either way it shows two decimals.
_MEDIAN = re.compile(r"\bMedian:\s+([\d.]+) (us|ms)\b")
_UNITS = {"us": 1e-6, "ms": 1e-3}


class ToolFailed(FleetmarkError):  # noqa: N818 - a row of a table, not the end
    """A tool gave no figure; the others go on."""


class Figure(Frozen):
    """A central figure with the bounds that its tool gives, if it gives any."""

    value: float
    low: float | None = None
    high: float | None = None


class Reading(Frozen):
    """One run of one tool.

    Attributes:
        figure: the median, in seconds.
        n: iterations behind it.
        others: further figures of the same run, by ``UNDISTURBED`` and the like.
        extra: figures that no table compares, for the raw data.
        phases: where the tool says that its time went, in seconds.
    """

    figure: Figure
    n: int
    others: dict[str, Figure] = Field(default_factory=dict)
    extra: dict[str, float] = Field(default_factory=dict)
    phases: dict[str, float] = Field(default_factory=dict)


def from_script(output: str) -> Reading:
    """Of our own scripts: their last line.

    Raises:
        ToolFailed: there is none.
    """
    lines = output.strip().splitlines()
    if not lines:
        raise ToolFailed("it printed nothing")
    found = json.loads(lines[-1])
    figure = Figure(value=found["seconds"], low=found.get("low"), high=found.get("high"))
    return Reading(figure=figure, n=found["n"])


def from_loadgen(detail: str) -> Reading:
    """Of ``mlperf_log_detail.txt``.

    Its early-stopping estimate, an upper bound of the 90th percentile at 99 % confidence, is the
    only uncertainty that it states, and it is none of the median.

    Raises:
        ToolFailed: the test did not end.
    """
    found: dict[str, Any] = {}
    for line in _LOADGEN_LINE.findall(detail):
        entry = json.loads(line)
        found[entry["key"]] = entry["value"]
    try:
        median_ns = found["result_50.00_percentile_latency_ns"]
        extra = {
            "p90_seconds": found["result_90.00_percentile_latency_ns"] / 1e9,
            "valid": float(found["result_validity"] == "VALID"),
        }
        if found["early_stopping_latency_ss"]:  # 0: too few queries for one
            extra["p90_bound_seconds"] = found["early_stopping_latency_ss"] / 1e9
        n = found["result_query_count"]
    except KeyError as error:
        raise ToolFailed(f"its log has no {error}") from error
    return Reading(figure=Figure(value=median_ns / 1e9), n=n, extra=extra)


def from_benchmark_app(output: str, threads: int) -> Reading:
    """Of what it prints. It states no uncertainty.

    Raises:
        ToolFailed: there is no median, or it measured something else than it was asked to.
    """
    median = _MEDIAN.search(output)
    count = re.search(r"\bCount:\s+(\d+) iterations", output)
    if median is None or count is None:
        raise ToolFailed("it printed no median")
    for wanted in (
        "INFERENCE_PRECISION_HINT: <Type: 'float32'>",
        f"INFERENCE_NUM_THREADS: {threads}\n",
    ):
        if wanted not in output:
            raise ToolFailed(f"it did not measure with {wanted.strip()}")
    value = float(median[1]) * _UNITS[median[2]]
    return Reading(figure=Figure(value=value), n=int(count[1]))


def from_fleetmark(output: str) -> Reading:
    """Of ``fleetmark run --json``.

    Raises:
        ToolFailed: the run failed.
    """
    (result,) = RunList.model_validate_json(output).runs
    return from_result(result)


def from_result(result: RunResult) -> Reading:
    """Raises:
    ToolFailed: it has no figures.
    """
    if result.status is not RunStatus.SUCCEEDED or result.latency is None:
        raise ToolFailed(result.error.message if result.error else "it has no latency")
    middle = _figure(result.latency.p50)
    if middle is None:
        raise ToolFailed(f"it has no median: {result.latency.p50_reason}")
    sentinel = result.sentinel.relative_p50 if result.sentinel else None
    calm = result.latency_undisturbed.p50 if result.latency_undisturbed else None
    usual = result.at_usual_speed.p50 if result.at_usual_speed else None
    others = {
        UNDISTURBED: _figure(calm),
        IN_SENTINELS: _figure(sentinel),
        AT_USUAL_SPEED: _figure(usual),
    }
    return Reading(
        figure=middle,
        n=result.latency.n,
        others={name: found for name, found in others.items() if found},
        extra={f"flag {flag.name}": 1.0 for flag in result.flags},
        phases=result.phases_seconds,
    )


def _figure(found: Interval | None) -> Figure | None:
    return Figure(value=found.value, low=found.low, high=found.high) if found else None


def tail(text: str, directory: PurePath) -> str:
    """The last line that says something, without the name of a temporary directory."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1].replace(str(directory), "…")[:200] if lines else "it said nothing"
