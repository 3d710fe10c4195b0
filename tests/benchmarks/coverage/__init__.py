"""How often intervals hold, on simulated latencies whose percentiles are known."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.benchmarks.coverage import tables
from tests.benchmarks.coverage.cost import measure_cost
from tests.benchmarks.coverage.repetitions import study_repetitions
from tests.benchmarks.coverage.study import Found, study
from tests.benchmarks.coverage.traces import MOVING, STATIONARY
from tests.benchmarks.report import Section

if TYPE_CHECKING:
    from tests.benchmarks.context import Context

NAME = "coverage"
HISTORIES, QUICK_HISTORIES = 2_000, 200
# Of several repetitions each.
RUNS, QUICK_RUNS = 1_000, 100
SEED = 20_260_101


def run(context: Context) -> Section:
    # The tests of the simulation need no fleet.
    from tests.benchmarks.context import say

    histories = QUICK_HISTORIES if context.quick else HISTORIES
    found = Found()
    for trace in (*STATIONARY, *MOVING):
        say(f"{NAME}: {trace.label}, {histories} histories")
        study(trace, histories, SEED, found)
    say(f"{NAME}: runs of several processes")
    runs = QUICK_RUNS if context.quick else RUNS
    repetitions = study_repetitions(runs, SEED)
    say(f"{NAME}: what a look costs")
    cost = measure_cost(SEED)
    return Section(
        name=NAME,
        text=tables.text(histories, runs),
        tables=[
            *tables.ours(found),
            tables.repetitions(repetitions),
            *tables.rules(found),
            tables.cost(cost),
        ],
        data=tables.data(found, repetitions, cost)
        | {"histories": histories, "runs": runs, "seed": SEED},
    )
