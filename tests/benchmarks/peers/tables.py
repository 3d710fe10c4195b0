"""The readings as tables. In the first, tools that could not be run have a row that says why."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median

from profiler import units
from tests.benchmarks.peers.figures import (
    Coverage,
    Entry,
    coverage,
    figure_of,
    half_widths,
    ratios,
    spread,
)
from tests.benchmarks.peers.reading import IN_SENTINELS, UNDISTURBED
from tests.benchmarks.peers.tools import BARE, FLEETMARK, Tool
from tests.benchmarks.ratios import bootstrap_median
from tests.benchmarks.report import Table

VARIANTS = (UNDISTURBED, IN_SENTINELS)
NOTHING = units.NOTHING
# Even the lowest and the highest of five hold their median in 94 % of cases only: 1 - 2 / 2^5.
LEAST_FOR_AN_INTERVAL = 6


@dataclass(frozen=True)
class Row:
    """A tool, or a further figure of one."""

    tool: Tool
    variant: str | None = None

    @property
    def label(self) -> str:
        name = self.tool.name if self.variant is None else f"{self.tool.name}, {self.variant}"
        control = " (A/A)" if self.tool.name == BARE else ""
        return f"{name} ({self.tool.family}){control}"


@dataclass(frozen=True)
class Readings:
    """All that was measured with one budget.

    Attributes:
        models: names, in the order of the columns.
        why_not: by label, of the tools that could not be run.
    """

    budget: int
    models: tuple[str, ...]
    tools: Sequence[Tool]
    why_not: Mapping[str, str]
    entries: Sequence[Entry]

    def rows(self) -> list[Row]:
        """Variants have one where some run had them."""
        found = []
        for tool in self.tools:
            found.append(Row(tool))
            mine = [entry.reading for entry in self.entries if _is_of(entry, tool)]
            found += [
                Row(tool, name)
                for name in VARIANTS
                if any(reading and name in reading.others for reading in mine)
            ]
        return found

    def of(self, row: Row, model: str) -> list[Entry]:
        return [e for e in self.entries if _is_of(e, row.tool) and e.model == model]

    def beside(self, row: Row, model: str) -> list[Entry]:
        """The other tools in the same engine."""
        return [
            e
            for e in self.entries
            if e.family == row.tool.family and e.tool != row.tool.name and e.model == model
        ]


def _is_of(entry: Entry, tool: Tool) -> bool:
    return (entry.tool, entry.family) == (tool.name, tool.family)


Cell = Callable[[Readings, Row, str], str]


def tables(found: Readings) -> list[Table]:
    """All of one budget."""
    text = f"budget {found.budget} s"
    ratio = f"{text}: reported figure over the bare loop beside it [95 % interval]"
    lies = f"{text}: spread of the figure from run to run, (max − min) / median; relative sd"
    first = _by_model(found, ratio, _ratio)
    return [
        replace(first, rows=[*first.rows, *_without_figures(found)]),
        _by_model(found, lies, _spread),
        _uncertainty(found),
        _by_model(found, f"{text}: median time from command to result", _total),
    ]


def _by_model(found: Readings, title: str, cell: Cell) -> Table:
    rows = [
        (row.label, *(cell(found, row, model) for model in found.models))
        for row in found.rows()
        if _reason(found, row) is None
    ]
    return Table(title, ("tool (engine)", *found.models), rows)


def _without_figures(found: Readings) -> list[tuple[str, ...]]:
    reasons = [(row.label, _reason(found, row)) for row in found.rows()]
    rest = [""] * (len(found.models) - 1)
    return [(label, reason, *rest) for label, reason in reasons if reason is not None]


def _reason(found: Readings, row: Row) -> str | None:
    """Why a row has no figures at all."""
    if row.tool.label in found.why_not:
        return found.why_not[row.tool.label]
    mine = [entry for model in found.models for entry in found.of(row, model)]
    failures = [entry.failure for entry in mine if entry.failure is not None]
    return f"failed: {failures[0]}" if mine and len(failures) == len(mine) else None


def _ratio(found: Readings, row: Row, model: str) -> str:
    values = ratios(found.of(row, model), row.variant) if row.variant != IN_SENTINELS else []
    return _with_interval(values, 3) if values else NOTHING


def _with_interval(values: Sequence[float], digits: int) -> str:
    """The median, and its interval where there can be one."""
    if len(values) < LEAST_FOR_AN_INTERVAL:
        return f"{median(values):.{digits}f}"
    found = bootstrap_median(values)
    return f"{found.value:.{digits}f} [{found.low:.{digits}f}, {found.high:.{digits}f}]"


def _spread(found: Readings, row: Row, model: str) -> str:
    figures = [figure_of(entry, row.variant) for entry in found.of(row, model)]
    lies = spread([figure.value for figure in figures if figure])
    return f"{lies.range:.1%}; {lies.deviation:.1%}" if lies else NOTHING


def _total(found: Readings, row: Row, model: str) -> str:
    seconds = [e.wall_seconds for e in found.of(row, model) if e.wall_seconds is not None]
    return units.seconds(median(seconds)) if seconds and row.variant is None else NOTHING


def _uncertainty(found: Readings) -> Table:
    """Over all models: a count of a single one would be too small to say anything."""
    headers = (
        "tool (engine)",
        "what it states",
        "half-width (median)",
        "holds the others' median of the same round",
        "of all rounds",
    )
    rows = [
        (row.label, *_stated(found, row)) for row in found.rows() if _reason(found, row) is None
    ]
    return Table(f"budget {found.budget} s: the tool's own uncertainty, all models", headers, rows)


def _stated(found: Readings, row: Row) -> tuple[str, str, str, str]:
    if row.tool.bounds == "none" or row.variant == IN_SENTINELS:
        return row.tool.bounds, NOTHING, NOTHING, NOTHING
    figures = [figure_of(e, row.variant) for model in found.models for e in found.of(row, model)]
    widths = half_widths([figure for figure in figures if figure])
    width = f"{median(widths):.1%}" if widths else NOTHING
    return (
        row.tool.bounds,
        width,
        _held(found, row, same_round=True),
        _held(found, row, same_round=False),
    )


def _held(found: Readings, row: Row, *, same_round: bool) -> str:
    held = n = 0
    for model in found.models:
        mine = coverage(
            found.of(row, model),
            found.beside(row, model),
            same_round=same_round,
            variant=row.variant,
        )
        held, n = held + mine.held, n + mine.n
    return share(Coverage(held, n))


def share(found: Coverage) -> str:
    """``7 of 8 (88 %)``."""
    return f"{found.held} of {found.n} ({found.held / found.n:.0%})" if found.n else NOTHING


def phases(found: Readings) -> Table:
    """Where the time of ``fleetmark run`` goes."""
    names = list(dict.fromkeys(n for e in _fleetmark(found) if e.reading for n in e.reading.phases))
    rows = []
    for model in found.models:
        for family in dict.fromkeys(e.family for e in _fleetmark(found)):
            mine = [
                e
                for e in _fleetmark(found)
                if (e.model, e.family) == (model, family) and e.reading and e.wall_seconds
            ]
            if mine:
                rows.append((f"{model}, {family}", *_phases_of(mine, names, found.budget)))
    headers = ("model, engine", "total", "beyond the budget", *names, "outside the worker")
    return Table(
        f"budget {found.budget} s: `fleetmark run` from command to result (medians)", headers, rows
    )


def _fleetmark(found: Readings) -> list[Entry]:
    return [entry for entry in found.entries if entry.tool == FLEETMARK]


def _phases_of(mine: Sequence[Entry], names: Sequence[str], budget: int) -> list[str]:
    totals = [entry.wall_seconds or 0.0 for entry in mine]
    spent = [entry.reading.phases if entry.reading else {} for entry in mine]
    outside = [total - sum(phases.values()) for total, phases in zip(totals, spent, strict=True)]
    cells = [median(totals), median(totals) - budget]
    cells += [median(phases.get(name, 0.0) for phases in spent) for name in names]
    return [units.seconds(value) for value in (*cells, median(outside))]


def alternating(measured: Mapping[str, Mapping[str, Sequence[float]]]) -> Table:
    """The timed loop alone, and as a run goes through it, in one process with the bare one."""
    rows = []
    for label, found in measured.items():
        cells: list[str] = []
        for name in ("timed", "run"):
            ratios, control = found[name], found[f"{name}_control"]
            cells += [_with_interval(ratios, 4), _with_interval(control, 4), str(len(ratios))]
        rows.append((label, *cells))
    headers = (
        "model, engine",
        "timed loop / bare loop",
        "A/A: bare / bare",
        "fours of blocks",
        "as a run does it / bare loop",
        "A/A in such blocks",
        "fours",
    )
    return Table("in one process, blocks in turn: ratio of medians [95 % interval]", headers, rows)
