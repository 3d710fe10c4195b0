"""The timed loop against the bare one, in one process, on one loaded model: ``… JSON``.

Blocks of some 50 ms alternate, so that what the machine does over a second is done to both alike.
A ratio is of four blocks, A B B A or B A A B: what changes evenly over the four cancels as well.
Every other four are the bare loop against itself.
"""

from __future__ import annotations

import gc
import json
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

from profiler.timing import Stamps, timed_block
from tests.benchmarks.peers.engines import Call, Load, latencies_ns, load, tell, warm_up

Block = Callable[[], float]
ORDERS = ("ABBA", "BAAB")


def timed(call: Call, block_ns: int) -> Block:
    """A block as a repetition times it: no garbage is collected meanwhile."""

    def block() -> float:
        stamps: Stamps = []
        gc.disable()
        try:
            timed_block(call, None, time.perf_counter_ns() + block_ns, stamps)
        finally:
            gc.enable()
        return statistics.median(end - start for start, end in stamps)

    return block


def bare(call: Call, block_ns: int) -> Block:
    def block() -> float:
        return statistics.median(latencies_ns(call, time.perf_counter_ns() + block_ns))

    return block


def quartet(order: str, above: Block, below: Block) -> float:
    """The ratio over four blocks; A is ``above``."""
    sums = {"A": 0.0, "B": 0.0}
    blocks = {"A": above, "B": below}
    for name in order:
        sums[name] += blocks[name]()
    return sums["A"] / sums["B"]


def measure(
    load_words: dict[str, Any], warmup_seconds: float, seconds: float, block_seconds: float
) -> None:
    call = load(Load(**load_words))
    warm_up(call, warmup_seconds)
    gc.collect()
    gc.freeze()
    block_ns = int(block_seconds * 1e9)
    a, b = timed(call, block_ns), bare(call, block_ns)
    ratios: dict[str, list[float]] = {"timed": [], "control": []}
    end = time.perf_counter() + seconds
    turn = 0
    while time.perf_counter() < end or not ratios["control"]:
        order = ORDERS[turn % len(ORDERS)]
        ratios["timed"].append(quartet(order, a, b))
        ratios["control"].append(quartet(order, b, b))
        turn += 1
    tell(**ratios)


if __name__ == "__main__":
    measure(**json.loads(sys.argv[1]))
