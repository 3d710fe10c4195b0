"""The sentinel is the same work each time and takes no more than its share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from profiler import relative
from profiler.flags import DRIFT
from profiler.samples import Iterations, SentinelSlices
from profiler.sentinel import (
    EDGE_SLICES,
    LAYERS,
    MOST_BETWEEN,
    POSITIONS,
    SHARE,
    WIDTH,
    LayersWork,
    Sentinel,
)  # fmt: skip


class Clock:
    """Virtual nanoseconds."""

    def __init__(self) -> None:
        self.now = 0

    def __call__(self) -> int:
        return self.now


class Work:
    kind = "virtual-1"

    def __init__(self, clock: Clock, nanoseconds: int) -> None:
        self.nanoseconds = nanoseconds
        self._clock = clock

    def __call__(self) -> None:
        self._clock.now += self.nanoseconds


def test_the_work_is_a_network_of_many_layers() -> None:
    """Against the definition: it must go on computing what its name says."""
    work = LayersWork()
    work()
    found = work._sides[(LAYERS - 1) % 2]
    expected = work._image.astype(np.float64)
    for weights in work._weights:
        expected = np.maximum(expected @ weights.astype(np.float64), 0)
    assert found == pytest.approx(expected, rel=1e-2, abs=1e-3 * float(expected.max()))
    # What passes neither dies out nor grows: 30 orders from a denormal number or an overflow.
    assert 1e-8 < float(found.max()) < 1e8
    first = found.copy()
    work()
    assert np.array_equal(first, found)
    assert work.kind == f"layers-3/numpy-{np.__version__}"
    assert POSITIONS * WIDTH * WIDTH <= 262_144  # from there on OpenBLAS uses threads


@pytest.mark.parametrize("slice_ns", [1_500_000, 20_000_000])
def test_it_takes_no_more_than_its_share_of_the_time(slice_ns: int) -> None:
    clock = Clock()
    sentinel = Sentinel(Work(clock, slice_ns), clock)
    begin, taken = clock.now, 0
    for _ in range(400):
        clock.now += 50_000_000
        before = clock.now
        sentinel.between()
        taken += clock.now - before
    assert 0 < taken / (clock.now - begin) <= SHARE


def test_an_edge_is_its_median_and_is_kept() -> None:
    clock = Clock()
    sentinel = Sentinel(Work(clock, 2_000_000), clock)
    assert sentinel.edge() == pytest.approx(0.002)
    assert len(sentinel.slices) == EDGE_SLICES


@pytest.mark.parametrize(("slice_ns", "lead_in", "kept"), [
    (2_500_000, 4, EDGE_SLICES), (3_500_000, 4, 11), (12_000_000, 4, 3), (25_000_000, 2, 1),
    (90_000_000, 2, 1),
])  # fmt: skip
def test_on_a_slow_device_an_edge_is_fewer_slices(slice_ns: int, lead_in: int, kept: int) -> None:
    """All of them together are to take a small part of a repetition there too."""
    clock = Clock()
    sentinel = Sentinel(Work(clock, slice_ns), clock)
    assert clock.now == lead_in * slice_ns
    assert sentinel.edge() == pytest.approx(slice_ns / 1e9)
    assert len(sentinel.slices) == kept


def device(speed: np.ndarray, latency: float = 0.01) -> tuple[Iterations, SentinelSlices]:
    """One repetition on a device whose speed follows ``speed``, a slice between all iterations."""
    stamps, slices = [], []
    now = 0.0
    for factor in speed:
        start, now = now, now + latency * factor
        stamps.append((int(start * 1e9), int(now * 1e9)))
        start, now = now, now + 0.0015 * factor
        slices.append((int(start * 1e9), int(now * 1e9)))
    return Iterations.from_stamps(0, [], stamps), SentinelSlices.of(0, slices)


def test_in_its_units_a_wandering_device_is_steady() -> None:
    rng = np.random.default_rng(5)
    # A slow random walk of some 30 %, as a hypervisor's neighbours make.
    speed = np.exp(np.cumsum(0.02 * rng.standard_normal(600)))
    iterations, slices = device(speed)
    seconds = iterations.timed_seconds()
    (ratios,) = relative.relative_groups(iterations, slices)
    spread = [np.std(values) / np.mean(values) for values in (seconds, ratios)]
    assert spread[1] < spread[0] / 5
    found = relative.summarise("virtual-1", iterations, slices)
    assert found is not None
    assert found.relative_p50 is not None
    assert found.relative_p50.value == pytest.approx(0.01 / 0.0015, rel=0.02)


def test_a_long_pause_has_a_few_slices_and_a_short_one_none() -> None:
    clock = Clock()
    sentinel = Sentinel(Work(clock, 1_000_000), clock)
    for waited, slices in ((36_000_000, 0), (28_000_000, 2), (60_000_000_000, MOST_BETWEEN)):
        clock.now += waited
        before = len(sentinel.slices)
        sentinel.between()
        assert len(sentinel.slices) - before == slices


def test_the_first_slice_of_a_pause_is_not_kept() -> None:
    """It finds the model's data in the caches, and a slice alone in its pause would be that one."""
    clock = Clock()
    work = Work(clock, 1_000_000)
    sentinel = Sentinel(work, clock)

    def colder_first() -> None:
        clock.now += 5_000_000 if cold.pop() else 1_000_000

    cold = [False, True]
    sentinel._work = colder_first  # type: ignore[assignment]
    clock.now += 45_000_000
    sentinel.between()
    assert [end - start for start, end in sentinel.slices] == [1_000_000]
    assert cold == []


@pytest.mark.parametrize(("change", "expected"), [(1.0, 0.0), (1.1, 0.1), (0.8, 0.25)])
def test_drift_is_from_the_begin_to_the_end(change: float, expected: float) -> None:
    speed = np.linspace(1.0, 1.0, 200)
    speed[100:] *= change
    _, slices = device(speed)
    found = relative.drift(slices)
    assert found.change == pytest.approx(expected, abs=1e-6)
    assert found.by_chance <= expected + 1e-6


def pauses(speeds: Sequence[float], each: int = 3, index: int = 0) -> SentinelSlices:
    """Slices back to back in pauses a quarter of a second apart."""
    slices, now = [], 0.0
    for speed in speeds:
        for _ in range(each):
            slices.append((int(now * 1e9), int((now + 0.001 * speed) * 1e9)))
            now = slices[-1][1] / 1e9
        now += 0.25
    return SentinelSlices.of(index, slices)


def test_jitter_is_no_drift() -> None:
    rng = np.random.default_rng(1)
    flagged = 0
    for _ in range(400):
        run = [pauses(np.exp(0.03 * rng.standard_normal(10)), index=i) for i in range(5)]
        slices = SentinelSlices.concatenate(run)
        found = relative.drift(slices)
        flagged += found.change > max(DRIFT, found.by_chance)
    assert flagged <= 0.08 * 400


def test_a_drift_within_jitter_is_found() -> None:
    rng = np.random.default_rng(1)
    found = [
        relative.drift(pauses(np.exp(0.01 * rng.standard_normal(12) + np.linspace(0, 0.1, 12))))
        for _ in range(100)
    ]
    assert sum(each.change > max(DRIFT, each.by_chance) for each in found) >= 95


def test_slices_of_one_pause_count_once() -> None:
    """Five that were slow together are one slow moment, and no evidence of more."""
    found = relative.drift(pauses([1.0, 1.1, 1.0, 1.0, 1.0, 1.1], each=5))
    assert found.change < found.by_chance


def test_two_edges_alone_are_compared_as_they_are() -> None:
    assert relative.drift(pauses([1.0, 1.05])) == (pytest.approx(0.05, abs=1e-3), 0.0)


def edges(changes: Sequence[float]) -> SentinelSlices:
    """Repetitions with slices at their begin and end only."""
    return SentinelSlices.concatenate(
        [pauses([1.0, 1.0 + change], index=i) for i, change in enumerate(changes)]
    )


def test_jitter_of_the_edges_of_short_repetitions_is_no_drift() -> None:
    rng = np.random.default_rng(1)
    found = [relative.drift(edges(0.03 * rng.standard_normal(5))) for _ in range(400)]
    assert sum(each.change > max(DRIFT, each.by_chance) for each in found) <= 0.08 * 400


@pytest.mark.parametrize(
    "changes", [(0.05, 0.052, 0.049, 0.051, 0.05), (0.0, 0.001, 0.1, 0.0, 0.002)]
)
def test_what_all_short_repetitions_change_by_is_drift_and_so_is_what_one_alone_does(
    changes: Sequence[float],
) -> None:
    found = relative.drift(edges(changes))
    assert found.change == pytest.approx(max(changes), rel=0.1)
    assert found.change > max(DRIFT, found.by_chance)


def test_its_duration_of_two_levels_does_not_jump_between_them() -> None:
    """As in pauses, where a slice finds its weights farther away than the one after it."""
    rng = np.random.default_rng(0)
    means, medians = [], []
    for _ in range(200):
        levels = np.where(np.arange(60) % 2 == 0, 2.2e-3, 2.45e-3)
        found = rng.choice(levels, 60) * rng.lognormal(0, 0.01, 60)
        means.append(relative.trimmed_mean(found))
        medians.append(float(np.median(found)))
    assert np.std(means) < np.std(medians) / 2


def test_a_burst_in_a_few_slices_moves_its_duration_little() -> None:
    calm = np.full(60, 2.3e-3)
    hit = calm.copy()
    hit[20:30] *= 3
    assert relative.trimmed_mean(hit) == pytest.approx(relative.trimmed_mean(calm))


def test_the_interval_lies_around_its_duration() -> None:
    iterations, slices = device(1 + 0.05 * np.sin(np.arange(400)))
    found = relative.summarise("virtual-1", iterations, slices)
    assert found is not None
    own = found.seconds
    assert own.low is not None
    assert own.high is not None
    assert own.low < own.value < own.high
    assert own.value == pytest.approx(relative.trimmed_mean(slices.duration_ns / 1e9))


def test_without_slices_there_is_none() -> None:
    iterations, _ = device(np.ones(20))
    assert relative.summarise("virtual-1", iterations, SentinelSlices.empty()) is None
