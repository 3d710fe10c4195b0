"""Every trace's histories, once through each question that is asked of them."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np

from profiler import stats
from profiler.spec import StopSpec
from tests.benchmarks.coverage.rules import FLEETMARK, RULES, Timed, fleetmark
from tests.benchmarks.coverage.simulate import Statement, Tally, follow, of_interval
from tests.benchmarks.coverage.traces import (
    BIMODAL,
    HEAVY,
    INDEPENDENT,
    MOVING,
    PERIODIC,
    STATIONARY,
    SWITCHING,
    History,
    Trace,
)

# Iterations that a repetition's time allows.
CAP = 20_000
PERCENTILES = ("p50", "p90", "p99")
# Where an iteration is slow, the rule looks for the first time before half a second is over: the
# traces on which that is early enough to matter.
EARLY = (INDEPENDENT, BIMODAL, SWITCHING, HEAVY, PERIODIC)
# Iterations of runs whose time is over before the rule has looked, or has looked often.
SHORT = (30, 100, 300)
SHORT_PERCENTILES = ("p50", "p90")

Row = tuple[str, ...]
Cells = defaultdict[Row, Tally]


def cells() -> Cells:
    return defaultdict(Tally)


@dataclass
class Found:
    """Tallies by row and column of the tables."""

    ours: Cells = field(default_factory=cells)
    early: Cells = field(default_factory=cells)
    short: Cells = field(default_factory=cells)
    rules: Cells = field(default_factory=cells)


def generator(seed: int, trace: Trace) -> np.random.Generator:
    """Of its own for each trace, so that none changes with what else is simulated."""
    return np.random.default_rng([seed, *trace.label.encode()])


def study(trace: Trace, histories: int, seed: int, found: Found) -> None:
    """Simulate a trace and tally what each rule says of it."""
    rng = generator(seed, trace)
    for _ in range(histories):
        history = trace.make(rng, CAP)
        timed = Timed(history.values)
        said = _ours(trace, history, timed, found)
        if trace in STATIONARY:
            _short(trace, history, found)
        for rule in RULES:
            # Ours has been followed already.
            other = said if rule is FLEETMARK else rule.apply(timed)
            _tally(found.rules, (rule.label, rule.figure), trace, history, other)


def _ours(trace: Trace, history: History, timed: Timed, found: Found) -> Statement:
    """Answers with what is said of the percentile that the rule looks at by default."""
    default = FLEETMARK.apply(timed)
    for name in PERCENTILES:
        spec = StopSpec(percentile=name)
        said = default if name == FLEETMARK.figure else fleetmark(timed, spec)
        _tally(found.ours, (name,), trace, history, said)
    if trace in EARLY:
        spec = StopSpec()
        said = follow(history.values, spec, spec.min_iterations)
        _tally(found.early, (spec.percentile,), trace, history, said)
    return default


def _short(trace: Trace, history: History, found: Found) -> None:
    for n in SHORT:
        measured = stats.Measured([history.values[:n]])
        for name in SHORT_PERCENTILES:
            level = stats.PERCENTILES[name]
            said = of_interval(history.values[:n], level, measured.percentile(level).interval)
            _tally(found.short, (name, str(n)), trace, history, said)


def _tally(into: Cells, column: Row, trace: Trace, history: History, said: Statement) -> None:
    figure = next(part for part in column if part in (*stats.PERCENTILES, "mean"))
    for row, truth in truths(trace, history, said, figure).items():
        cell: Row = (row, *column)
        into[cell].add(said, truth)


def truths(trace: Trace, history: History, said: Statement, figure: str) -> dict[str, float]:
    """By row: where the level moves there are two, of the time measured and of all of it."""
    if history.levels is None:
        return {trace.label: _truth(trace, None, figure)}
    seen = history.levels[said.start : said.end]
    return {
        f"{trace.label}, of the time measured": _truth(trace, seen, figure),
        f"{trace.label}, of all {CAP:,}": _truth(trace, history.levels, figure),
    }


def _truth(trace: Trace, levels: np.ndarray | None, figure: str) -> float:
    if figure == "mean":
        return trace.true_mean(levels)
    return trace.percentile(stats.PERCENTILES[figure], levels)


def rows(traces: tuple[Trace, ...] = (*STATIONARY, *MOVING)) -> list[str]:
    """The tables' rows, in order."""
    named = []
    for trace in traces:
        if trace in MOVING:
            named += [f"{trace.label}, of the time measured", f"{trace.label}, of all {CAP:,}"]
        else:
            named.append(trace.label)
    return named
