"""One measurement in simulated time: a load, a sensor, calls, and a clock that only tests move."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from profiler.energy.window import Window
from profiler.sensors.nvml_gpu import NVML
from profiler.sensors.rates import period_seconds
from tests.simulated_sensors import Load, SimulatedSensor, polls

MILLI = 1e-3
# As a run reads.
HERTZ = 10.0


class Refused(Exception):  # noqa: N818 - a tool may say no; that is an answer
    """The tool gives no figure and says so."""


@dataclass
class Scene:
    """What every tool is shown.

    Attributes:
        counter: of energy; ``None`` where the device has none.
        power: read by those who poll; ``None`` where the device has none.
        window: the timed part with its calls.
        fails: whether a read at this time fails.
        late: by how much each of our own sampler's reads is late.
    """

    load: Load
    window: Window
    counter: SimulatedSensor | None
    power: SimulatedSensor | None = None
    fails: Callable[[float], bool] = lambda _: False
    late: np.ndarray | None = None
    now: float = field(default=0.0)

    @property
    def truth(self) -> float:
        """Joules of the timed part."""
        return self.load.between(self.window.span)

    def joules(self) -> float:
        """What the counter says now.

        Raises:
            OSError: the read fails.
        """
        return self._read(self.counter)

    def watts(self) -> float:
        """What the power reading says now.

        Raises:
            OSError: the read fails.
        """
        return self._read(self.power)

    def _read(self, sensor: SimulatedSensor | None) -> float:
        if sensor is None or self.fails(self.now):
            raise OSError(11, "EAGAIN")
        return float(sensor.read(self.load, np.array([self.now]))[0])

    def sampled(self) -> np.ndarray:
        """When our own sampler read, those reads left out that failed."""
        found = [sensor.channel for sensor in (self.counter, self.power) if sensor is not None]
        period = period_seconds(NVML, tuple(found), HERTZ)
        seconds = polls(self.window.end + 1, period, jitter=self.late)
        return seconds[[not self.fails(float(at)) for at in seconds]]
