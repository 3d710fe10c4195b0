"""The figures of one result in words, one to a row: what, how much, how sure or why not."""

from __future__ import annotations

from statistics import median
from typing import NamedTuple

from profiler import units
from profiler.result import Interval, Latency, RepetitionFigures, RunResult, StartMethod

PERCENTILES = {"p50": "p50", "p90": "p90", "p95": "p95", "p99": "p99", "p999": "p99.9"}


class Figure(NamedTuple):
    """A figure for people. ``note`` is its 95 % interval, or why there is none."""

    name: str
    value: str
    note: str = ""


def headline(result: RunResult) -> list[Figure]:
    """All that a reader looks for first; a figure that is missing says why."""
    rows = _latency(result.latency, result.latency_reason)
    undisturbed = result.latency_undisturbed
    if undisturbed is not None and undisturbed.p50 is not None:
        rows.append(_timed("p50, undisturbed blocks only", undisturbed.p50, undisturbed.p50_reason))
    cool = result.latency_unthrottled
    if cool is not None and cool.p50 is not None:
        rows.append(_timed("p50, unthrottled iterations only", cool.p50, cool.p50_reason))
    rows += _relative(result)
    rows += _usual(result)
    rows += _throughput(result)
    rows += _server(result)
    rows += _sustained(result)
    rows += _cost(result)
    rows += _cold(result.repetitions)
    return rows


def _latency(latency: Latency | None, reason: str | None) -> list[Figure]:
    if latency is None:
        return [Figure("latency", units.NOTHING, reason or "")]
    return [
        _timed(f"latency {shown}", getattr(latency, name), getattr(latency, f"{name}_reason"))
        for name, shown in PERCENTILES.items()
    ]


def _timed(name: str, found: Interval | None, reason: str | None) -> Figure:
    """Seconds and the bounds in the same unit."""
    if found is None:
        return Figure(name, units.NOTHING, reason or "")
    value, _, bounds = units.interval(found.value, found.low, found.high).partition(" [")
    return Figure(name, value, reason or "" if found.low is None else f"[{bounds}")


def _relative(result: RunResult) -> list[Figure]:
    """Latency in units of the sentinel, where the device's own speed was watched."""
    if result.sentinel is None:
        return []
    name, found = "p50 in units of the sentinel", result.sentinel.relative_p50
    if found is None:
        return [Figure(name, units.NOTHING, result.sentinel.relative_p50_reason or "")]
    return [Figure(name, f"{found.value:.3g}", _bounds(found))]


def _usual(result: RunResult) -> list[Figure]:
    """Once the device's runs tell it: before, there is nothing that a reader could do about it."""
    found = result.at_usual_speed
    if found is None:
        return []
    shown = _timed("p50 at the device's usual speed", found.p50, None)
    return [shown._replace(note=f"{shown.note} of {found.runs} runs")]


def _bounds(found: Interval) -> str:
    return "" if found.low is None else f"[{found.low:.3g}, {found.high:.3g}]"


def _throughput(result: RunResult) -> list[Figure]:
    if result.offline is None:
        return [Figure("items per second", units.rate(result.throughput_items_per_second))]
    name, found = "items per second, pipelined", result.offline.items_per_second
    if found is None:
        return [Figure(name, units.NOTHING, result.offline.reason or "")]
    return [Figure(name, units.rate(found.value), _bounds(found))]


def _server(result: RunResult) -> list[Figure]:
    server = result.server
    if server is None:
        return []
    rows = [Figure("arrivals per second", units.rate(server.rate_per_second))]
    if server.latency_bound_seconds is not None:
        bound = f"{server.percentile} below {units.seconds(server.latency_bound_seconds)}"
        highest = units.rate(server.highest_rate_per_second)
        note = server.highest_rate_reason or f"with {bound}"
        rows.append(Figure("highest arrivals per second", highest, note))
    return rows


def _sustained(result: RunResult) -> list[Figure]:
    found = result.sustained
    if found is None:
        return []
    settled = found.settled_after_seconds
    why_not = found.settled_reason or "did not settle"
    note = why_not if settled is None else f"settled after {units.seconds(settled)}"
    slowdown = found.slowdown
    shown = units.NOTHING if slowdown is None else f"{slowdown.value:.3g}"
    rows = [Figure("slow-down, last tenth over first", shown, found.slowdown_reason or note)]
    latency, why = found.settled_latency, found.settled_latency_reason
    name = "p50, device settled"
    if latency is None:
        return [*rows, Figure(name, units.NOTHING, why or "")]
    return [*rows, _timed(name, latency.p50, latency.p50_reason)]


def _cost(result: RunResult) -> list[Figure]:
    memory, energy = result.memory, result.energy
    peak = memory.peak_rss_bytes if memory else None
    why = (memory.peak_rss_reason if memory else None) or result.memory_reason
    rows = [Figure("peak memory", units.bytes_(peak), "" if peak is not None else why or "")]
    if energy is None:
        rows.append(Figure("energy per item", units.NOTHING, result.energy_reason or ""))
    else:
        figure = energy.headline
        source = figure.provenance
        note = f"{source.source}, {source.scope.value}, ±{100 * source.uncertainty:.2g} %"
        rows.append(Figure("energy per item", units.joules(figure.joules_per_item), note))
    info = result.model_info
    why = "" if info.parameters is not None else info.parameters_reason
    rows.append(Figure("parameters", units.count(info.parameters), why or ""))
    return rows


def _cold(repetitions: tuple[RepetitionFigures, ...]) -> list[Figure]:
    """Loading and the first inference, which are in no distribution."""
    if not repetitions:
        return []
    first = median(each.first_inference_seconds for each in repetitions)
    if repetitions[0].start_method is StartMethod.IN_PROCESS:
        note = "the first in this measurement; the model may have run before"
        return [Figure("first inference", units.seconds(first), note)]
    several = f"median of {len(repetitions)} processes" if len(repetitions) > 1 else ""
    load = median(each.load_seconds for each in repetitions)
    return [
        Figure("load", units.seconds(load), several),
        Figure("first inference", units.seconds(first), several),
    ]
