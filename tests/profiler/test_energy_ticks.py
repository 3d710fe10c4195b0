"""When a counter moved: narrowed down by its beat, and never so far that it lies outside."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from profiler.energy.figures import Work, measure
from profiler.energy.ticks import Ticks, narrowed, ticks_of
from profiler.result import EnergyFigure, PeriodBasis
from profiler.sensors.base import Quantity
from profiler.sensors.trace import Floats, Series
from tests.profiler.test_energy_bounds import together
from tests.simulated_sensors import SimulatedSensor, calls, constant, listened, polls, square

OFF_BEAT = 0.1 * (1 + 5**0.5) / 4
LOAD = constant(100.0)
COUNTER = SimulatedSensor(Quantity.ENERGY, 0.1, resolution=0.001)


def all_ticks(sensor: SimulatedSensor, seconds: Floats, place: int) -> tuple[Ticks, Ticks]:
    channel = listened(LOAD, sensor)
    joules = sensor.read(LOAD, seconds)
    ticks = ticks_of(seconds, joules, channel.update_period_seconds or 0, channel)
    return ticks, narrowed(ticks, (place,), seconds, joules, channel)


@settings(max_examples=300, deadline=None)
@given(
    st.floats(0, 0.0999),
    st.sampled_from([0.0, 0.0003, 0.001, 0.004]),
    st.sampled_from([0.05, OFF_BEAT, 0.1]),
    st.lists(st.floats(0.0, 0.02), min_size=41, max_size=41).map(np.array),
    st.sampled_from([0.0, 0.03]),
    st.integers(15, 60),
)
def test_the_moment_of_a_tick_stays_within_what_is_left(
    phase: float, jitter: float, period: float, late: Floats, lag: float, place: int
) -> None:
    sensor = replace(COUNTER, phase=phase, jitter=jitter, lag=lag)
    before, after = all_ticks(sensor, polls(10, period, jitter=late), place)
    # The counter counts from -1 s on: what it says since a tick is what it added up until then.
    moment = float(after.joules[place]) / 100.0 - 1.0
    # Ten updates do not tell the whole of a jitter: some of it may be beyond what they showed.
    slack = 2e-5 + jitter / 2
    assert before.earliest[place] <= after.earliest[place] <= moment + slack
    assert moment - slack <= after.latest[place] <= before.latest[place]


def test_readings_off_the_beat_tell_the_moment_and_those_in_step_do_not() -> None:
    widths = {}
    for period in (0.1, OFF_BEAT):
        _, after = all_ticks(COUNTER, polls(10, period), 40)
        widths[period] = after.latest[40] - after.earliest[40]
    assert widths[0.1] > 0.09
    assert widths[OFF_BEAT] < 0.03


def test_without_a_beat_that_was_measured_nothing_is_narrowed() -> None:
    seconds = polls(10, OFF_BEAT)
    joules = COUNTER.read(LOAD, seconds)
    ticks = ticks_of(seconds, joules, 0.1, COUNTER.channel)
    assert narrowed(ticks, (40,), seconds, joules, COUNTER.channel) is ticks
    unsteady = listened(LOAD, COUNTER).model_copy(update={"jitter_seconds": 0.01})
    assert narrowed(ticks, (40,), seconds, joules, unsteady) is ticks


def test_a_sensor_that_left_its_beat_keeps_the_whole_time_between_readings() -> None:
    """Listened to at 100 ms; then it moves when it likes."""
    channel = listened(LOAD, COUNTER)
    moments = np.cumsum(np.resize([0.06, 0.19, 0.13, 0.02, 0.17], 200))
    seconds = polls(15, 0.05)
    joules = np.searchsorted(moments, seconds) * 10.0
    ticks = ticks_of(seconds, joules, 0.2, channel)
    kept = narrowed(ticks, (30,), seconds, joules, channel)
    assert kept.earliest[30] == ticks.earliest[30]
    assert kept.latest[30] == ticks.latest[30]


@pytest.mark.parametrize(("limit", "most"), [(300.0, 0.025), (None, 0.045)])
@pytest.mark.parametrize("phase", [0.0, 0.02, 0.047, 0.081])
def test_a_usual_run_of_ten_seconds_is_known_to_a_few_percent(
    phase: float, limit: float | None, most: float
) -> None:
    """Five repetitions of 1.6 s have ten edges; by the readings alone each costs up to 100 ms."""
    rng = np.random.default_rng(5)
    sensor = replace(COUNTER, phase=phase)
    windows = [calls(2 + 2.1 * n, 1.6, 0.005, rng.normal(0, 0.01, 997)) for n in range(5)]
    load = together([square(window, 100.0, 250.0, 0.5) for window in windows])
    seconds = polls(windows[-1].end + 3, OFF_BEAT, jitter=rng.uniform(0, 0.003, 97))
    series = Series(listened(load, sensor), seconds, sensor.read(load, seconds))
    found = measure(series, Work(windows, 1), limit=limit)
    assert isinstance(found, EnergyFigure)
    assert found.provenance.uncertainty <= most
    assert found.provenance.update_period_basis is PeriodBasis.MEASURED
    assert found.provenance.update_period_seconds == pytest.approx(0.1, rel=0.01)
    truth = sum(load.between(window.span) for window in windows)
    done = sum(float(window.calls[-1]) for window in windows)
    assert abs(found.joules_per_item * done / truth - 1) <= found.provenance.uncertainty
    unheard = measure(replace(series, channel=sensor.channel), Work(windows, 1), limit=limit)
    assert isinstance(unheard, EnergyFigure)
    assert unheard.provenance.update_period_basis is PeriodBasis.NOMINAL


@pytest.mark.parametrize("heard", [True, False])
def test_a_counter_of_100_ms_is_good_to_2_percent_in_30_seconds(*, heard: bool) -> None:
    """Whether its beat was measured or not, whatever the readings' phase."""
    for phase in np.linspace(0, 0.0999, 7).tolist():
        sensor = replace(COUNTER, phase=phase)
        window = calls(2.0, 30.0, 0.037)
        load = square(window, 100.0, 250.0, 0.5)
        seconds = polls(window.end + 3, OFF_BEAT if heard else 0.1)
        channel = listened(load, sensor) if heard else sensor.channel
        found = measure(Series(channel, seconds, sensor.read(load, seconds)), Work([window], 1))
        assert isinstance(found, EnergyFigure)
        assert found.provenance.uncertainty <= (0.01 if heard else 0.02)
