"""Which timed blocks other work disturbed: they are tagged and told apart, never dropped."""

from __future__ import annotations

import os

import numpy as np
from numpy.typing import NDArray

from profiler.result import Contention
from profiler.samples import UNKNOWN, Blocks, Iterations

# A thread that waits for a CPU this share of a block's time makes the block longer by about as
# much: twice the half-width that a median's interval is to reach.
DISTURBED_SHARE = 0.02


def disturbed(blocks: Blocks, cpus: int | None = None) -> NDArray[np.bool_]:
    """For each block whether someone else had the CPU for more than ``DISTURBED_SHARE`` of it.

    Args:
        blocks: of a run.
        cpus: of the machine, over which the steal time is spread.
    """
    wall = np.maximum(blocks.end_ns - blocks.start_ns, 1)
    # Steal time comes in ticks of 10 ms: a single one in a short block says little.
    tick = 1e9 / os.sysconf("SC_CLK_TCK")
    steal = np.where(blocks.steal_ns > tick, blocks.steal_ns, 0) / (cpus or os.cpu_count() or 1)
    delay = np.where(blocks.run_delay_ns == UNKNOWN, 0, blocks.run_delay_ns)
    return np.asarray((delay > DISTURBED_SHARE * wall) | (steal > DISTURBED_SHARE * wall))


def block_of(iterations: Iterations, blocks: Blocks) -> NDArray[np.intp]:
    """Index of the block of each timed iteration; both are in the order of time."""
    starts = iterations.start_ns[~iterations.warmup]
    # The clock is the machine's, so that it grows from one process to the next.
    return np.asarray(np.searchsorted(blocks.start_ns, starts, side="right") - 1)


def undisturbed_groups(
    iterations: Iterations, blocks: Blocks, tagged: NDArray[np.bool_]
) -> list[NDArray[np.float64]]:
    """Seconds of the timed iterations in blocks that are not tagged, by repetition.

    A repetition without any is left out.
    """
    keep = ~tagged[block_of(iterations, blocks)]
    seconds = iterations.timed_seconds()[keep]
    repetition = iterations.repetition[~iterations.warmup][keep]
    return [seconds[repetition == index] for index in np.unique(repetition)]


def summarise(iterations: Iterations, blocks: Blocks) -> Contention | None:
    """What the blocks' counters come to; ``None`` without blocks."""
    if not len(blocks):
        return None
    tagged = disturbed(blocks)
    wall = float((blocks.end_ns - blocks.start_ns).sum())

    def share(column: NDArray[np.int64], per: float = 1.0) -> float | None:
        if (column == UNKNOWN).any() or wall <= 0:
            return None
        return float(column.sum()) / wall / per

    return Contention(
        blocks=len(blocks),
        disturbed_blocks=int(tagged.sum()),
        disturbed_share=_share_of_iterations(iterations, blocks, tagged),
        run_delay_share=share(blocks.run_delay_ns),
        steal_share=share(blocks.steal_ns, per=os.cpu_count() or 1),
        pressure_share=_at_most_one(share(blocks.pressure_ns)),
        involuntary_switches=int(blocks.involuntary_switches.sum()),
    )


def _share_of_iterations(
    iterations: Iterations, blocks: Blocks, tagged: NDArray[np.bool_]
) -> float:
    """Of the timed iterations; of the blocks where single ones were not timed."""
    inside = tagged[block_of(iterations, blocks)]
    return float(inside.mean()) if len(inside) else float(tagged.mean())


def _at_most_one(share: float | None) -> float | None:
    """The kernel brings PSI totals up to date every 2 s, and a block may get an earlier one's."""
    return None if share is None else min(1.0, share)
