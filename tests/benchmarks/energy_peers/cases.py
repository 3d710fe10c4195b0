"""What is measured: a sensor and a load, with chance in phase, start, length of calls and reads."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from profiler.sensors.base import Quantity
from tests.benchmarks.energy_peers.scene import Scene
from tests.simulated_sensors import SimulatedSensor, calls, square

Rng = np.random.Generator
ENERGY, POWER = Quantity.ENERGY, Quantity.POWER
# A powercap package of 262 kJ.
RANGE = 262_143.328851


def _counter(rng: Rng, **changes: float) -> SimulatedSensor:
    return SimulatedSensor(ENERGY, 0.1, resolution=0.001, phase=rng.uniform(0, 0.1), **changes)


def _polled(rng: Rng, averaging: float) -> SimulatedSensor:
    phase = rng.uniform(0, 0.1)
    return SimulatedSensor(POWER, 0.1, averaging=averaging, resolution=0.001, phase=phase)


def _rapl(rng: Rng, starts_at: float) -> SimulatedSensor:
    phase = rng.uniform(0, 0.001)
    return SimulatedSensor(ENERGY, 0.001, wraps_at=RANGE, starts_at=starts_at, phase=phase)


def _scene(
    rng: Rng,
    seconds: float,
    sensor: SimulatedSensor,
    *,
    call: float = 0.037,
    low: float = 250.0,
    jitter: float = 0.03,
    failing: float = 0.0,
) -> Scene:
    """Calls at 250 W, or that alternate between ``low`` and 250 W in each; idle around them."""
    spread = rng.uniform(-jitter, jitter, 9999)
    window = calls(rng.uniform(1.0, 3.0), seconds * rng.uniform(0.9, 1.1), call, spread)
    load = square(window, low, 250.0, rng.uniform(0.3, 0.7))
    counted = sensor.quantity is ENERGY
    # A GPU with a counter tells its power too; a package does not.
    beside = _polled(rng, 0.025) if sensor.wraps_at is None else None
    fails = _fails(rng, failing)
    return Scene(
        load=load,
        window=window,
        counter=sensor if counted else None,
        power=beside if counted else sensor,
        fails=fails,
        late=rng.uniform(0.0, 0.01, 997),
    )


def _fails(rng: Rng, share: float) -> Callable[[float], bool]:
    if not share:
        return lambda _: False
    bad = rng.random(100_000) < share
    return lambda at: bool(bad[int(at * 1000) % len(bad)])


CASES: dict[str, Callable[[Rng], Scene]] = {
    "RAPL, 10 s": lambda rng: _scene(rng, 10, _rapl(rng, 1000.0)),
    "RAPL that wraps, 30 s": lambda rng: _scene(
        rng, 30, _rapl(rng, RANGE - rng.uniform(1500, 7000))
    ),
    "RAPL, one read in five fails, 30 s": lambda rng: _scene(
        rng, 30, _rapl(rng, RANGE - rng.uniform(1500, 7000)), failing=0.2
    ),
    "GPU counter of 100 ms, 1 s": lambda rng: _scene(rng, 1, _counter(rng)),
    "GPU counter of 100 ms, 10 s": lambda rng: _scene(rng, 10, _counter(rng)),
    "GPU counter of 100 ms, 30 s": lambda rng: _scene(rng, 30, _counter(rng)),
    "GPU counter that is reset, 30 s": lambda rng: _scene(
        rng, 30, _counter(rng, starts_at=5e5, reset_at=rng.uniform(8, 25))
    ),
    "GPU counter of 25 in 100 ms, calls of 37 ms at 100 / 250 W, 30 s": lambda rng: _scene(
        rng, 30, _counter(rng, averaging=0.025), low=100.0
    ),
    "the same, calls of 100 ms in step with it": lambda rng: _scene(
        rng, 30, _counter(rng, averaging=0.025), call=0.1, low=100.0, jitter=0.0
    ),
    "GPU power, steady to the milliwatt, 30 s": lambda rng: _scene(rng, 30, _polled(rng, 0.025)),
    "GPU power, mean over 1 s, calls of 5 s at 100 / 250 W, 30 s": lambda rng: _scene(
        rng, 30, _polled(rng, 1.0), call=5.0, low=100.0
    ),
    "GPU power, 25 in 100 ms, calls of 37 ms at 100 / 250 W, 30 s": lambda rng: _scene(
        rng, 30, _polled(rng, 0.025), low=100.0
    ),
}
