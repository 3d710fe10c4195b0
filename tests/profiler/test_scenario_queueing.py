"""Forecasts against the known answer of M/D/1, and intervals that hold on its waits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from profiler import stats
from profiler.scenarios.queueing import (
    Forecast,
    calls_needed,
    forecast,
    rate_for,
    utilization,
    waits,
)
from profiler.scenarios.server import Server
from tests.queueing import (
    SimulatedDevice,
    lindley,
    mean_wait,
    wait_percentile,
    waits_at_most,
)

Seconds = NDArray[np.float64]
LOADS = [0.5, 0.7, 0.9]
MILLISECOND = 1_000_000


def queue(rng: np.random.Generator, load: float, calls: int) -> Seconds:
    """Waits of M/D/1 in units of the service time, up to the first idle moment after so many."""
    more = int(1.2 * calls) + 2000
    waited = waits(rng.exponential(1 / load, more - 1), np.ones(more))
    return waited[: calls + int(np.argmax(waited[calls:] == 0))]


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(1, 60)), min_size=1, max_size=60))
def test_waits_follow_the_recursion_of_lindley(calls: list[tuple[int, int]]) -> None:
    gaps = np.array([gap for gap, _ in calls], dtype=np.float64)
    services = np.array([service for _, service in calls], dtype=np.float64)
    latencies = lindley(np.cumsum(gaps).astype(int), services.astype(int))
    assert (waits(gaps[1:], services) + services).tolist() == latencies


@pytest.mark.parametrize("load", LOADS)
def test_the_theory_is_that_of_the_recursion(load: float) -> None:
    waited = waits(np.random.default_rng(1).exponential(1 / load, 1_999_999), np.ones(2_000_000))
    assert waited.mean() == pytest.approx(mean_wait(load), rel=0.04)
    for time in (0.0, 0.5, 1.0, 3.7, 8.0):
        assert (waited <= time).mean() == pytest.approx(waits_at_most(load, time), abs=0.008)
    for level in (0.9, 0.99):
        truth = wait_percentile(load, level)
        assert np.quantile(waited, level) == pytest.approx(truth, rel=0.05)


def test_the_theory_has_no_cancellation_far_out() -> None:
    # P(wait > t) falls by exp(-r) per service time, where 0.9 (exp(r) - 1) = r: r = 0.2073.
    tail = [1 - waits_at_most(0.9, t) for t in (40.0, 41.0, 60.0)]
    assert np.log(tail[0] / tail[1]) == pytest.approx(0.2073, abs=1e-3)
    assert np.log(tail[0] / tail[2]) == pytest.approx(20 * 0.2073, abs=2e-2)


def test_half_of_the_calls_wait_for_nothing_at_half_load() -> None:
    assert wait_percentile(0.5, 0.5) == 0
    assert waits_at_most(0.5, 0.0) == 0.5


@pytest.mark.parametrize("load", LOADS)
def test_a_served_queue_is_the_queue_of_the_theory(load: float) -> None:
    """The real loop on a simulated clock: mean wait by Pollaczek and Khinchine, p99 by Erlang."""
    device = SimulatedDevice(MILLISECOND)
    server = Server(device.call, None, seed=11, clock=device.clock, wait_until=device.wait_until)
    found = server.offer(load * 1000, 150_000, 1e6)
    waited = (found.latency_seconds() - 0.001) / 0.001
    assert waited.mean() == pytest.approx(mean_wait(load), rel=0.1)
    interval = stats.percentile([found.latency_seconds()], 0.99).interval
    assert interval is not None
    assert interval.low is not None
    assert interval.high is not None
    truth = 0.001 * (1 + wait_percentile(load, 0.99))
    assert interval.low <= truth <= interval.high
    assert interval.high - interval.low < 0.6 * truth


@pytest.mark.parametrize(
    ("load", "name", "seeds"),
    [
        (0.5, "p99", 300), (0.7, "p99", 200), (0.9, "p99", 40),
        (0.5, "p90", 300), (0.7, "p90", 300), (0.9, "p90", 200),
        (0.7, "p50", 300), (0.9, "p50", 200),
    ],
)  # fmt: skip
def test_intervals_of_as_many_calls_as_are_needed_cover(load: float, name: str, seeds: int) -> None:
    level = stats.PERCENTILES[name]
    truth = wait_percentile(load, level)
    expected = forecast(np.ones(10), load, level)
    assert expected is not None
    calls = calls_needed(expected, level)
    covered = given_ = 0
    for seed in range(seeds):
        waited = queue(np.random.default_rng(seed), load, calls) + 1
        found = stats.percentile([waited], level).interval
        if found is None or found.low is None or found.high is None:
            continue
        given_ += 1
        covered += found.low <= 1 + truth + 1e-9 and found.high >= 1 + truth - 1e-9
    assert given_ >= 0.85 * seeds
    assert covered / given_ >= 0.9


def test_intervals_of_fewer_calls_do_not() -> None:
    """What fixing the number beforehand is for: a short trial has one where it saw no bunch."""
    truth = 1 + wait_percentile(0.7, 0.99)
    rng = np.random.default_rng(5)
    found = [stats.percentile([queue(rng, 0.7, 1000) + 1], 0.99).interval for _ in range(300)]
    bounds = [(each.low, each.high) for each in found if each is not None]
    assert 5 < len(bounds) < 150
    assert sum(low <= truth <= high for low, high in bounds) / len(bounds) < 0.7


@pytest.mark.parametrize("load", LOADS)
def test_the_forecast_is_near_the_theory(load: float) -> None:
    found = forecast(np.full(100, 0.002), load / 0.002, 0.99)
    assert found is not None
    assert found.latency_seconds == pytest.approx(
        0.002 * (1 + wait_percentile(load, 0.99)), rel=0.03
    )


def test_waits_are_longer_correlated_at_a_higher_load() -> None:
    times = []
    for load in LOADS:
        found = forecast(np.ones(10), load, 0.99)
        assert found is not None
        times.append(found.correlation_time)
    # As in paths of a million calls: 5.3, 17 and 169, the last to within half of it.
    assert times == pytest.approx([5.3, 17, 169], rel=0.5)


def test_there_is_no_forecast_for_a_queue_that_grows() -> None:
    assert forecast(np.ones(10), 1.0, 0.99) is None
    assert forecast(np.ones(10), 3.0, 0.99) is None


@pytest.mark.parametrize("load", LOADS)
def test_the_rate_for_a_bound_is_that_of_the_theory(load: float) -> None:
    bound = 0.001 * (1 + wait_percentile(load, 0.99))
    assert rate_for(np.full(50, 0.001), 0.99, bound) == pytest.approx(load * 1000, rel=0.02)


def test_slow_calls_in_a_row_make_a_longer_queue_than_scattered_ones() -> None:
    scattered = np.resize([1.0, 2.0], 400)
    in_a_row = np.repeat([1.0, 2.0], 200)
    apart, together = forecast(scattered, 0.55, 0.99), forecast(in_a_row, 0.55, 0.99)
    assert apart is not None
    assert together is not None
    assert together.latency_seconds > 2 * apart.latency_seconds


def test_a_load_is_rate_times_service_time() -> None:
    assert utilization(np.array([0.001, 0.003]), 100.0) == pytest.approx(0.2)


def test_calls_needed_grow_with_the_correlation_and_the_percentile() -> None:
    assert calls_needed(Forecast(1.0, 1.0), 0.99) == 3 * 368
    assert calls_needed(Forecast(1.0, 10.0), 0.99) == 30 * 368
    assert calls_needed(Forecast(1.0, 1.0), 0.9) == 3 * 36
    assert calls_needed(Forecast(1.0, 1.0), 0.5) == 30
