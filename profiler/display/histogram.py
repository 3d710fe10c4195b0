"""The distribution of a run's latencies as SVG: a histogram with the percentiles on it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from profiler import units
from profiler.display.axes import (
    ACCENT,
    GRID,
    INK,
    Box,
    Scale,
    axis_beside,
    label,
    line,
    picture,
    rectangle,
    time_axis_below,
)
from profiler.display.headline import PERCENTILES
from profiler.display.markup import Html, join
from profiler.display.plots import BOX, WIDTH, beyond, visible_range
from profiler.result import Interval, Latency

if TYPE_CHECKING:
    from profiler.display.plots import Floats
    from profiler.samples import Iterations

MOST_BINS = 80
# Above the box: a line of text, and a row for each percentile's name.
TOP, ROW = 34.0, 13.0
HEADROOM = 1.06
# Of "p50 12.3 ms [12.2, 12.4]", in pixels.
TEXT_WIDTH = 150


def bin_edges(values: Floats, low: float, high: float) -> Floats:
    """Edges of equal bins, their width by Freedman and Diaconis (1981), at most ``MOST_BINS``."""
    first, third = np.quantile(values, [0.25, 0.75])
    width = 2 * float(third - first) / len(values) ** (1 / 3)
    bins = math.ceil((high - low) / width) if width > 0 else 1
    return np.linspace(low, high, min(MOST_BINS, max(1, bins)) + 1)


def distribution(iterations: Iterations, latency: Latency) -> Html:
    """Histogram of the timed iterations, with the percentiles that have an interval."""
    values = iterations.timed_seconds()
    marks = _marks(latency)
    box = replace(BOX, top=TOP + ROW * len(marks), bottom=TOP + ROW * len(marks) + 150)
    low, high = visible_range(values)
    high = max([high, *(1.02 * mark.value for _, mark in marks)])
    edges = bin_edges(values, low, high)
    counts, _ = np.histogram(values, edges)
    across = Scale(low, high, box.left, box.right)
    up = Scale(0.0, HEADROOM * float(max(1, counts.max())), box.bottom, box.top)
    above = beyond(values, high)
    return picture(
        "Distribution of latencies",
        _described(len(values), marks, above),
        WIDTH,
        box.bottom + 42,
        axis_beside(up, box, 1.0, "iterations", whole=True),
        _bars(counts.tolist(), edges.tolist(), across, up),
        *(_mark(name, mark, across, box, row) for row, (name, mark) in enumerate(marks)),
        label(f"▶ {above}" if above else "", box.right, 15, "end"),
        time_axis_below(across, box, "latency"),
    )


def _described(count: int, marks: Sequence[tuple[str, Interval]], above: str) -> str:
    listed = ", ".join(f"{name} {units.seconds(mark.value)}" for name, mark in marks)
    text = f"Histogram of {count} timed iterations; {listed or 'no percentile is known'}"
    return f"{text}; cut off: {above}" if above else text


def _marks(latency: Latency) -> list[tuple[str, Interval]]:
    found = [(shown, getattr(latency, name)) for name, shown in PERCENTILES.items()]
    return [(shown, interval) for shown, interval in found if interval is not None]


def _bars(counts: Sequence[int], edges: Sequence[float], across: Scale, up: Scale) -> Html:
    parts = []
    for count, left, right in zip(counts, edges[:-1], edges[1:], strict=True):
        x, y = across.at(left), up.at(count)
        width = max(1.0, across.at(right) - x - 0.5)
        parts.append(rectangle(x, y, width, up.start - y, ACCENT, 0.6))
    return join(*parts)


def _mark(name: str, mark: Interval, across: Scale, box: Box, row: int) -> Html:
    """A percentile's line up to its name, which stands above the bars on a row of its own.

    The lowest percentile is on the highest row, so that no line runs through a name right of it.
    """
    x, y = across.at(mark.value), TOP - 6 + ROW * row
    parts, text = [], units.seconds(mark.value)
    if row == 0 and mark.low is not None and mark.high is not None:
        text = units.interval(mark.value, mark.low, mark.high)
        left = across.at(mark.low)
        width = across.at(mark.high) - left
        parts.append(rectangle(left, box.top, width, box.bottom - box.top, GRID, 0.3))
    parts.append(line(x, y - 9, x, box.bottom, stroke=INK, stroke_opacity=0.75))
    # To the left of the line where the text would leave the picture.
    near_edge = x > box.right - TEXT_WIDTH
    anchor, shift = ("end", -4) if near_edge else ("start", 4)
    parts.append(label(f"{name} {text}", x + shift, y, anchor))
    return join(*parts)
