"""The figures of the simulation as tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from profiler import units
from profiler.spec import StopSpec
from tests.benchmarks.coverage import cost as cost_of_a_look
from tests.benchmarks.coverage import repetitions as runs
from tests.benchmarks.coverage.rules import RULES, Rule
from tests.benchmarks.coverage.simulate import Share, Tally
from tests.benchmarks.coverage.study import (
    CAP,
    EARLY,
    PERCENTILES,
    SHORT,
    SHORT_PERCENTILES,
    Found,
    rows,
)
from tests.benchmarks.coverage.traces import STATIONARY
from tests.benchmarks.report import Table

NONE = "—"


def text(histories: int, simulated_runs: int) -> str:
    spec = StopSpec()
    return (
        f"{histories:,} simulated histories a cell, of at most {CAP:,} iterations; an iteration "
        "is nominally 1 ms. Shares in percent, ± one binomial standard error. Nominal is 95 %. "
        "*Converged*: the stop rule was content, with a half-width of at most "
        f"{100 * spec.relative_half_width:g} %; the others are flagged. The truth is the "
        "percentile of the process that makes the latencies. Where its level moves (3 % up from "
        f"the first iteration to the {CAP:,}th; a random walk of 3 %) there are two truths: that "
        "of the time measured, and that of the whole history, of which a rule that stops early "
        "has not seen the rest. Between processes: "
        f"{simulated_runs:,} runs of {runs.PROCESSES} processes, their speeds lognormal with the "
        "given spread, or on a device that slows down evenly while they start one after the other; "
        "*unflagged* runs have a final half-width of at most "
        f"{100 * spec.relative_half_width:g} %."
    )


def ours(found: Found) -> list[Table]:
    full = [(row, name, *_ours(found.ours[row, name])) for row in rows() for name in PERCENTILES]
    early = [(row, "p50", *_ours(found.early[row, "p50"])) for row in rows(EARLY)]
    headers = (
        "trace", "percentile", "converged %", "coverage of converged %",
        "of all intervals %", "converged and false, of all %", "iterations", "90 % need",
        "half-width",
    )  # fmt: skip
    return [
        Table("the stop rule with its defaults", headers, full),
        Table("looked at from 100 iterations on, as where each takes 5 ms or more", headers, early),
        _short(found),
    ]


def _ours(tally: Tally) -> tuple[str, ...]:
    return (
        _percent(Share.of(tally.converged)),
        str(tally.coverage_of_converged()),
        str(tally.coverage()),
        str(tally.false_converged()),
        f"{np.mean(tally.n):,.0f}",
        f"{np.quantile(tally.n, 0.9):,.0f}",
        _half(tally),
    )


def _percent(share: Share) -> str:
    return NONE if share.value is None else f"{100 * share.value:.3g}"


def _half(tally: Tally) -> str:
    half = tally.mean_half()
    return NONE if half is None else f"±{100 * half:.2g} %"


def _short(found: Found) -> Table:
    cells = []
    for row in rows(STATIONARY):
        for name in SHORT_PERCENTILES:
            tallies = [found.short[row, name, str(n)] for n in SHORT]
            said = [f"{_percent(Share.of(t.given))}, {t.false()}" for t in tallies]
            cells.append((row, name, *said))
    return Table(
        "too short for the rule: % that have an interval, % of all with one that does not hold",
        ("trace", "percentile", *(f"{n} iterations" for n in SHORT)),
        cells,
    )


def repetitions(found: dict[runs.Row, Tally]) -> Table:
    return Table(
        f"{runs.PROCESSES} processes a run",
        (
            "trace", "iterations a process", "between processes", "percentile",
            "coverage %", "unflagged %", "coverage of unflagged %",
            "unflagged and false, of all %", "half-width",
        ),
        [
            (
                *row, str(tally.coverage()), _percent(Share.of(tally.converged)),
                str(tally.coverage_of_converged()), str(tally.false_converged()), _half(tally),
            )
            for row, tally in found.items()
        ],
    )  # fmt: skip


def rules(found: Found) -> list[Table]:
    """Beside the rules of others: a table for each question."""
    return [
        _matrix(found, "coverage of what each rule states, %", _coverage),
        _matrix(found, "iterations timed, mean, and half-width stated", _length),
        _matrix(found, "figures within 1 % of the truth, %", lambda _, tally: _near(tally)),
    ]


def _matrix(found: Found, title: str, cell: Callable[[Rule, Tally], str]) -> Table:
    headers = [f"{rule.label}, {rule.figure} ({rule.states})" for rule in RULES]
    body = [
        (row, *(cell(rule, found.rules[row, rule.label, rule.figure]) for rule in RULES))
        for row in rows()
    ]
    return Table(title, ("trace", *headers), body)


def _coverage(rule: Rule, tally: Tally) -> str:
    return "states none" if rule.states == "none" else str(tally.coverage())


def _length(_: Rule, tally: Tally) -> str:
    half = _half(tally)
    return f"{np.mean(tally.n):,.0f}" + ("" if half == NONE else f", {half}")


def _near(tally: Tally) -> str:
    return _percent(Share.of(tally.near))


def cost(found: dict[cost_of_a_look.Row, float]) -> Table:
    body = [
        (
            trace.label, look, name,
            *(units.seconds(found[trace.label, look, name, n]) for n in cost_of_a_look.LENGTHS),
        )
        for trace in cost_of_a_look.TRACES
        for look in cost_of_a_look.GOALS
        for name in cost_of_a_look.PERCENTILES
    ]  # fmt: skip
    lengths = (f"{n:,} iterations" for n in cost_of_a_look.LENGTHS)
    return Table("one look of the rule", ("trace", "look", "percentile", *lengths), body)


def data(
    found: Found,
    repetitions: dict[runs.Row, Tally],
    cost: dict[cost_of_a_look.Row, float],
) -> dict[str, Any]:
    """All of it for ``--json``."""
    return {
        "ours": _data(found.ours),
        "early": _data(found.early),
        "short": _data(found.short),
        "rules": _data(found.rules),
        "repetitions": _data(repetitions),
        "seconds_a_look": [{"cell": list(key), "seconds": s} for key, s in cost.items()],
    }


def _data(tallies: Mapping[Any, Tally]) -> list[dict[str, Any]]:
    return [{"cell": list(key), **tally.data()} for key, tally in tallies.items()]
