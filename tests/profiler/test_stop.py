"""When a repetition has measured enough."""

from __future__ import annotations

import numpy as np
import pytest

from profiler import stats, stop
from profiler.spec import StopSpec
from tests.benchmarks.coverage.traces import AR_08, INDEPENDENT, SWITCHING, Values


def independent(n: int, seed: int = 0) -> Values:
    return INDEPENDENT.make(np.random.default_rng(seed), n).values


def test_the_looks_are_a_quarter_apart() -> None:
    spec = StopSpec()
    looks = [stop.first_check(spec)]
    while len(looks) < 5:
        looks.append(stop.next_check(spec, looks[-1]))
    assert looks == [100, 125, 157, 197, 247]


def test_each_look_is_later_than_the_one_before() -> None:
    spec = StopSpec(min_iterations=1, growth=1.0001)
    assert stop.next_check(spec, 1) == 2


def test_enough_is_when_the_interval_is_narrow_enough() -> None:
    narrow, wide = independent(3000), independent(300)
    assert stop.judge(narrow, StopSpec()).enough
    assert not stop.judge(wide, StopSpec()).enough
    assert stop.judge(wide, StopSpec(relative_half_width=0.05)).enough


def test_the_half_width_is_that_of_the_interval_that_results_show() -> None:
    values = AR_08.make(np.random.default_rng(1), 20_000).values
    for percentile in ("p50", "p90"):
        found = stop.judge(values, StopSpec(percentile=percentile, relative_half_width=0.02))
        level = stats.PERCENTILES[percentile]
        interval = stats.percentile([values], level).interval
        assert found.enough
        assert found.half_width == stats.relative_half_width(interval)


def test_a_list_will_do() -> None:
    values = independent(2000)
    assert stop.judge(values.tolist(), StopSpec()) == stop.judge(values, StopSpec())


def test_correlated_iterations_need_more() -> None:
    """By about as much as they repeat each other: 6.4 times here."""
    n = 1500
    enough = [
        [stop.judge(make(np.random.default_rng(s), n).values, StopSpec()).enough for s in range(40)]
        for make in (INDEPENDENT.make, AR_08.make)
    ]
    assert sum(enough[0]) == 40
    assert sum(enough[1]) == 0


def test_a_narrow_interval_of_a_slow_process_is_not_enough() -> None:
    """±0.1 % it says; but it has seen only a few of the turns that the process takes."""
    rng = np.random.default_rng(5)
    turns = np.repeat(rng.choice([1.0, 1.001], size=30), 40)
    values = turns * np.exp(1e-4 * rng.standard_normal(len(turns)))
    interval = stats.percentile([values], 0.5).interval
    half = stats.relative_half_width(interval)
    assert half is not None
    assert half < 0.01
    assert not stop.judge(values, StopSpec()).enough


@pytest.mark.parametrize("percentile", ["p50", "p90", "p99"])
def test_one_mode_of_two_is_not_enough(percentile: str) -> None:
    """The first hundred iterations may all be of one mode, and their interval narrow."""
    one_mode = [
        values
        for seed in range(400)
        if (values := SWITCHING.make(np.random.default_rng(seed), 100).values).max() < 1.1
    ]
    assert len(one_mode) > 20
    spec = StopSpec(percentile=percentile)
    assert not any(stop.judge(values, spec).enough for values in one_mode)


def test_a_tail_that_has_no_interval_is_not_enough() -> None:
    found = stop.judge(independent(200), StopSpec(percentile="p99", relative_half_width=0.9))
    assert not found.enough
    assert found.half_width is None


def test_too_few_for_any_interval_is_not_enough() -> None:
    assert stop.judge([0.1, 0.1, 0.2], StopSpec(relative_half_width=0.9)) == (False, None)


def test_the_goal_0_measures_for_all_of_the_time() -> None:
    """Also where a coarse clock shows equal latencies."""
    assert not stop.judge(np.full(5000, 0.001), StopSpec(relative_half_width=0)).enough
    assert stop.judge(np.full(5000, 0.001), StopSpec()).enough


def test_a_look_that_cannot_succeed_does_not_ask_for_correlation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def asked(_: object, level: float) -> None:
        raise AssertionError(f"the correlation of {level} was asked for")

    monkeypatch.setattr("profiler.autocorrelation.Series.correlation", asked)
    found = stop.judge(independent(300), StopSpec())
    assert not found.enough
    assert found.half_width is not None
    assert found.half_width > 0.01
    with pytest.raises(AssertionError, match=r"0\.5"):
        stop.judge(independent(3000), StopSpec())


@pytest.mark.parametrize("factor", [2.0**-20, 0.5, 1024.0])
def test_the_unit_of_time_does_not_matter(factor: float) -> None:
    for n in (300, 1000, 3000):
        values = AR_08.make(np.random.default_rng(n), n).values
        assert stop.judge(values, StopSpec()) == stop.judge(values * factor, StopSpec())
