"""Steady is when two adjacent windows agree, and not before both are long enough."""

from __future__ import annotations

import numpy as np
import pytest

from profiler.warmup import WINDOW_ITERATIONS, WINDOW_SECONDS, is_steady, window_length


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
