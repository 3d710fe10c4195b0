"""Joules of a counter: unwrapped, cut at its ticks, never a guess."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from profiler.energy.counter import counter_energy, counter_period, observed_period, unwrap
from profiler.energy.window import Missing, Window, WindowEnergy
from profiler.sensors.base import Quantity
from profiler.sensors.trace import Floats, Series
from tests.simulated_sensors import (
    SimulatedSensor,
    calls,
    constant,
    polls,
    series_of,
)

WRAP = 262_143.328851
RAPL = SimulatedSensor(Quantity.ENERGY, 0.001, wraps_at=WRAP)
SLOW = SimulatedSensor(Quantity.ENERGY, 0.1, phase=0.03)
TEN = calls(5.0, 10.0, 0.01)
READ = polls(20)


def found(outcome: WindowEnergy | Missing) -> WindowEnergy:
    assert isinstance(outcome, WindowEnergy), outcome
    return outcome


def missing(outcome: object) -> str:
    assert isinstance(outcome, Missing), outcome
    return outcome.reason


def counted(
    series: Series, window: Window = TEN, *, limit: float | None = None
) -> WindowEnergy | Missing:
    return counter_energy(series, window, period=counter_period(series), limit=limit)


def with_values(sensor: SimulatedSensor, seconds: Floats, values: Floats) -> Series:
    return Series(sensor.channel, seconds, values)


def test_the_window_is_cut_at_ticks_so_no_joule_is_interpolated() -> None:
    got = found(counted(series_of(constant(50.0), SLOW, READ)))
    assert got.joules == pytest.approx(round(got.joules / 5) * 5)
    assert TEN.start <= got.span[0] <= TEN.start + 0.3
    assert TEN.end - 0.3 <= got.span[1] <= TEN.end
    assert got.joules / got.seconds == pytest.approx(50.0, rel=0.01)
    assert got.coverage == pytest.approx(got.seconds / 10)


@pytest.mark.parametrize("phase", [0.0, 0.02, 0.05, 0.09])
@pytest.mark.parametrize("late", [0.0, 0.03])
def test_a_100_ms_counter_is_known_to_2_percent_in_30_seconds(phase: float, late: float) -> None:
    sensor = SimulatedSensor(Quantity.ENERGY, 0.1, phase=phase, resolution=0.001)
    window = calls(2.0, 30.0, 0.007)
    jitter = np.random.default_rng(0).uniform(0, late, 300)
    series = series_of(constant(120.0), sensor, polls(35, jitter=jitter))
    got = found(counted(series, window))
    assert got.uncertainty_joules / got.joules <= 0.02


def test_a_fast_counter_is_known_to_a_thousandth_in_two_seconds() -> None:
    got = found(counted(series_of(constant(50.0), RAPL, READ), calls(5.0, 2.0, 0.01)))
    assert got.uncertainty_joules / got.joules < 0.01


def test_a_limit_of_power_bounds_the_edges_too() -> None:
    series = series_of(constant(50.0), SLOW, READ)
    assert found(counted(series, limit=60.0)).uncertainty_joules < (
        found(counted(series)).uncertainty_joules
    )


@given(
    st.lists(st.floats(0.0, 900.0), min_size=1, max_size=200),
    st.floats(0.0, WRAP - 1),
    st.floats(1000.0, WRAP),
)
@example([900.0] * 200, WRAP - 1, 1000.0)
def test_unwrapping_gives_back_the_line_that_was_wrapped(
    steps: list[float], begin: float, modulus: float
) -> None:
    line = begin + np.concatenate([[0.0], np.cumsum(steps)])
    seconds = np.arange(len(line)) * 0.1
    result = unwrap(seconds, line % modulus, modulus)
    assert not result.broken.any()
    np.testing.assert_allclose(result.joules, line - line[0], atol=1e-6)


def test_a_wrap_within_the_window_costs_no_joule() -> None:
    sensor = SimulatedSensor(Quantity.ENERGY, 0.001, wraps_at=WRAP, starts_at=WRAP - 1500)
    series = series_of(constant(150.0), sensor, READ)
    assert (np.diff(series.values) < 0).sum() == 1
    got = found(counted(series))
    assert got.joules == pytest.approx(150.0 * got.seconds, rel=1e-3)


@pytest.mark.parametrize("wraps_at", [None, WRAP])
def test_a_counter_that_is_reset_has_no_joules_in_that_window_alone(wraps_at: float | None) -> None:
    sensor = SimulatedSensor(
        Quantity.ENERGY, 0.001, wraps_at=wraps_at, starts_at=3000.0, reset_at=10.02
    )
    series = series_of(constant(50.0), sensor, READ)
    assert "the counter was reset" in missing(counted(series))
    later = found(counted(series, calls(12.0, 6.0, 0.01)))
    assert later.joules == pytest.approx(50.0 * later.seconds, rel=1e-3)


def test_a_reset_before_the_window_does_not_reach_into_it() -> None:
    sensor = SimulatedSensor(Quantity.ENERGY, 0.5, starts_at=1000.0, reset_at=4.9)
    series = series_of(constant(50.0), sensor, polls(20, lost=[(3.0, 5.25)]))
    got = found(counted(series, calls(5.4, 10.0, 0.01)))
    assert got.joules == pytest.approx(50.0 * got.seconds, rel=0.02)


def test_a_counter_unread_for_longer_than_a_wrap_may_take_has_none() -> None:
    seconds = polls(105, lost=[(5.05, 99.95)])
    window = calls(1.0, 103.0, 0.1)
    broken = counted(series_of(constant(50.0), RAPL, seconds), window)
    assert "may have wrapped unseen" in missing(broken)
    without = SimulatedSensor(Quantity.ENERGY, 0.001)
    whole = found(counted(series_of(constant(50.0), without, seconds), window))
    assert whole.joules == pytest.approx(50.0 * whole.seconds, rel=1e-3)
    assert whole.largest_gap_seconds == pytest.approx(95.0, abs=0.2)


def test_a_counter_that_stands_still_is_no_zero() -> None:
    stuck = with_values(RAPL, READ, np.full(len(READ), 7.0))
    assert missing(counted(stuck)) == "the counter stood still at 7 J"


@pytest.mark.parametrize("start", [-50.0, 30.0])
def test_a_window_without_readings_has_none(start: float) -> None:
    series = series_of(constant(50.0), RAPL, READ)
    assert "not read" in missing(counted(series, calls(start, 5.0, 0.1)))


def test_one_reading_is_no_difference() -> None:
    one = with_values(RAPL, np.array([5.0]), np.array([1.0]))
    assert "not read" in missing(counted(one))


def test_a_counter_seen_to_move_once_has_no_joules() -> None:
    once = with_values(RAPL, READ, np.where(READ < 10.05, 5.0, 6.0))
    assert missing(counted(once)) == "it moved less than twice while it was read in 10 s"


def test_a_window_that_begins_before_the_readings_says_how_much_is_covered() -> None:
    series = series_of(constant(50.0), RAPL, READ[READ > 7])
    got = found(counted(series))
    assert got.span[0] >= 7
    assert got.coverage == pytest.approx(0.78, abs=0.02)


def test_a_counter_that_is_slower_than_stated_is_seen_to_be() -> None:
    slow = SimulatedSensor(Quantity.ENERGY, 1.0)
    series = series_of(constant(50.0), slow, READ)
    wrong = Series(
        slow.channel.model_copy(update={"update_period_seconds": 0.01}),
        series.seconds,
        series.values,
    )
    assert counter_period(wrong) == pytest.approx(1.0)
    # One that moves at every reading may be as fast as it says.
    assert counter_period(series_of(constant(50.0), RAPL, READ)) == 0.001
    assert observed_period(READ, np.full(len(READ), 5.0)) is None
