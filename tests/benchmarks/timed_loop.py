"""What the timed loop itself costs an iteration, with a call that does nothing."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from statistics import median

from profiler.stamps import Stamps
from profiler.timing import clock_overhead_ns, timed_block
from tests.benchmarks.context import Context
from tests.benchmarks.report import Section, Table

NAME = "timed_loop"
ROUNDS, QUICK_ROUNDS = 60, 10
BLOCK_NS = 20_000_000

CALLS = "calls alone"
STAMPED = "calls between two clock reads"
TIMED = "the timed loop"


def nothing() -> None:
    return None


def calls_alone(until_ns: int) -> int:
    """Blocks of a thousand: asking the clock each time would be half of the cost."""
    n = 0
    while time.perf_counter_ns() < until_ns:
        for _ in range(1000):
            nothing()
        n += 1000
    return n


def stamped(until_ns: int) -> int:
    """The loop that anyone would write."""
    clock = time.perf_counter_ns
    latencies = []
    while True:
        start = clock()
        nothing()
        end = clock()
        latencies.append(end - start)
        if end >= until_ns:
            return len(latencies)


def timed(until_ns: int) -> int:
    stamps = Stamps()
    timed_block(nothing, None, until_ns, stamps)
    return len(stamps)


LOOPS: dict[str, Callable[[int], int]] = {CALLS: calls_alone, STAMPED: stamped, TIMED: timed}


def nanoseconds_per_iteration(loop: Callable[[int], int]) -> float:
    begin = time.perf_counter_ns()
    n = loop(begin + BLOCK_NS)
    return (time.perf_counter_ns() - begin) / n


def run(context: Context) -> Section:
    rounds = QUICK_ROUNDS if context.quick else ROUNDS
    measured: dict[str, list[float]] = {name: [] for name in LOOPS}
    shown: list[float] = []
    # As in a repetition.
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        for _ in range(rounds):
            for name, loop in LOOPS.items():
                measured[name].append(nanoseconds_per_iteration(loop))
            shown.append(clock_overhead_ns())
    finally:
        gc.enable()
        gc.unfreeze()
    between = [a - b for a, b in zip(measured[TIMED], measured[STAMPED], strict=True)]
    above = [a - b for a, b in zip(measured[TIMED], measured[CALLS], strict=True)]
    rows = [(name, _cell(values)) for name, values in measured.items()]
    rows += [
        ("the timed loop above calls alone", _cell(above)),
        ("the timed loop above two clock reads", _cell(between)),
        ("of it inside the latency (`clock_overhead_seconds`)", _cell(shown)),
    ]
    return Section(
        name=NAME,
        text=(
            f"An empty Python function, {rounds} rounds of {BLOCK_NS / 1e6:.0f} ms for each loop "
            "in turn. Time from iteration to iteration; median (minimum – maximum)."
        ),
        tables=[Table("nanoseconds an iteration", ("loop", "ns"), rows)],
        data={"nanoseconds": measured | {"inside the latency": shown}},
    )


def _cell(values: list[float]) -> str:
    return f"{median(values):.0f} ({min(values):.0f} – {max(values):.0f})"
