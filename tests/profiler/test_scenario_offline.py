"""``offline``: a block counts the work that was done, and its interval holds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiler.scenarios.means import average, mean
from profiler.scenarios.offline import (
    LEAST_BLOCKS,
    Block,
    block_seconds,
    most_calls,
    offline_block,
    throughput,
)
from tests.queueing import SimulatedDevice

SECOND = 1_000_000_000


class Asynchronous:
    """An accelerator that takes a call at once and works it off later."""

    def __init__(self, launch_ns: int, work_ns: int) -> None:
        self.now = 0
        self.launched = 0
        self.synchronised = 0
        self._launch_ns = launch_ns
        self._work_ns = work_ns
        self._busy_until = 0

    def clock(self) -> int:
        return self.now

    def call(self) -> None:
        self.now += self._launch_ns
        self.launched += 1
        self._busy_until = max(self.now, self._busy_until) + self._work_ns

    def synchronize(self) -> None:
        self.synchronised += 1
        self.now = max(self.now, self._busy_until)


def test_the_work_is_waited_for_once_at_the_end_and_counts() -> None:
    device = Asynchronous(launch_ns=1, work_ns=1000)
    block = offline_block(device.call, device.synchronize, 500, device.clock)
    assert device.synchronised == 1
    # 500 launches fit into 500 ns; their work takes 500 µs, and that is the block's length.
    assert block == Block(calls=500, start_ns=0, end_ns=1 + 500 * 1000)


def test_launch_and_work_overlap() -> None:
    device = Asynchronous(launch_ns=900, work_ns=1000)
    block = offline_block(device.call, device.synchronize, 900_000, device.clock)
    assert block.calls == 1000
    assert block.end_ns == 900 + 1000 * 1000


def test_the_rate_is_never_above_what_the_accelerator_does() -> None:
    device = Asynchronous(launch_ns=10, work_ns=2000)
    blocks = []
    for _ in range(8):
        until = device.now + 100_000
        blocks.append(offline_block(device.call, device.synchronize, until, device.clock))
    found = throughput([blocks], batch_size=1).items_per_second
    assert found is not None
    assert found.value <= SECOND / 2000


def test_without_synchronisation_calls_are_done_when_they_return() -> None:
    device = SimulatedDevice(100, now=0)
    assert offline_block(device.call, None, 1000, device.clock) == Block(10, 0, 1000)


@pytest.mark.parametrize("until", [0, 4_999, 5_000, 5_001])
def test_there_is_at_least_one_call(until: int) -> None:
    device = SimulatedDevice(100)
    assert offline_block(device.call, None, until, device.clock).calls == 1


def test_a_queue_that_never_blocks_does_not_grow_without_end() -> None:
    device = Asynchronous(launch_ns=1_000, work_ns=10_000_000)
    limit = most_calls(latency_seconds=0.01, seconds=0.25)
    block = offline_block(
        device.call, device.synchronize, SECOND // 4, device.clock, most_calls=limit
    )
    assert block.calls == limit == 75
    # Without the limit the block would have held 250,000 calls and taken 42 minutes.
    assert block.seconds == pytest.approx(0.75, rel=0.01)


def test_blocks_hold_many_calls_where_there_is_time_for_it() -> None:
    assert block_seconds(latency_seconds=0.001, budget_seconds=10) == 0.25
    assert block_seconds(latency_seconds=0.01, budget_seconds=10) == 1.0
    assert block_seconds(latency_seconds=1.0, budget_seconds=10) == 10 / LEAST_BLOCKS


def blocks_at(rates: list[float], seconds: float = 0.25) -> list[Block]:
    ends = np.cumsum([seconds] * len(rates)) * SECOND
    width = int(seconds * SECOND)
    return [
        Block(calls=round(rate * seconds), start_ns=int(end) - width, end_ns=int(end))
        for rate, end in zip(rates, ends, strict=True)
    ]


def test_throughput_counts_items() -> None:
    found = throughput([blocks_at([4000.0] * 10)], batch_size=8).items_per_second
    assert found is not None
    assert (found.value, found.low, found.high) == (32_000, 32_000, 32_000)


def test_blocks_of_different_length_count_by_their_length() -> None:
    blocks = [Block(1, 0, 1 * SECOND), Block(300, SECOND, 4 * SECOND)]
    found = throughput([blocks], batch_size=1).items_per_second
    assert found is not None
    assert found.value == 301 / 4


def test_too_few_blocks_give_a_value_without_bounds_and_say_so() -> None:
    found = throughput([blocks_at([400.0, 420.0])], batch_size=1)
    assert found.items_per_second is not None
    assert found.items_per_second.value == pytest.approx(410)
    assert found.items_per_second.low is found.items_per_second.high is None
    assert found.reason is not None
    assert "2 block(s) in one process" in found.reason


def test_processes_alone_can_bound_it() -> None:
    found = throughput([blocks_at([400.0]), blocks_at([408.0]), blocks_at([416.0])], 1)
    assert found.reason is None
    interval = found.items_per_second
    assert interval is not None
    # Student's quantile for two degrees of freedom: 4.303, times 8 / sqrt(3).
    assert interval.high == pytest.approx(408 + 4.303 * 8 / 3**0.5, rel=1e-4)


def test_the_spread_between_processes_is_in_the_interval() -> None:
    rng = np.random.default_rng(1)
    alike = [blocks_at(list(4000 + rng.normal(0, 10, 20))) for _ in range(4)]
    apart = [blocks_at(list(4000 + 300 * i + rng.normal(0, 10, 20))) for i in range(4)]
    narrow = throughput(alike, 1).items_per_second
    wide = throughput(apart, 1).items_per_second
    assert narrow is not None
    assert wide is not None
    assert narrow.high is not None
    assert wide.high is not None
    assert wide.high - wide.value > 10 * (narrow.high - narrow.value)


@pytest.mark.parametrize(("phi", "least"), [(0.0, 0.93), (0.6, 0.9)])
def test_the_interval_over_blocks_covers(phi: float, least: float) -> None:
    rng = np.random.default_rng(20260102)
    covered = 0
    for _ in range(400):
        state = rng.normal()
        rates = []
        for _ in range(60):
            state = phi * state + (1 - phi**2) ** 0.5 * rng.normal()
            rates.append(40_000 + 800 * state)
        found = throughput([blocks_at(rates)], 1).items_per_second
        assert found is not None
        assert found.low is not None
        assert found.high is not None
        covered += found.low <= 40_000 <= found.high
    assert covered / 400 >= least


@given(st.lists(st.integers(1, 10**6), min_size=1, max_size=30), st.integers(1, 64))
def test_an_interval_holds_its_value(calls: list[int], batch_size: int) -> None:
    blocks = [Block(n, i * SECOND, (i + 1) * SECOND) for i, n in enumerate(calls)]
    found = throughput([blocks], batch_size).items_per_second
    assert found is not None
    assert found.value == pytest.approx(batch_size * sum(calls) / len(calls))
    if found.low is not None and found.high is not None:
        assert 0 <= found.low <= found.value <= found.high


def test_one_value_has_no_spread() -> None:
    assert mean(np.array([1.0])) is None


def test_means_are_averaged_with_the_freedom_of_the_uncertain_one() -> None:
    sure, unsure = mean(np.full(100, 5.0)), mean(np.random.default_rng(3).normal(5, 1, 40))
    assert sure is not None
    assert unsure is not None
    joined = average([sure, unsure])
    assert joined.variance == pytest.approx(unsure.variance / 4)
    assert joined.freedom == pytest.approx(unsure.freedom)
