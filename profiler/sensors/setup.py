"""What of a device's sensors a run reads: chosen by whoever set the device up, not by a job."""

from __future__ import annotations

from profiler.base import Frozen
from profiler.sensors.meter_config import Meter


class SensorSetup(Frozen):
    """Sensors of a device.

    Attributes:
        only: names of sources, or ``replay:FILE``; ``None`` reads all that are there.
        meters: external ones.
    """

    only: tuple[str, ...] | None = None
    meters: tuple[Meter, ...] = ()


ALL_SENSORS = SensorSetup()
