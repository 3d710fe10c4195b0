"""``sustained``: windows over time, the slowdown between both ends, when it settled."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from profiler.scenarios.sustained import MOST_WINDOWS, WINDOW_ITERATIONS, describe, windows

Nanoseconds = NDArray[np.int64]


def run(
    latency_seconds: NDArray[np.float64], begin: int = 10**12
) -> tuple[Nanoseconds, Nanoseconds]:
    """Start and latency of iterations one after the other."""
    latency = np.rint(latency_seconds * 1e9).astype(np.int64)
    return begin + np.cumsum(latency) - latency, latency


def noise(n: int, seed: int = 1) -> NDArray[np.float64]:
    return 1 + 0.02 * np.random.default_rng(seed).standard_normal(n)


def test_a_steady_run_has_sixty_windows_that_are_alike() -> None:
    found = windows(*run(np.full(6000, 0.01)))
    assert len(found) == MOST_WINDOWS
    assert {window.iterations for window in found} <= {99, 100, 101}
    assert {window.p50_seconds for window in found} == {0.01}
    assert {window.p90_seconds for window in found} == {0.01}
    assert found[0].start_seconds == 0
    assert found[-1].end_seconds == pytest.approx(60)


@given(
    st.lists(st.integers(1, 10**9), min_size=1, max_size=300),
    st.integers(0, 250),
    st.integers(0, 10**12),
)
def test_windows_hold_every_iteration_once(latency: list[int], stall: int, pause: int) -> None:
    values = np.array(latency, dtype=np.int64)
    if stall < len(values):
        values[stall] += pause
    starts = np.cumsum(values) - values
    found = windows(starts, values)
    if len(values) < WINDOW_ITERATIONS:
        assert found == ()
        return
    assert 1 <= len(found) <= MOST_WINDOWS
    assert sum(window.iterations for window in found) == len(values)
    assert all(window.iterations >= WINDOW_ITERATIONS for window in found)
    assert found[0].start_seconds == 0
    for one, next_one in pairwise(found):
        assert one.end_seconds == next_one.start_seconds
    assert found[-1].end_seconds == pytest.approx(int(values.sum()) / 1e9)


def test_what_is_left_at_the_end_joins_the_last_window() -> None:
    latency = np.full(50, 0.01)
    latency[40] = 1.0
    found = windows(*run(latency))
    assert [window.iterations for window in found] == [50]
    assert found[0].end_seconds == pytest.approx(1.49)


def test_a_stall_does_not_cost_the_other_windows() -> None:
    latency = np.full(6000, 0.01)
    latency[3000] = 100.0
    assert len(windows(*run(latency))) > 20


def test_throttling_is_a_slowdown_that_settles() -> None:
    n = 6000
    level = np.where(np.arange(n) < 2000, 1.0, 1.5)
    report = describe(*run(0.01 * level * noise(n)))
    assert report.slowdown is not None
    assert report.slowdown.value == pytest.approx(1.5, rel=0.01)
    assert report.slowdown.low is not None
    assert report.slowdown.high is not None
    assert 1.45 < report.slowdown.low < report.slowdown.high < 1.55
    # 2000 iterations of 10 ms, to the end of the window that they are in.
    assert report.settled_after_seconds == pytest.approx(20, abs=2)
    assert report.settled_reason is None


def test_a_steady_run_has_no_slowdown_and_was_settled_from_the_start() -> None:
    report = describe(*run(0.01 * noise(6000)))
    assert report.slowdown is not None
    assert report.slowdown.low is not None
    assert report.slowdown.high is not None
    assert report.slowdown.low <= 1 <= report.slowdown.high
    assert report.settled_after_seconds == 0


def test_a_run_that_only_gets_slower_never_settled() -> None:
    report = describe(*run(np.linspace(0.01, 0.03, 6000)))
    assert report.settled_after_seconds is None
    assert report.settled_reason is not None
    assert report.slowdown is not None
    assert report.slowdown.value > 2


def test_the_interval_of_the_slowdown_covers() -> None:
    covered = 0
    for seed in range(100):
        latency = 0.01 * noise(3000, seed)
        latency[1500:] *= 1.2
        found = describe(*run(latency)).slowdown
        assert found is not None
        assert found.low is not None
        assert found.high is not None
        covered += found.low <= 1.2 <= found.high
    assert covered >= 92


def test_a_few_iterations_have_no_bounds_and_no_windows() -> None:
    report = describe(*run(np.full(10, 5.0)))
    assert report.windows == ()
    assert report.slowdown is not None
    assert report.slowdown.low is None
    assert report.slowdown_reason is not None
    assert report.settled_after_seconds is None
    assert report.settled_reason is not None


def test_one_iteration_alone_is_no_comparison() -> None:
    report = describe(*run(np.array([5.0])))
    assert report.slowdown is None
    assert report.slowdown_reason is not None
