"""What is computed of the readings. Knows no tool."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import mean, median, stdev
from typing import NamedTuple

from profiler.base import Frozen
from tests.benchmarks.peers.reading import Figure, Reading


class Entry(Frozen):
    """One run of one tool, between two slices of its engine's bare loop.

    ``reading`` is ``None`` with a ``failure``; ``before_seconds`` and ``after_seconds`` are the
    slices' medians, or ``None`` where no slices were run.
    """

    round: int
    budget: int
    model: str
    family: str
    tool: str
    reading: Reading | None
    failure: str | None = None
    wall_seconds: float | None = None
    before_seconds: float | None = None
    after_seconds: float | None = None

    @property
    def reference(self) -> float:
        """The bare loop at that moment: the mean of both neighbours."""
        assert self.before_seconds is not None
        assert self.after_seconds is not None
        return (self.before_seconds + self.after_seconds) / 2


class Spread(NamedTuple):
    """How far figures of repeated runs lie apart, relative: range over median, sd over mean."""

    range: float
    deviation: float


class Coverage(NamedTuple):
    """How often stated bounds hold a value: ``held`` of ``n``."""

    held: int
    n: int


def spread(values: Sequence[float]) -> Spread | None:
    """``None``: one figure has no spread."""
    if len(values) < 2:
        return None
    return Spread((max(values) - min(values)) / median(values), stdev(values) / mean(values))


def figure_of(entry: Entry, variant: str | None) -> Figure | None:
    """The run's figure, or a further one of the same run."""
    if entry.reading is None:
        return None
    return entry.reading.others.get(variant) if variant else entry.reading.figure


def ratios(entries: Sequence[Entry], variant: str | None = None) -> list[float]:
    """Each run's figure over the bare loop beside it."""
    found = [(figure_of(entry, variant), entry.reference) for entry in entries]
    return [figure.value / reference for figure, reference in found if figure]


def covers(figure: Figure, value: float) -> bool:
    """Whether its bounds hold ``value``; it must have bounds."""
    assert figure.low is not None
    assert figure.high is not None
    return figure.low <= value <= figure.high


def half_widths(figures: Sequence[Figure]) -> list[float]:
    """Half the distance of the bounds over the figure, of those with bounds."""
    return [
        (figure.high - figure.low) / 2 / figure.value
        for figure in figures
        if figure.low is not None and figure.high is not None
    ]


def coverage(
    entries: Sequence[Entry],
    others: Sequence[Entry],
    *,
    same_round: bool,
    variant: str | None = None,
) -> Coverage:
    """How often a tool's bounds hold the median of what the other tools said.

    Args:
        entries: of one tool.
        others: of the other tools, with the same engine, model and budget.
        same_round: the others' median of that round; else of all rounds.
        variant: judges this further figure in place of the tool's first.
    """
    held = n = 0
    for entry in entries:
        figure = figure_of(entry, variant)
        values = [
            other.reading.figure.value
            for other in others
            if other.reading and (other.round == entry.round or not same_round)
        ]
        if figure is None or figure.low is None or figure.high is None or not values:
            continue
        n += 1
        held += covers(figure, median(values))
    return Coverage(held, n)
