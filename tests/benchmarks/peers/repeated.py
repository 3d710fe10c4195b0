"""How far each tool's figure lies from itself, run after run: rounds without slices between."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from statistics import fmean
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from profiler import units
from tests.benchmarks.context import Context, say
from tests.benchmarks.peers.bench import Bench
from tests.benchmarks.peers.figures import Entry, figure_of, spread
from tests.benchmarks.peers.models import MODELS
from tests.benchmarks.peers.reading import AT_USUAL_SPEED, IN_SENTINELS
from tests.benchmarks.peers.tables import Row
from tests.benchmarks.peers.tools import (
    FAMILIES,
    SOONER_SECONDS,
    TOOLS,
    TORCH,
    Tool,
    for_as_long,
)
from tests.benchmarks.ratios import RESAMPLES
from tests.benchmarks.report import Section, Table

NAME = "peers_spread"
# An hour and more on two cores: only by name.
BUDGETS, QUICK_BUDGETS = (3, 10), (1,)
# A long budget is measured in every so many rounds.
LONG_EVERY = 3
ROUNDS, QUICK_ROUNDS = 24, 2
VARIANTS = (IN_SENTINELS, AT_USUAL_SPEED)
MORE = (for_as_long(TORCH, SOONER_SECONDS),)
# A standard deviation of fewer figures says nothing.
LEAST_ROUNDS = 4
Floats = NDArray[np.float64]


def run(context: Context) -> Section:
    rounds = context.rounds or (QUICK_ROUNDS if context.quick else ROUNDS)
    budgets = context.budgets or (QUICK_BUDGETS if context.quick else BUDGETS)
    bench = Bench(
        directory=context.directory / NAME,
        threads=context.threads or len(os.sched_getaffinity(0)),
        tools=comparable([tool for tool in (*TOOLS, *MORE) if tool.why_not() is None]),
        alternating_seconds=0.0,
        stack=context.stack,
        turn=context.turn,
    )
    bench.directory.mkdir()
    bench.prepare()
    begin = time.perf_counter()
    for number in range(1, rounds + 1):
        if context.minutes and time.perf_counter() - begin > context.minutes * 60:
            rounds = number - 1
            break
        for budget in budgets_of(number, budgets):
            bench.round_without_slices(number, budget)
        say(f"{NAME}: {number} of {rounds} rounds")
    found = [Found(budget, bench.tools, bench.entries) for budget in budgets]
    return Section(
        name=NAME,
        text=_text(bench, rounds, budgets),
        tables=[table for each in found for table in (each.spreads(), each.against_peers())],
        data={"rounds": rounds, "entries": [e.model_dump(mode="json") for e in bench.entries]},
    )


def comparable(tools: Sequence[Tool]) -> list[Tool]:
    """Those in whose engine fleetmark measures too."""
    ours = {tool.family for tool in tools if tool.is_ours}
    return [tool for tool in tools if tool.family in ours]


def budgets_of(number: int, budgets: Sequence[int]) -> Sequence[int]:
    """Of a round: the shortest always."""
    return budgets if number % LONG_EVERY == 0 else budgets[:1]


def _text(bench: Bench, rounds: int, budgets: Sequence[int]) -> str:
    failures = sum(entry.failure is not None for entry in bench.entries)
    longer = "".join(f", and every {LONG_EVERY}rd also with {each} s" for each in budgets[1:])
    return (
        f"{rounds} rounds. In each, every tool measures every model once, as a command of its own, "
        f"in random order, {bench.threads} threads, batch 1, float32, a budget of {budgets[0]} s"
        f"{longer}, and nothing between. What a figure differs by from one round to another is no "
        "model's doing. The tables against other tools have, for every engine, the relative sd of "
        "fleetmark's figure over that of the steadiest other tool in the same rounds, the bare "
        "loop of that budget among them, over all models: the root mean square of their sds, with "
        "a bootstrap over rounds that chooses the steadiest in each sample again. The figure at "
        "the device's usual speed exists from a configuration's fourth run on, and knows nothing "
        f"of the runs after it. {_total(bench.entries, budgets[0])} {failures} runs gave no figure."
    )


def _total(entries: Sequence[Entry], budget: int) -> str:
    """From the command to the figure, all models together."""
    found: dict[str, list[float]] = {}
    for entry in entries:
        if entry.budget == budget and entry.reading and entry.wall_seconds is not None:
            found.setdefault(f"{entry.tool} ({entry.family})", []).append(entry.wall_seconds)
    shown = (f"{name} {units.seconds(fmean(taken))}" for name, taken in sorted(found.items()))
    return f"From the command to the figure, with {budget} s: {', '.join(shown)}."


class Ratio(NamedTuple):
    value: float
    low: float
    high: float


class Compared(NamedTuple):
    """Relative sd of ours, of the steadiest other tool, and their ratio."""

    rounds: int
    own: float
    best: float
    over: Ratio


class Found:
    """The readings of one budget, by what they are called in the tables."""

    def __init__(self, budget: int, tools: Sequence[Tool], entries: Sequence[Entry]) -> None:
        self._budget = budget
        self._tools = tools
        self._entries = [entry for entry in entries if entry.budget == budget]
        self.models = [model.name for model in MODELS]

    def rows(self) -> list[Row]:
        rows = []
        for tool in self._tools:
            rows.append(Row(tool))
            if tool.is_ours:
                rows += [Row(tool, variant) for variant in VARIANTS]
        return rows

    def by_round(self, row: Row, model: str) -> dict[int, float]:
        """Its figures of that model."""
        return {
            entry.round: figure.value
            for entry in self._entries
            if (entry.tool, entry.family, entry.model) == (row.tool.name, row.tool.family, model)
            and (figure := figure_of(entry, row.variant)) is not None
        }

    def spreads(self) -> Table:
        def cell(row: Row, model: str) -> str:
            found = spread(list(self.by_round(row, model).values()))
            return f"{found.range:.1%}; {found.deviation:.1%}" if found else units.NOTHING

        title = "spread from round to round, (max − min) / median; relative sd"
        return Table(
            f"budget {self._budget} s: {title}",
            ("tool (engine)", *self.models),
            [(row.label, *(cell(row, model) for model in self.models)) for row in self.rows()],
        )

    def against_peers(self) -> Table:
        rows = []
        for family in FAMILIES:
            own = [r for r in self.rows() if r.tool.is_ours and r.tool.family == family]
            peers = [r for r in self.rows() if r.tool.family == family and r not in own]
            if not own or not peers:
                continue
            rows += [(row.label, *_cells(self._compared(row, peers))) for row in own]
        headers = (
            "figure (engine)", "rounds", "sd", "of the steadiest other tool",
            "ratio [95 % interval]",
        )  # fmt: skip
        title = f"budget {self._budget} s: fleetmark's spread over that of the steadiest other tool"
        return Table(title, headers, rows)

    def _compared(self, own: Row, peers: Sequence[Row]) -> Compared | None:
        """Over the rounds that all have."""
        logs = [
            [{n: float(np.log(v)) for n, v in self.by_round(row, m).items()} for m in self.models]
            for row in (own, *peers)
        ]
        common = sorted(set.intersection(*(set(each) for row in logs for each in row)))
        if len(common) < LEAST_ROUNDS:
            return None
        # Tools × models × rounds.
        values = np.array([[[each[n] for n in common] for each in row] for row in logs])
        return _of(values)


def _of(values: Floats) -> Compared:
    sds = deviations(values)
    rounds = values.shape[2]
    drawn = np.random.default_rng(0).integers(0, rounds, size=(RESAMPLES // 10, rounds))
    ratios = [ratio(deviations(values[:, :, which])) for which in drawn]
    low, high = np.quantile(ratios, [0.025, 0.975])
    over = Ratio(ratio(sds), float(low), float(high))
    return Compared(rounds, float(sds[0]), float(sds[1:].min()), over)


def deviations(values: Floats) -> Floats:
    """Of each tool, over the models: root mean square of the sds of (tools, models, rounds)."""
    return np.asarray(np.sqrt(np.mean(np.var(values, axis=2, ddof=1), axis=1)))


def ratio(sds: Floats) -> float:
    """The first over the smallest of the others."""
    return float(sds[0] / max(sds[1:].min(), 1e-9))


def _cells(found: Compared | None) -> tuple[str, str, str, str]:
    if found is None:
        return (units.NOTHING,) * 4
    over = found.over
    ratio_ = f"{over.value:.2f} [{over.low:.2f}, {over.high:.2f}]"
    return str(found.rounds), f"{found.own:.1%}", f"{found.best:.1%}", ratio_
