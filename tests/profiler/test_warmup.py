"""Steady is when two adjacent windows agree, and not before both are long enough."""

from __future__ import annotations

import numpy as np
import pytest

from profiler.warmup import (
    WINDOW_ITERATIONS,
    WINDOW_SECONDS,
    is_moving,
    is_steady,
    window_length,
)


def test_a_window_has_enough_iterations_and_enough_time() -> None:
    slow = [WINDOW_SECONDS] * 100
    assert window_length(slow, 100) == WINDOW_ITERATIONS
    fast = [WINDOW_SECONDS / 64] * 200
    assert window_length(fast, 200) == 64


def test_a_window_ends_where_it_is_told_to() -> None:
    latencies = [1.0] * 30 + [1e-6] * 10
    assert window_length(latencies, 30) == WINDOW_ITERATIONS
    assert window_length(latencies, 19) is None


@pytest.mark.parametrize("latencies", [[], [1.0], [1.0] * 19, [1e-6] * 1000])
def test_too_little_is_not_steady(latencies: list[float]) -> None:
    assert window_length(latencies, len(latencies)) is None
    assert not is_steady(latencies)


def test_one_window_is_not_steady_and_two_are() -> None:
    assert not is_steady([0.2] * 39)
    assert is_steady([0.2] * 40)


@pytest.mark.parametrize(("factor", "steady"), [(1.0, True), (1.009, True), (1.011, False)])
def test_medians_may_differ_by_one_percent(factor: float, steady: bool) -> None:
    assert is_steady([0.2] * 20 + [0.2 * factor] * 20) is steady


def test_the_same_median_with_another_spread_is_not_steady() -> None:
    calm = [0.2] * 20
    wild = [0.12] * 6 + [0.2] * 8 + [0.28] * 6
    assert not is_steady(calm + wild)
    assert not is_steady(wild + calm)
    assert is_steady(wild + wild)


def test_only_the_last_two_windows_count() -> None:
    assert is_steady([12.0] * 50 + [0.2] * 40)


def test_a_slow_decline_is_not_steady() -> None:
    assert not is_steady(list(np.geomspace(0.4, 0.12, 60)))


def test_the_windows_can_be_shorter_and_still_have_their_iterations() -> None:
    latencies = [0.001] * 60
    assert not is_steady(latencies)
    assert is_steady(latencies, window_seconds=0.02)
    assert not is_steady(latencies[:39], window_seconds=0.02)


def noisy(rng: np.random.Generator, level: np.ndarray, sd: float = 0.05) -> list[float]:
    """Latencies with a noise that lasts for some ten iterations."""
    slow = np.repeat(rng.standard_normal(len(level) // 10), 10)
    return list(level * np.exp(sd * slow))


def test_noise_is_seldom_taken_for_movement() -> None:
    rng = np.random.default_rng(2)
    runs = [noisy(rng, np.full(200, 0.02)) for _ in range(400)]
    assert sum(not is_steady(each, 2.0) for each in runs) > 200
    assert sum(is_moving(each, 2.0) is True for each in runs) <= 0.03 * 400


def test_movement_is_seen_through_noise() -> None:
    rng = np.random.default_rng(2)
    falling = np.concatenate([np.full(100, 0.022), np.full(100, 0.02)])
    runs = [noisy(rng, falling, sd=0.02) for _ in range(100)]
    assert sum(is_moving(each, 2.0) is True for each in runs) >= 90


def test_what_is_too_short_for_two_windows_is_not_known() -> None:
    assert is_moving([0.2] * 39) is None
    assert is_moving([0.2] * 40) is False


def test_a_change_below_the_tolerance_is_none_however_sure() -> None:
    assert is_moving([0.2] * 20 + [0.2 * 1.009] * 20) is False
    assert is_moving([0.2] * 20 + [0.2 * 1.011] * 20) is True
