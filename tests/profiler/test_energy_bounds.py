"""|estimate − truth| ≤ the uncertainty that is printed: over all sensors, loads and windows."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from profiler.energy.counter import counter_energy, counter_period
from profiler.energy.polled import polled_period, power_energy
from profiler.energy.window import Missing, Window, WindowEnergy
from profiler.sensors.base import Quantity
from profiler.sensors.trace import Floats, Series
from tests.simulated_sensors import (
    Load,
    SimulatedSensor,
    bursts,
    calls,
    constant,
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
    seconds = polls(window.end + 3, jitter=draw(LATE | st.none()))
    lost = draw(st.sets(st.integers(0, len(seconds) - 1), max_size=10))
    seconds = np.delete(seconds, sorted(lost))
    return name, sensor, load, window, seconds, float(np.max(load.watts))


def energy(series: Series, window: Window, limit: float | None = None) -> WindowEnergy | Missing:
    if series.channel.quantity is ENERGY:
        return counter_energy(series, window, period=counter_period(series), limit=limit)
    return power_energy(series, window, period=polled_period(series), limit=limit)


@settings(max_examples=1500, deadline=None)
@given(situations(), st.booleans())
def test_joules_are_within_the_uncertainty_that_is_printed(
    situation: tuple[str, SimulatedSensor, Load, Window, Floats, float], limited: bool
) -> None:
    name, sensor, load, window, seconds, peak = situation
    found = energy(series_of(load, sensor, seconds), window, peak if limited else None)
    if isinstance(found, Missing):
        assert "in step" in found.reason or sensor.update >= 1.0, found.reason
        assert not ("in step" in found.reason and (limited or name in SEES_ALL)), found.reason
        return
    error = abs(found.joules - load.between(found.span))
    assert error <= found.uncertainty_joules * (1 + 1e-9) + 1e-6
