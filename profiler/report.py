"""Results → rows of text and a sentence. Pure; whoever shows them chooses how."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations

from profiler import units
from profiler.base import Frozen
from profiler.result import (
    Interval,
    Latency,
    RunResult,
    RunStatus,
    ServerReport,
    SustainedReport,
)

COLUMNS = (
    "device", "model", "runtime", "parameters", "batch", "p50 [95 % interval]", "p99", "items/s",
    "peak memory", "J/item", "flags",
)  # fmt: skip


class Table(Frozen):
    """Rows of text, one per result, and the footnotes that their markers point to."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    footnotes: tuple[str, ...]


class _Notes:
    """Numbers reasons as they come; the same reason gets the same number."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def mark(self, text: str | None) -> str:
        if not text:
            return units.NOTHING
        if text not in self.texts:
            self.texts.append(text)
        return f"{units.NOTHING} ({self.texts.index(text) + 1})"


def table(results: Sequence[RunResult]) -> Table:
    """One row per result; what is missing is a dash with the number of its reason."""
    notes = _Notes()
    rows = tuple(_row(result, notes) for result in results)
    return Table(columns=COLUMNS, rows=rows, footnotes=tuple(notes.texts))


def _row(result: RunResult, notes: _Notes) -> tuple[str, ...]:
    if result.status is not RunStatus.SUCCEEDED:
        return _row_without_figures(result, notes)
    latency, memory, energy = result.latency, result.memory, result.energy
    p50 = latency.p50 if latency else None
    p99 = latency.p99 if latency else None
    peak = memory.peak_rss_bytes if memory else None
    why = (memory.peak_rss_reason if memory else None) or result.memory_reason
    return (
        result.device,
        result.model,
        result.runtime,
        units.count(result.model_info.parameters)
        if result.model_info.parameters is not None
        else notes.mark(result.model_info.parameters_reason),
        str(result.batch_size),
        units.interval(p50.value, p50.low, p50.high) if p50 else notes.mark(result.latency_reason),
        units.seconds(p99.value) if p99 else _why_no_p99(latency, notes),
        units.rate(result.throughput_items_per_second),
        units.bytes_(peak) if peak is not None else notes.mark(why),
        units.joules(energy.headline.joules_per_item)
        if energy
        else notes.mark(result.energy_reason),
        ", ".join(flag.name for flag in result.flags) or "none",
    )


def _why_no_p99(latency: Latency | None, notes: _Notes) -> str:
    """The usual reason is short enough for the cell: too few iterations."""
    from profiler.stats import PERCENTILES, needed  # NumPy, which --help does not need

    least = needed(PERCENTILES["p99"])
    if latency is not None and latency.n < least:
        return f"{units.NOTHING} (n {latency.n} < {least})"
    return notes.mark(latency.p99_reason if latency else None)


def _row_without_figures(result: RunResult, notes: _Notes) -> tuple[str, ...]:
    text = f"{result.error.kind}: {result.error.message}" if result.error else result.status.value
    mark = notes.mark(text).removeprefix(units.NOTHING) if result.error else ""
    label = result.error.kind.value if result.error else result.status.value
    blank = (units.NOTHING,) * 5
    return (
        result.device,
        result.model,
        result.runtime,
        units.NOTHING,
        str(result.batch_size),
        f"{label}{mark}",
        *blank,
    )


def scenario_sentence(result: RunResult) -> str | None:
    """What a scenario other than ``single_stream`` found, in words; ``None`` for that one."""
    who = f"{result.model} in {result.runtime} on {result.device}"
    if result.offline is not None:
        found = result.offline.items_per_second
        rate = _bounded(found, units.rate) if found else units.NOTHING
        return f"{who}: {rate} items/s in {result.offline.blocks} blocks that were awaited as one"
    if result.server is not None:
        return f"{who}: {_served(result.server)}"
    if result.sustained is not None:
        return f"{who}: {_over_time(result.sustained)}"
    return None


def _bounded(interval: Interval, show: Callable[[float], str]) -> str:
    if interval.low is None or interval.high is None:
        return show(interval.value)
    return f"{show(interval.value)} [{show(interval.low)}, {show(interval.high)}]"


def _served(found: ServerReport) -> str:
    if found.latency_bound_seconds is None:
        trial = found.trials[-1]
        text = f"{units.rate(trial.achieved_per_second)} calls/s were served"
        if trial.overloaded:
            return f"{text}, fewer than the {units.rate(found.rate_per_second)} that came"
        return f"{text}, busy {100 * trial.utilization:.0f} % of the time"
    bound = f"{found.percentile} within {units.seconds(found.latency_bound_seconds)}"
    if found.highest_rate_per_second is None:
        return f"no rate with {bound}: {found.highest_rate_reason}"
    text = f"up to {units.rate(found.highest_rate_per_second)} calls/s with {bound}"
    if found.failing_rate_per_second is None:
        return text
    return f"{text}; {units.rate(found.failing_rate_per_second)} is too many"


def _over_time(found: SustainedReport) -> str:
    slowdown = found.slowdown
    if slowdown is None:
        return f"no slow-down can be told: {found.slowdown_reason}"
    text = f"the last tenth took {_bounded(slowdown, '{:.3g}'.format)} times as long as the first"
    if found.settled_after_seconds is None:
        text = f"{text}; {found.settled_reason}"
    else:
        text = f"{text}; settled after {units.seconds(found.settled_after_seconds)}"
    if found.device_settled_after_seconds is None:
        return text
    return f"{text}, the device after {units.seconds(found.device_settled_after_seconds)}"


def fastest_sentence(results: Sequence[RunResult]) -> str:
    """Which is fastest, and whether the number of parameters foretold the order of the models.

    Every model counts with its fastest runtime. Intervals that overlap are not called a win.
    """
    best: dict[str, RunResult] = {}
    for result in results:
        if _median(result) is None:
            continue
        now = best.get(result.model)
        if now is None or (_median(result) or 0) < (_median(now) or 0):
            best[result.model] = result
    ranked = sorted(best.values(), key=lambda r: _median(r) or 0)
    if len(ranked) < 2:  # noqa: PLR2004 - two make a comparison
        return "There are not two models with figures to compare."
    first, second = ranked[0], ranked[1]
    return f"{_winner(first, second)} {_foretold(ranked)}"


def _median(result: RunResult) -> float | None:
    return result.latency.p50.value if result.latency and result.latency.p50 else None


def _winner(first: RunResult, second: RunResult) -> str:
    a = first.latency.p50 if first.latency else None
    b = second.latency.p50 if second.latency else None
    assert a is not None  # noqa: S101 - ranked by it
    assert b is not None  # noqa: S101
    on = f"{first.model} in {first.runtime} on {first.device}"
    if not a.below(b):
        return (
            f"{on} has the lowest median ({units.seconds(a.value)}), but its interval does not lie "
            f"apart from that of {second.model} in {second.runtime} ({units.seconds(b.value)})."
        )
    factor = f"{b.value / a.value:.1f} times as fast as" if a.value > 0 else "ahead of"
    return (
        f"{on} is fastest: {units.seconds(a.value)} an inference, {factor} "
        f"{second.model} in {second.runtime}."
    )


def _foretold(ranked: Sequence[RunResult]) -> str:
    """Only an order that the intervals tell apart can have been predicted."""
    sizes = [r.model_info.parameters for r in ranked]
    known = [size for size in sizes if size is not None]
    if len(known) < len(sizes):
        return "Not every parameter count is known, so nothing can be said of their order."
    pairs = list(combinations(zip(ranked, known, strict=True), 2))
    clear = [(a[1], b[1]) for a, b in pairs if _apart(a[0], b[0])]
    listed = ", ".join(
        f"{r.model} {units.count(size)}" for r, size in zip(ranked, known, strict=True)
    )
    if any(faster > slower for faster, slower in clear):
        return f"The parameter counts ({listed}) did not predict this order."
    if len(clear) < len(pairs):
        return f"The parameter counts ({listed}) do not contradict what the intervals tell apart."
    return f"The parameter counts ({listed}) predicted this order."


def _apart(faster: RunResult, slower: RunResult) -> bool:
    a = faster.latency.p50 if faster.latency else None
    b = slower.latency.p50 if slower.latency else None
    return a is not None and b is not None and a.below(b)
