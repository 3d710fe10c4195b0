"""Raw data of a run → what a chart can show of them. Pure but for reading the files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from agents.views import (
    CHART_POINTS,
    CHART_SERIES,
    Bucket,
    Histogram,
    RunChart,
    Stretch,
    TraceLine,
)
from profiler.errors import FleetmarkError
from profiler.samples import Iterations

Floats = NDArray[np.float64]

BINS = 60
TRACE_POINTS = 600
# What is drawn under the latencies, in this order; the unit is in the name.
QUANTITIES = ("power_watts", "clock_hertz", "temperature_celsius", "utilization_ratio")
NO_TRACE = "no readings of sensors were kept with this run"


def read(path: Path) -> Iterations:
    """The iterations of a run.

    Raises:
        FleetmarkError: the file is damaged.
    """
    try:
        table = pq.read_table(path)
        return Iterations.from_columns(
            {name: table.column(name).to_numpy() for name in table.column_names}
        )
    except (pa.ArrowException, ValueError, KeyError, OSError) as error:
        raise FleetmarkError(f"the raw iterations cannot be read: {error}") from error


def run_chart(iterations: Iterations, trace: Path | None, points: int = CHART_POINTS) -> RunChart:
    """Args:
    iterations: of a run, in measured order.
    trace: Parquet of what sensors read, on the clock of the iterations; ``None`` without one.
    points: buckets at most.
    """
    if not len(iterations):
        return RunChart(
            iterations=0, buckets=(), stretches=(), histogram=None, traces=(),
            traces_reason="no iteration was timed",
        )  # fmt: skip
    stretches, offsets = _stretches(iterations)
    at = np.empty(len(iterations), dtype=np.float64)
    for index, offset in offsets.items():
        mine = iterations.repetition == index
        at[mine] = (iterations.start_ns[mine] - offset) / 1e9
    lines, left_out, reason = _traces(trace, offsets, stretches)
    return RunChart(
        iterations=len(iterations),
        buckets=buckets(at, iterations.latency_ns / 1e9, points),
        stretches=tuple(stretches),
        histogram=histogram(iterations.timed_seconds()),
        traces=lines,
        traces_reason=reason,
        traces_left_out=left_out,
    )


def _stretches(iterations: Iterations) -> tuple[list[Stretch], dict[int, int]]:
    """The repetitions one after the other, and what to take from a stamp of each, in ns."""
    found: list[Stretch] = []
    offsets: dict[int, int] = {}
    end = 0.0
    for index in dict.fromkeys(iterations.repetition.tolist()):
        mine = iterations.repetition == index
        starts = iterations.start_ns[mine]
        ends = (starts + iterations.latency_ns[mine] - starts[0]) / 1e9
        # The lead-in; those after a pause inside the timed part are a few and not shown as such.
        first_timed = int(np.argmin(iterations.warmup[mine]))
        warm = ends[first_timed - 1] if first_timed else 0.0
        if iterations.warmup[mine].all():
            warm = ends.max()
        offsets[index] = int(starts[0]) - round(end * 1e9)
        found.append(
            Stretch(
                index=index, start=end, warmup_end=end + float(warm), end=end + float(ends.max())
            )
        )
        end = found[-1].end
    return found, offsets


def buckets(at: Floats, seconds: Floats, points: int) -> tuple[Bucket, ...]:
    """Equal counts of neighbours: none is empty, and no peak is lost.

    Args:
        at: times, ascending within a repetition; shape ``(n,)``.
        seconds: latencies, the same shape.
        points: buckets at most.
    """
    edges = np.unique(np.linspace(0, len(at), min(points, len(at)) + 1).astype(np.int64))
    return tuple(
        Bucket(
            at=float(at[first]),
            low=float(seconds[first:last].min()),
            median=float(np.median(seconds[first:last])),
            high=float(seconds[first:last].max()),
        )
        for first, last in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)
    )


def histogram(seconds: Floats) -> Histogram | None:
    """Of the timed iterations. Its range ends at twice that of the lower 99 %.

    One stall must not flatten the rest; what lies beyond is counted.
    """
    if not len(seconds):
        return None
    low, high = float(seconds.min()), float(seconds.max())
    bulk = float(np.quantile(seconds, 0.99))
    if bulk > low:
        high = min(high, low + 2 * (bulk - low))
    if high <= low:
        high = low * 1.01 or 1e-9
    counts, edges = np.histogram(seconds, bins=BINS, range=(low, high))
    return Histogram(
        edges=tuple(edges.tolist()),
        counts=tuple(counts.tolist()),
        beyond=int((seconds > high).sum()),
        longest=float(seconds.max()),
    )


# --- what sensors read --------------------------------------------------------------------------


def _traces(
    path: Path | None, offsets: dict[int, int], stretches: list[Stretch]
) -> tuple[tuple[TraceLine, ...], int, str | None]:
    if path is None or not path.exists():
        return (), 0, NO_TRACE
    try:
        table = pq.read_table(path)
        channels = table.column("channel").cast(pa.string()).to_numpy()
        columns = {
            name: table.column(name).to_numpy() for name in ("repetition", "time_ns", "value")
        }
    except (pa.ArrowException, KeyError, OSError) as error:
        return (), 0, f"the readings of sensors cannot be read: {error}"
    lines = []
    for name in sorted(set(channels.tolist()), key=_rank):
        *_, quantity = name.split("/")
        mine = (channels == name) & ~np.isnan(columns["value"])
        if quantity in QUANTITIES and mine.any():
            lines.append(_line(name, {k: v[mine] for k, v in columns.items()}, offsets, stretches))
    shown = tuple(line for line in lines[:CHART_SERIES] if line.at)
    return shown, len(lines) - len(lines[:CHART_SERIES]), None if shown else NO_TRACE


def _rank(channel: str) -> tuple[int, str]:
    quantity = channel.rpartition("/")[2]
    return QUANTITIES.index(quantity) if quantity in QUANTITIES else len(QUANTITIES), channel


def _line(
    channel: str,
    columns: dict[str, NDArray[np.generic]],
    offsets: dict[int, int],
    stretches: list[Stretch],
) -> TraceLine:
    """Readings inside the repetitions, on their joint axis, every so-manyth of them."""
    at: list[float] = []
    values: list[float] = []
    for stretch in stretches:
        mine = columns["repetition"] == stretch.index
        times = (columns["time_ns"][mine].astype(np.int64) - offsets[stretch.index]) / 1e9
        inside = (times >= stretch.start) & (times <= stretch.end)
        at += times[inside].tolist()
        values += columns["value"][mine][inside].astype(np.float64).tolist()
    step = max(1, -(-len(at) // TRACE_POINTS))
    source, _, rest = channel.partition("/")
    label, _, quantity = rest.rpartition("/")
    return TraceLine(
        channel=channel,
        quantity=quantity,
        label=f"{source} {label}".strip(),
        at=tuple(at[::step]),
        values=tuple(values[::step]),
    )
