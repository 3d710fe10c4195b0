"""``offline``: calls as fast as they go; throughput is the figure.

The calls of a block are not awaited one by one: an accelerator that works asynchronously overlaps
its work with the launch of the next call, and is waited for once, at the end of the block. On a
CPU a call returns when its work is done, so nothing overlaps and the throughput is that of
``single_stream`` without the synchronisations; what a runtime overlaps *inside* a call, it does in
both scenarios.

Each block ends with an empty pipeline, and filling and emptying it costs about one call's latency
per block. That is why blocks hold many calls (``block_seconds``).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from time import perf_counter_ns
from typing import Any, NamedTuple

import numpy as np

from profiler.result import Interval, Throughput
from profiler.scenarios.means import Mean, average, mean
from profiler.spec import REPETITIONS
from profiler.stats import student
from profiler.timing import Clock

LATENCY_REASON = (
    "the scenario offline measures throughput: its calls are not awaited one by one. "
    "Use the scenario single_stream for latency"
)

# With so many calls in a block, filling and emptying the pipeline costs about 1 % of it.
CALLS_PER_BLOCK = 100
# The shortest block that is worth a synchronisation, and the fewest blocks that a variance between
# blocks can be told from; the second wins.
LEAST_SECONDS = 0.25
LEAST_BLOCKS = 8
# A call that only enqueues its work returns early, and the clock would let the queue grow without
# end. A block holds at most so many times the calls that fit one after the other: more than any
# overlap gains, and it is over in as many times its length at worst.
MOST_OVERLAP = 3.0


class Block(NamedTuple):
    """Calls that were waited for together; nanoseconds of one clock."""

    calls: int
    start_ns: int
    end_ns: int

    @property
    def seconds(self) -> float:
        return (self.end_ns - self.start_ns) / 1e9


def offline_block(
    call: Callable[[], Any],
    synchronize: Callable[[], None] | None,
    until_ns: int,
    clock: Clock = perf_counter_ns,
    most_calls: int | None = None,
) -> Block:
    """Call until the clock passes ``until_ns``, at least once, then wait for all of the work.

    Args:
        call: one inference; it may return before its work is done.
        synchronize: waits for the accelerator; ``None`` where the call returns with the work done.
        until_ns: on the same clock.
        clock: monotonic, nanoseconds.
        most_calls: end the block after so many; see ``most_calls``.
    """
    calls = 0
    start = clock()
    while True:
        call()
        calls += 1
        end = clock()
        if end >= until_ns or calls == most_calls:
            break
    if synchronize is not None:
        synchronize()
        end = clock()
    return Block(calls=calls, start_ns=start, end_ns=end)


def block_seconds(latency_seconds: float, budget_seconds: float) -> float:
    """How long a block of calls with this latency is, within a repetition's time."""
    wanted = max(LEAST_SECONDS, CALLS_PER_BLOCK * latency_seconds)
    return min(wanted, budget_seconds / LEAST_BLOCKS)


def most_calls(latency_seconds: float, seconds: float) -> int:
    """How many calls a block of these seconds holds at most."""
    return max(1, math.ceil(MOST_OVERLAP * seconds / latency_seconds))


def throughput(groups: Sequence[Sequence[Block]], batch_size: int) -> Throughput:
    """Items per second with a 95 % interval.

    As for medians, the spread between processes counts, and within one process the spread between
    its blocks; the wider of both is taken, since the former holds the latter.

    Args:
        groups: the blocks of each process, in measured order; none is empty.
        batch_size: items per call.
    """
    rates = np.array([_rate(blocks) for blocks in groups])
    value = float(rates.mean()) * batch_size
    halves = [half for half in (_within(groups), _between(rates)) if half is not None]
    count = sum(map(len, groups))
    if not halves:
        return Throughput(
            blocks=count,
            items_per_second=Interval(value=value, low=None, high=None),
            reason=(
                f"{count} block(s) in one process are too few for a 95 % interval. "
                f"Measure for longer (--max-time) or with --repetitions {REPETITIONS}"
            ),
        )
    half = max(halves) * batch_size
    interval = Interval(value=value, low=max(0.0, value - half), high=value + half)
    return Throughput(blocks=count, items_per_second=interval)


def _rate(blocks: Sequence[Block]) -> float:
    """All calls over all of the time: blocks need not be of equal length."""
    return sum(block.calls for block in blocks) / sum(block.seconds for block in blocks)


def _within(groups: Sequence[Sequence[Block]]) -> float | None:
    """Half-width from the spread between blocks; ``None`` where a process has too few."""
    means = [_mean_rate(blocks) for blocks in groups]
    known = [each for each in means if each is not None]
    return average(known).half_width if len(known) == len(means) else None


def _mean_rate(blocks: Sequence[Block]) -> Mean | None:
    """The rate as a ratio of two means (Cochran, "Sampling Techniques", section 2.11)."""
    calls = np.array([block.calls for block in blocks], dtype=np.float64)
    seconds = np.array([block.seconds for block in blocks])
    return mean((calls - _rate(blocks) * seconds) / seconds.mean())


def _between(rates: np.ndarray[Any, np.dtype[np.float64]]) -> float | None:
    """Half-width that the spread between processes allows."""
    if len(rates) == 1:
        return None
    return student(len(rates) - 1) * float(rates.std(ddof=1)) / math.sqrt(len(rates))
