"""The sentinel is the same work each time and takes no more than its share."""

from __future__ import annotations

import numpy as np
import pytest

from profiler import relative
from profiler.samples import Iterations, SentinelSlices
from profiler.sentinel import EDGE_SLICES, SHARE, ConvolutionWork, Sentinel


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


def test_the_work_is_a_convolution() -> None:
    """Against the definition: it must go on computing what its name says."""
    work = ConvolutionWork()
    work()
    image, kernel, found = work._image, work._kernel, work._sum
    for y, x, channel in ((0, 0, 0), (63, 63, 31), (17, 42, 5)):
        window = image[y : y + 3, x : x + 3].astype(np.float64)
        expected = float((window * kernel[..., channel].astype(np.float64)).sum())
        assert found[y, x, channel] == pytest.approx(expected, rel=1e-3, abs=1e-3)
    first = found.copy()
    work()
    assert np.array_equal(first, work._sum)
    assert work.kind == f"convolution-1/numpy-{np.__version__}"


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


@pytest.mark.parametrize(("change", "expected"), [(1.0, 0.0), (1.1, 0.1), (0.8, 0.25)])
def test_drift_is_between_before_and_after(change: float, expected: float) -> None:
    speed = np.linspace(1.0, 1.0, 200)
    speed[100:] *= change
    _, slices = device(speed)
    assert relative.drift(slices) == pytest.approx(expected, abs=1e-6)


def test_without_slices_there_is_none() -> None:
    iterations, _ = device(np.ones(20))
    assert relative.summarise("virtual-1", iterations, SentinelSlices.empty()) is None
