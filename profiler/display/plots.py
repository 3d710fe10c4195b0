"""Latency over time as SVG.

Drawn by hand, so that a notebook needs no plotting library and a page no script. What does not fit
a sensible range is counted at the edge, never left out in silence.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from profiler import units
from profiler.display.axes import (
    ACCENT,
    LEAD_IN,
    Box,
    Scale,
    axis_beside,
    label,
    line,
    picture,
    rectangle,
    time_axis_below,
    time_unit,
)
from profiler.display.markup import Html, element, join

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from profiler.samples import Iterations

    Floats = NDArray[np.float64]

WIDTH, HEIGHT = 720.0, 250.0
BOX = Box(left=52, top=40, right=706, bottom=208)
# One point a pixel: more cannot be seen.
COLUMNS = int(BOX.right - BOX.left)
# Fewer iterations than this are drawn one by one.
FEW = 150


def visible_range(values: Floats) -> tuple[float, float]:
    """The range of an axis: all of the values, unless a few lie far above the others.

    It ends at twice the range of the lower 99 %, so that one stall does not flatten the rest.
    """
    low, high = float(values.min()), float(values.max())
    bulk = float(np.quantile(values, 0.99))
    if bulk > low:
        high = min(high, low + 2 * (bulk - low))
    room = 0.05 * (high - low) or 0.05 * high or 1e-9
    return max(0.0, low - room), high + room


def beyond(values: Floats, high: float) -> str:
    """``3 above 2 ms, up to 12 ms``, or nothing."""
    above = values[values > high]
    if not len(above):
        return ""
    return f"{len(above)} above {units.seconds(high)}, up to {units.seconds(float(above.max()))}"


@dataclass(frozen=True)
class _Stretch:
    """One repetition on the time axis, without the pauses between repetitions."""

    index: int
    start: float
    warmup_end: float
    end: float


def _stretches(iterations: Iterations) -> tuple[list[_Stretch], Floats]:
    """The repetitions in measured order, and where each iteration begins on their joint axis."""
    times = np.empty(len(iterations.latency_ns), dtype=np.float64)
    found: list[_Stretch] = []
    offset = 0.0
    for index in dict.fromkeys(iterations.repetition.tolist()):
        mine = iterations.repetition == index
        starts = iterations.start_ns[mine]
        ends = (starts + iterations.latency_ns[mine] - starts[0]) / 1e9
        times[mine] = offset + (starts - starts[0]) / 1e9
        lead_in = ends[iterations.warmup[mine]]
        warmup_end = float(lead_in.max()) if len(lead_in) else 0.0
        end = offset + float(ends.max())
        found.append(_Stretch(index, offset, offset + warmup_end, end))
        offset = end
    return found, times


def latency_over_time(iterations: Iterations) -> Html:
    """Every iteration against time: one column a pixel, its median on its range."""
    stretches, times = _stretches(iterations)
    seconds = iterations.latency_ns / 1e9
    timed = iterations.timed_seconds()
    low, high = visible_range(timed if len(timed) else seconds)
    across = Scale(0.0, stretches[-1].end or 1e-9, BOX.left, BOX.right)
    up = Scale(low, high, BOX.bottom, BOX.top)
    factor, unit = time_unit(high)
    above = beyond(seconds, high)
    return picture(
        "Latency over time",
        _described(len(stretches), timed, above),
        WIDTH,
        HEIGHT,
        *(_background(stretch, across, len(stretches)) for stretch in stretches),
        axis_beside(up, BOX, factor, f"latency ({unit})"),
        _points(times, seconds, across, up)
        if len(times) < FEW
        else _columns(times, seconds, across, up),
        label(f"▲ {above}" if above else "", BOX.right, 15, "end"),
        _key(len(times) < FEW, any(each.warmup_end > each.start for each in stretches)),
        time_axis_below(across, BOX, "time, without the pauses between repetitions"),
    )


def _described(repetitions: int, timed: Floats, above: str) -> str:
    if not len(timed):
        return f"{repetitions} repetitions, all of them warm-up"
    middle, low, high = (float(f(timed)) for f in (np.median, np.min, np.max))
    text = (
        f"{len(timed)} timed iterations in {repetitions} repetitions; median "
        f"{units.seconds(middle)}, from {units.seconds(low)} to {units.seconds(high)}"
    )
    return f"{text}; cut off: {above}" if above else text


def _background(stretch: _Stretch, across: Scale, count: int) -> Html:
    """Shade of the warm-up, a rule where the repetition begins, and its number."""
    left, height = across.at(stretch.start), BOX.bottom - BOX.top
    parts = [rectangle(left, BOX.top, across.at(stretch.warmup_end) - left, height, LEAD_IN, 0.18)]
    if count > 1:
        middle = (left + across.at(stretch.end)) / 2
        parts += [
            line(left, BOX.top, left, BOX.bottom, stroke_dasharray="3 3"),
            # Beyond a dozen the numbers would run into each other.
            label(str(stretch.index + 1) if count <= 12 else "", middle, BOX.top - 6, "middle"),  # noqa: PLR2004
        ]
    return join(*parts)


def _key(few: bool, warmup: bool) -> Html:
    """What the colours stand for."""
    entries = [(ACCENT, "one iteration" if few else "median and range per pixel")]
    if warmup:
        entries.append((LEAD_IN, "warm-up, not counted"))
    parts: list[Html] = []
    for place, (colour, meaning) in enumerate(entries):
        x = BOX.left + 190 * place
        parts += [rectangle(x, 6, 10, 10, colour, 0.8), label(meaning, x + 15, 15)]
    return join(*parts)


def _points(times: Floats, seconds: Floats, across: Scale, up: Scale) -> Html:
    return join(
        *(
            element("circle", cx=across.at(t), cy=up.at(s), r=2, fill=ACCENT)
            if s <= up.high
            else _arrow(across.at(t))
            for t, s in zip(times.tolist(), seconds.tolist(), strict=True)
        )
    )


def _arrow(x: float) -> Html:
    """The mark of what lies above the picture."""
    top = BOX.top
    return element("path", d=f"M{x - 3:.1f} {top + 5:g}h6l-3 -5z", fill=ACCENT)


def _columns(times: Floats, seconds: Floats, across: Scale, up: Scale) -> Html:
    """Minimum to maximum of each pixel column as a bar, the medians as a line over them."""
    share = (times - across.low) / (across.high - across.low)
    column = np.minimum((share * COLUMNS).astype(np.int64), COLUMNS - 1)
    order = np.argsort(column, kind="stable")
    numbers, firsts = np.unique(column[order], return_index=True)
    groups = np.split(seconds[order], firsts[1:])
    bars, middles, arrows = [], [], []
    for number, group in zip(numbers.tolist(), groups, strict=True):
        x = BOX.left + number + 0.5
        top, bottom = up.at(float(group.max())), up.at(float(group.min()))
        bars.append(f"M{x:g} {bottom + 0.5:.1f}V{top - 0.5:.1f}")
        middles.append(f"{x:g},{up.at(float(np.median(group))):.1f}")
        if group.max() > up.high:
            arrows.append(_arrow(x))
    return join(
        element("path", d="".join(bars), stroke=ACCENT, stroke_opacity=0.55, fill="none"),
        element("polyline", points=" ".join(middles), stroke=ACCENT, fill="none"),
        *arrows,
    )
