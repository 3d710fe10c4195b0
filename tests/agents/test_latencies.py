"""Histograms of what is being measured, from a run's progress to the scrape."""

from __future__ import annotations

import pytest

from agents.device.latencies import LINGER_SECONDS, LatencyBoard
from agents.exporter import run_labels
from profiler.latency_buckets import MeasuredLatencies, bucket_of
from profiler.result import InputInfo
from profiler.spec import Scenario
from tests.builders import make_result, make_spec


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def board(clock: Clock) -> LatencyBoard:
    return LatencyBoard(clock)


def block(*seconds: float, threads: int | None = 4) -> MeasuredLatencies:
    counts: dict[int, int] = {}
    for each in seconds:
        counts[bucket_of(each)] = counts.get(bucket_of(each), 0) + 1
    return MeasuredLatencies(
        accelerator="cpu",
        precision="fp32",
        threads=threads,
        inputs="1x3x224x224",
        counts=counts,
        sum_seconds=sum(seconds),
        slowest_seconds=max(seconds),
    )


def test_blocks_of_one_configuration_add_up(board: LatencyBoard) -> None:
    board.add("r1", make_spec(), block(0.010, 0.011))
    board.add("r2", make_spec(), block(0.010, 0.5))
    (found,) = board.histograms()
    assert found.counts == {bucket_of(0.010): 2, bucket_of(0.011): 1, bucket_of(0.5): 1}
    assert found.sum_seconds == pytest.approx(0.531)
    # Of each block the slowest: that is what one wants to look up.
    assert found.exemplars == {bucket_of(0.011): ("r1", 0.011), bucket_of(0.5): ("r2", 0.5)}


def test_configurations_are_kept_apart(board: LatencyBoard) -> None:
    board.add("r1", make_spec(), block(0.010))
    board.add("r2", make_spec(batch_size=8), block(0.010))
    board.add("r3", make_spec(), block(0.010, threads=1))
    assert len(board.histograms()) == 3


def test_the_labels_are_those_of_the_result_that_comes_of_it(board: LatencyBoard) -> None:
    board.add("r1", make_spec(scenario=Scenario.SUSTAINED), block(0.010))
    inputs = (InputInfo(name="x", dtype="float32", shape=(1, 3, 224, 224)),)
    result = make_result(inputs=inputs, scenario="sustained")
    assert board.histograms()[0].labels == run_labels(result)[1:]


def test_a_histogram_is_gone_a_while_after_its_last_block(
    board: LatencyBoard, clock: Clock
) -> None:
    board.add("r1", make_spec(), block(0.010))
    clock.now = LINGER_SECONDS - 1
    board.add("r2", make_spec(batch_size=8), block(0.010))
    assert len(board.histograms()) == 2
    clock.now += 2
    assert [found.labels[5] for found in board.histograms()] == ["8"]
    board.add("r3", make_spec(), block(0.020))
    assert [sum(found.counts.values()) for found in board.histograms()] == [1, 1]
