"""|estimate − truth| ≤ the uncertainty that is printed: over all sensors, loads and windows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from profiler.energy import figures, sight
from profiler.energy.counter import counter_energy, counter_period
from profiler.energy.figures import _uneven
from profiler.energy.polled import polled_period, power_energy
from profiler.energy.window import Missing, Window, WindowEnergy
from profiler.result import EnergyFigure
from profiler.sensors.base import Quantity
from profiler.sensors.trace import Floats, Series
from tests.simulated_sensors import (
    Load,
    SimulatedSensor,
    bursts,
    calls,
    constant,
    listened,
    polls,
    ramp,
    series_of,
    square,
)

ENERGY, POWER = Quantity.ENERGY, Quantity.POWER
SENSORS = {
    "RAPL": SimulatedSensor(ENERGY, 0.001, resolution=2**-14, wraps_at=262_143.0),
    "RAPL near its wrap": SimulatedSensor(
        ENERGY, 0.001, resolution=2**-14, wraps_at=65_536.0, starts_at=65_000.0
    ),
    "100 ms counter": SimulatedSensor(ENERGY, 0.1, resolution=0.001),
    "100 ms counter that lags": SimulatedSensor(ENERGY, 0.1, resolution=0.001, lag=0.1),
    "1 s counter of a meter": SimulatedSensor(ENERGY, 1.0, resolution=0.36, lag=0.2),
    "counter of 25 in 100 ms": SimulatedSensor(ENERGY, 0.1, averaging=0.025, resolution=0.001),
    "momentary power": SimulatedSensor(POWER, 0.1, resolution=0.001),
    "INA3221": SimulatedSensor(POWER, 0.007, resolution=0.05),
    "25 of 100 ms": SimulatedSensor(POWER, 0.1, averaging=0.025, resolution=0.001),
    "1 s mean": SimulatedSensor(POWER, 0.1, averaging=1.0, resolution=0.001),
    "meter": SimulatedSensor(POWER, 1.0, resolution=0.1, lag=0.3),
    "100 ms counter off its beat": SimulatedSensor(ENERGY, 0.1, resolution=0.001, jitter=0.004),
    "20 ms counter": SimulatedSensor(ENERGY, 0.02, resolution=0.001),
}
SEES_ALL = {name for name, s in SENSORS.items() if s.quantity is ENERGY and s.averaging is None}

SIZES = st.floats(5.0, 300.0)
JITTERS = st.lists(st.floats(-0.03, 0.03), min_size=37, max_size=37).map(np.array)
LATE = st.lists(st.floats(0.0, 0.04), min_size=41, max_size=41).map(np.array)


@st.composite
def situations(draw: st.DrawFn) -> tuple[str, SimulatedSensor, Load, Window, Floats, float]:
    name = draw(st.sampled_from(sorted(SENSORS)))
    sensor = SENSORS[name]
    sensor = SimulatedSensor(**{**sensor.__dict__, "phase": draw(st.floats(0, sensor.update))})
    start, length = draw(st.floats(1.0, 3.0)), draw(st.floats(8.0, 40.0))
    low, high = sorted([draw(SIZES), draw(SIZES)])
    call = draw(st.floats(0.003, 0.3) | st.floats(0.3, 8.0))
    window = calls(start, length, call, draw(JITTERS))
    kind = draw(st.sampled_from(["constant", "square", "ramp", "bursts", "in step"]))
    shortest = max(sensor.update, 0.2)
    if kind == "constant":
        load = constant(high)
    elif kind == "square":
        load = square(window, low, high, draw(st.floats(0.2, 0.8)))
    elif kind == "ramp":
        load = ramp(window, *draw(st.permutations([low, high])))
    elif kind == "bursts":
        spans = st.tuples(st.floats(shortest, 5.0), st.floats(shortest, 5.0))
        load = bursts(window, low, high, draw(st.lists(spans, min_size=1, max_size=60)))
    else:
        multiple = draw(st.sampled_from([0.25, 1 / 3, 0.5, 1.0, 2.0, 3.0]))
        window = calls(start, length, multiple * sensor.update)
        load = square(window, low, high, draw(st.floats(0.2, 0.8)))
    period = draw(st.sampled_from([0.1, 0.1 * (1 + 5**0.5) / 4, 0.05]))
    seconds = polls(window.end + 3, period, jitter=draw(LATE | st.none()))
    lost = draw(st.sets(st.integers(0, len(seconds) - 1), max_size=10))
    seconds = np.delete(seconds, sorted(lost))
    return name, sensor, load, window, seconds, float(np.max(load.watts))


def energy(series: Series, window: Window, limit: float | None = None) -> WindowEnergy | Missing:
    if series.channel.quantity is ENERGY:
        return counter_energy(series, window, period=counter_period(series), limit=limit)
    return power_energy(series, window, period=polled_period(series), limit=limit)


@settings(max_examples=1500, deadline=None)
@given(situations(), st.booleans(), st.booleans())
def test_joules_are_within_the_uncertainty_that_is_printed(
    situation: tuple[str, SimulatedSensor, Load, Window, Floats, float], limited: bool, heard: bool
) -> None:
    """``heard``: the sensor's rhythm was measured before, as in a run."""
    name, sensor, load, window, seconds, peak = situation
    series = series_of(load, sensor, seconds)
    if heard:
        series = replace(series, channel=listened(load, sensor))
    found = energy(series, window, peak if limited else None)
    if isinstance(found, Missing):
        assert "in step" in found.reason or sensor.update >= 1.0, found.reason
        assert not ("in step" in found.reason and (limited or name in SEES_ALL)), found.reason
        return
    error = abs(found.joules - load.between(found.span))
    assert error <= found.uncertainty_joules * (1 + 1e-9) + 1e-6


def together(loads: list[Load]) -> Load:
    """One after the other; each begins and ends idle."""
    rest = loads[1:]
    return Load(
        np.concatenate([loads[0].starts, *(load.starts[1:] for load in rest)]),
        np.concatenate([loads[0].watts, *(load.watts[1:] for load in rest)]),
    )


@settings(max_examples=500, deadline=None)
@given(
    st.sampled_from(["momentary power", "INA3221", "25 of 100 ms", "counter of 25 in 100 ms"]),
    st.floats(0.0, 0.099),
    st.floats(0.0015, 0.2),
    st.floats(0.2, 0.8),
    st.tuples(SIZES, SIZES),
    JITTERS,
    LATE,
)
def test_windows_of_a_usual_run_are_judged_by_the_looks_of_all_of_them(
    name: str,
    phase: float,
    call: float,
    duty: float,
    sizes: tuple[float, float],
    jitter: Floats,
    late: Floats,
) -> None:
    """Five repetitions of 1.6 s: each alone has too few looks for the course of a call."""
    sensor = SimulatedSensor(**{**SENSORS[name].__dict__, "phase": phase})
    low, high = sorted(sizes)
    windows = [calls(2.0 + 2.1 * number, 1.6, call, jitter) for number in range(5)]
    load = together([square(window, low, high, duty) for window in windows])
    series = series_of(load, sensor, polls(windows[-1].end + 3, jitter=late))
    uneven = _uneven(series, windows)
    parts = [figures.energy(series, window, None, uneven) for window in windows]
    known = [part for part in parts if isinstance(part, WindowEnergy)]
    if len(known) < len(parts):
        assert uneven > sight.IN_STEP or call > 0.1, parts
        return
    error = abs(sum(part.joules - load.between(part.span) for part in known))
    assert error <= sum(part.uncertainty_joules for part in known) * (1 + 1e-9) + 1e-6


def test_a_board_that_is_polled_has_joules_in_a_usual_run() -> None:
    """A call of 3.16 ms, momentary power at 10 Hz, 5 repetitions: what most boards are."""
    rng = np.random.default_rng(3)
    windows = [
        calls(2.0 + 2.1 * number, 1.6, 0.00316, rng.normal(0, 0.01, 997)) for number in range(5)
    ]
    load = together([square(window, 6.0, 7.0, 0.5) for window in windows])
    series = series_of(load, SENSORS["INA3221"], polls(windows[-1].end + 3))
    found = figures.measure(series, figures.Work(windows, 1))
    assert isinstance(found, EnergyFigure), found
    assert found.provenance.uncertainty < 0.1
    truth = sum(load.between(window.span) for window in windows)
    assert abs(found.energy_joules - truth) <= found.provenance.uncertainty * truth
