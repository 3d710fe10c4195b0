"""Axes of a plot: scales, round tick values, and the frame around it. Pure; SVG comes out."""

from __future__ import annotations

import math
from dataclasses import dataclass

from profiler import units
from profiler.display.markup import Html, element, join

# Readable on white and on black alike: the text's own colour, and greys and hues of medium
# luminance (contrast with either at least 3:1, as WCAG 2.1, 1.4.11, asks of graphics).
INK = "currentColor"
GRID = "#808080"
ACCENT = "#3b82e0"
LEAD_IN = "#d97706"
FONT = "font:11px system-ui,sans-serif"

# Steps between ticks that people can add up in their heads.
ROUND_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)


@dataclass(frozen=True)
class Box:
    """The part of the picture that the data are drawn in, in pixels."""

    left: float
    top: float
    right: float
    bottom: float


@dataclass(frozen=True)
class Scale:
    """Maps values from ``low`` … ``high`` to pixels from ``start`` … ``end``."""

    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        """The pixel of ``value``; beyond the ends it is the end."""
        share = (value - self.low) / (self.high - self.low)
        return self.start + min(1.0, max(0.0, share)) * (self.end - self.start)


def ticks(low: float, high: float, most: int) -> list[float]:
    """Round values within ``low`` … ``high``, at most ``most``."""
    rough = (high - low) / max(1, most - 1)
    magnitude = 10.0 ** math.floor(math.log10(rough))
    step = next(s * magnitude for s in ROUND_STEPS if s * magnitude >= rough * (1 - 1e-9))
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [index * step for index in range(first, last + 1)]


def time_unit(high: float) -> tuple[float, str]:
    """Seconds per unit, and the unit's name, for an axis that ends at ``high`` seconds."""
    return next(((f, name) for f, name in units.TIME if high >= f), units.TIME[-1])


def label(value: str, x: float, y: float, anchor: str = "start") -> Html:
    """A piece of text at a point; nothing where there is none."""
    if not value:
        return Html()
    return element("text", value, x=x, y=y, text_anchor=anchor, fill=INK, style=FONT)


def line(x1: float, y1: float, x2: float, y2: float, **attributes: str | float | None) -> Html:
    """A straight line, in grey unless said otherwise."""
    return element("line", x1=x1, y1=y1, x2=x2, y2=y2, **({"stroke": GRID} | attributes))


def rectangle(x: float, y: float, width: float, height: float, fill: str, opacity: float) -> Html:
    """A filled rectangle without an outline."""
    return element(
        "rect", x=x, y=y, width=width, height=height, fill=fill, fill_opacity=opacity
    )  # fmt: skip


def time_axis_below(scale: Scale, box: Box, title: str) -> Html:
    """Ticks in the fitting unit of time under the box."""
    factor, unit = time_unit(scale.high)
    parts = [line(box.left, box.bottom, box.right, box.bottom)]
    for value in ticks(scale.low / factor, scale.high / factor, 8):
        x = scale.at(value * factor)
        parts += [
            line(x, box.bottom, x, box.bottom + 4),
            label(f"{value:g}", x, box.bottom + 16, "middle"),
        ]
    parts.append(label(f"{title} ({unit})", (box.left + box.right) / 2, box.bottom + 32, "middle"))
    return join(*parts)


def axis_beside(scale: Scale, box: Box, factor: float, title: str, *, whole: bool = False) -> Html:
    """Ticks and faint lines left of the box.

    Args:
        scale: upwards.
        box: that the lines cross.
        factor: what one labelled unit is.
        title: above the axis.
        whole: the values are counts, so that only whole numbers are ticks.
    """
    parts: list[Html] = []
    for value in ticks(scale.low / factor, scale.high / factor, 5):
        if whole and value != round(value):
            continue
        y = scale.at(value * factor)
        parts += [
            line(box.left, y, box.right, y, stroke_opacity=0.35),
            label(f"{value:g}", box.left - 6, y + 4, "end"),
        ]
    parts.append(label(title, 2, box.top - 8))
    return join(*parts)


def picture(title: str, description: str, width: float, height: float, *parts: Html) -> Html:
    """An SVG that says in words what it shows, for those who do not see it."""
    return element(
        "svg",
        element("title", title),
        element("desc", description),
        *parts,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {width:g} {height:g}",
        role="img",
        aria_label=f"{title}. {description}",
        style=f"display:block;width:100%;max-width:{width:g}px;height:auto;margin:10px 0",
    )
