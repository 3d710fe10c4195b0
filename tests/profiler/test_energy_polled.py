"""Joules of polled power."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiler.energy import sight
from profiler.energy.polled import polled_period, power_energy
from profiler.energy.window import Missing, Window, WindowEnergy
from profiler.sensors.base import Quantity
from profiler.sensors.trace import Floats, Series
from tests.profiler.test_energy_counter import found, missing
from tests.simulated_sensors import SimulatedSensor, calls, constant, polls, series_of, square

GPU = SimulatedSensor(Quantity.POWER, 0.1)
TEN = calls(5.0, 10.0, 1.0)
READ = polls(20)


def polled(
    series: Series, window: Window = TEN, *, limit: float | None = None
) -> WindowEnergy | Missing:
    return power_energy(series, window, period=polled_period(series), limit=limit)


def readings(
    watts: Floats, seconds: Floats = READ, period: float = 0.1, averaging: float | None = None
) -> Series:
    sensor = SimulatedSensor(Quantity.POWER, period, averaging=averaging)
    return Series(sensor.channel, seconds, watts)


def test_constant_power_costs_one_update_at_each_edge_at_most() -> None:
    got = found(polled(readings(np.full(len(READ), 42.0))))
    assert got.joules == pytest.approx(420.0)
    assert got.uncertainty_joules / got.joules == pytest.approx(0.01)
    assert got.coverage == 1.0


@given(
    st.floats(0.5, 500.0),
    st.floats(0.0, 5.0),
    st.floats(0.5, 100.0),
    st.lists(st.floats(0.01, 30.0), min_size=2, max_size=60),
)
def test_constant_power_is_power_times_time_however_it_was_sampled(
    watts: float, start: float, length: float, waits: list[float]
) -> None:
    seconds = np.cumsum(waits)
    outcome = polled(readings(np.full(len(seconds), watts), seconds), calls(start, length, 50.0))
    if isinstance(outcome, WindowEnergy):
        assert outcome.joules == pytest.approx(watts * outcome.seconds)
        assert 0.0 <= outcome.coverage <= 1.0
    else:
        assert "not read" in outcome.reason or "in step" in outcome.reason


def test_a_value_holds_around_the_moment_that_it_is_of() -> None:
    seconds, watts = np.arange(0.0, 5.0), np.array([10.0, 10.0, 30.0, 30.0, 30.0])
    # Read at 2, of an update half a second before on average: the step was at about 1.
    got = found(polled(readings(watts, seconds, period=1.0), Window(0.0, 3.0)))
    assert got.joules == pytest.approx(10 * 1.0 + 30 * 2.0)


def test_a_mean_over_the_last_second_is_put_in_the_middle_of_it() -> None:
    # True power is 10 t; its mean over the second before the last update is 10 (t - 0.05 - 0.5).
    got = found(polled(readings(10 * (READ - 0.55), averaging=1.0)))
    assert got.joules == pytest.approx(5 * (15**2 - 5**2))


def test_the_power_after_the_last_update_is_not_forgotten() -> None:
    load = square(calls(5.0, 10.0, 10.0), 10.0, 100.0, 0.5)
    got = found(polled(series_of(load, GPU, READ)))
    assert got.joules == pytest.approx(550.0, rel=0.02)


def test_a_gap_is_reported_and_widens_the_uncertainty() -> None:
    gapped = READ[(READ < 8) | (READ > 11)]
    whole = found(polled(readings(np.full(len(READ), 50.0))))
    holed = found(polled(readings(np.full(len(gapped), 50.0), gapped)))
    assert holed.joules == pytest.approx(whole.joules)
    assert holed.largest_gap_seconds == pytest.approx(3.2, abs=0.11)
    assert holed.coverage == pytest.approx(0.69, abs=0.011)
    assert holed.uncertainty_joules - whole.uncertainty_joules == pytest.approx(50 * 3.1, abs=6)


def test_a_sensor_that_reads_nothing_but_zero_measures_nothing() -> None:
    assert missing(polled(readings(np.zeros(len(READ))))) == "it read 0 W throughout the window"


def test_the_step_of_a_sensor_is_part_of_the_uncertainty() -> None:
    fine = found(polled(series_of(constant(3.0), GPU, READ)))
    stepped = SimulatedSensor(Quantity.POWER, 0.1, resolution=1.0)
    coarse = found(polled(series_of(constant(3.0), stepped, READ)))
    assert coarse.uncertainty_joules - fine.uncertainty_joules == pytest.approx(10.0)


# What a sensor cannot see.

SEES_A_QUARTER = SimulatedSensor(Quantity.POWER, 0.1, averaging=0.025)


def test_calls_in_step_with_the_sensor_have_no_joules() -> None:
    window = calls(5.0, 10.0, 0.1)
    load = square(window, 50.0, 300.0, 0.5)
    series = series_of(load, SEES_A_QUARTER, READ)
    assert "in step with the calls" in missing(polled(series, window))
    # A limit says how much the unseen may be; it is wide, and true.
    wide = found(polled(series, window, limit=300.0))
    assert abs(wide.joules - load.between(window.span)) <= wide.uncertainty_joules
    assert wide.uncertainty_joules > 0.4 * wide.joules


def test_pauses_of_random_length_take_calls_out_of_step() -> None:
    rng = np.random.default_rng(0)
    even = calls(5.0, 10.0, 0.1)
    shifted = calls(5.0, 10.0, 0.1, rng.uniform(0, 1, 1000))
    assert sight.step_discrepancy([(even, even.span)], READ, 0.1) > sight.IN_STEP
    assert sight.step_discrepancy([(shifted, shifted.span)], READ, 0.1) < sight.IN_STEP


def test_the_less_the_load_varies_the_less_can_hide() -> None:
    rng = np.random.default_rng(0)
    window = calls(5.0, 10.0, 0.037, rng.uniform(-0.05, 0.05, 500))
    hidden = [
        found(polled(series_of(square(window, low, 300.0, 0.5), SEES_A_QUARTER, READ), window))
        for low in (50.0, 200.0, 290.0)
    ]
    relative = [each.uncertainty_joules / each.joules for each in hidden]
    assert relative == sorted(relative, reverse=True)
    assert relative[-1] < 0.05


@pytest.mark.parametrize(
    ("call", "update", "found_in_step"),
    [
        (0.1, 0.1, True),
        (0.05, 0.1, True),
        (0.0331, 0.1, True),
        (0.2, 0.1, True),
        (0.0981, 0.1, True),
        (0.097, 0.1, False),
        (0.073, 0.1, False),
        (0.145, 0.1, False),
        # Some multiple always agrees, and means nothing.
        (0.003, 0.1, False),
        (9.0, 0.1, False),
        (0.0, 0.1, False),
    ],
)
def test_resonance_is_a_small_multiple_that_agrees_to_2_percent(
    call: float, update: float, found_in_step: bool
) -> None:
    assert sight.resonates(call, update) is found_in_step


def test_discrepancy_is_small_for_even_points_and_one_for_one_point_again_and_again() -> None:
    assert sight.discrepancy((np.arange(100) + 0.5) / 100) == pytest.approx(0.005)
    assert sight.discrepancy(np.zeros(100)) == pytest.approx(1.0)
