"""What a look of the stop rule costs: it is taken between blocks, while nothing is measured."""

from __future__ import annotations

import time
from collections.abc import Callable

from profiler import stop
from profiler.spec import StopSpec
from tests.benchmarks.coverage.study import generator
from tests.benchmarks.coverage.traces import AR_095, DRIFTING, INDEPENDENT, Values

TRACES = (INDEPENDENT, AR_095, DRIFTING)
LENGTHS = (100, 10_000, 1_000_000)
PERCENTILES = ("p50", "p99")
# A goal that is met at once makes a full look; with 0 it ends where the interval would be too wide
# even if the iterations were independent.
GOALS = {"in full": 0.99, "at once": 0.0}
ROUNDS = 3
ROUND_SECONDS = 0.02

Row = tuple[str, str, str, int]  # trace, look, percentile, iterations


def measure_cost(seed: int) -> dict[Row, float]:
    """Seconds of one look; the fastest of several rounds, as the machine may be busy."""
    found = {}
    for trace in TRACES:
        for n in LENGTHS:
            values = trace.make(generator(seed, trace), n).values
            for look, goal in GOALS.items():
                for name in PERCENTILES:
                    spec = StopSpec(percentile=name, relative_half_width=goal)
                    found[trace.label, look, name, n] = _fastest(values, spec)
    return found


def _fastest(values: Values, spec: StopSpec) -> float:
    return min(_round(lambda: stop.judge(values, spec)) for _ in range(ROUNDS))


def _round(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    calls = 0
    while True:
        call()
        calls += 1
        elapsed = time.perf_counter() - start
        if elapsed >= ROUND_SECONDS:
            return elapsed / calls
