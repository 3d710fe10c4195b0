"""The timed loop against the bare one, in one process, on one loaded model: ``… JSON``.

Blocks alternate, so that what the machine does over a second is done to both alike. A ratio is of
four blocks, A B B A or B A A B: what changes evenly over the four cancels as well. Every other four
are the bare loop against itself.

Two arms: the loop alone, in short blocks; and a block as a run has it, with all that a run does
between two blocks.
"""

from __future__ import annotations

import gc
import json
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from profiler.blocks import BLOCK_NS, TimedBlocks
from profiler.sentinel import LayersWork, Sentinel
from profiler.stamps import Stamps
from profiler.timing import timed_block
from tests.benchmarks.peers.engines import Call, Load, latencies_ns, load, tell, warm_up

Block = Callable[[], float]
ORDERS = ("ABBA", "BAAB")
# Of the arm with nothing between its blocks: the shorter, the less the machine changes over four.
SHORT_NS = 50_000_000


def timed(call: Call, block_ns: int) -> Block:
    """A block as a repetition times it: no garbage is collected meanwhile."""

    def block() -> float:
        stamps = Stamps()
        gc.disable()
        try:
            timed_block(call, None, time.perf_counter_ns() + block_ns, stamps)
        finally:
            gc.enable()
        return _median_ns(stamps)

    return block


def as_a_run(call: Call, block_ns: int, sentinel: Sentinel) -> Block:
    """A block in the middle of a run: right after such a pause as a run makes between two.

    Args:
        call: one inference.
        block_ns: no more than that of a run.
        sentinel: of the whole process; a block ends with a slice, and begins with one where the
            bare loop was before it.
    """

    def block() -> float:
        blocks = TimedBlocks(call, None, sentinel=sentinel)
        gc.disable()
        try:
            sentinel.between()
            blocks.run(block_ns / 1e9, _never_enough)
        finally:
            gc.enable()
        return _median_ns(blocks.counted())

    return block


def _never_enough(stamps: Stamps) -> bool:
    """What a run computes after each block, for its progress."""
    stamps.recent_median_seconds()
    return False


def _median_ns(stamps: Stamps) -> float:
    return float(np.median(stamps.latency_ns()))


def bare(call: Call, block_ns: int, lead_in: int = 0) -> Block:
    """A block of the loop that anyone would write, after some calls that are not timed."""

    def block() -> float:
        for _ in range(lead_in):
            call()
        return statistics.median(latencies_ns(call, time.perf_counter_ns() + block_ns))

    return block


def quartet(order: str, above: Block, below: Block) -> float:
    """The ratio over four blocks; A is ``above``."""
    sums = {"A": 0.0, "B": 0.0}
    blocks = {"A": above, "B": below}
    for name in order:
        sums[name] += blocks[name]()
    return sums["A"] / sums["B"]


def in_turn(name: str, above: Block, below: Block, seconds: float) -> dict[str, list[float]]:
    """Ratios of the one to the other, and of the other to itself; at least one of each."""
    ratios: dict[str, list[float]] = {name: [], f"{name}_control": []}
    end = time.perf_counter() + seconds
    turn = 0
    while turn == 0 or time.perf_counter() < end:
        order = ORDERS[turn % len(ORDERS)]
        ratios[name].append(quartet(order, above, below))
        ratios[f"{name}_control"].append(quartet(order, below, below))
        turn += 1
    return ratios


def measure(load_words: dict[str, Any], warmup_seconds: float, seconds: float) -> None:
    """Both arms, ``seconds`` each."""
    call = load(Load(**load_words))
    warm_up(call, warmup_seconds)
    sentinel = Sentinel(LayersWork())
    gc.collect()
    gc.freeze()
    loop = in_turn("timed", timed(call, SHORT_NS), bare(call, SHORT_NS), seconds)
    # The pause that a run's block ends with must not be felt by the loop that has none.
    below = bare(call, BLOCK_NS, lead_in=1)
    run = in_turn("run", as_a_run(call, BLOCK_NS, sentinel), below, seconds)
    tell(**loop, **run)


if __name__ == "__main__":
    measure(**json.loads(sys.argv[1]))
