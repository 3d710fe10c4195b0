"""Which sensors this device's owner chose: what every command and ``profile`` measure with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from profiler.sensors.discover import select
from profiler.sensors.meter_config import configured_meters
from profiler.sensors.replay import PREFIX
from profiler.sensors.setup import SensorSetup


def sensor_setup(sensors: Sequence[str] | None = None, meters: Path | None = None) -> SensorSetup:
    """Names of sources and the file of external meters, checked.

    Args:
        sensors: names, or ``replay:FILE``; ``None``: all that are there.
        meters: file of the external meters; ``None``: the one that ``FLEETMARK_METERS`` names, if
            any.

    Raises:
        InputError: a name is no source's, a recording is none, or the meters' file is refused.
    """
    only = tuple(map(_absolute, sensors)) if sensors else None
    select(only)
    return SensorSetup(only=only, meters=configured_meters(meters))


def _absolute(name: str) -> str:
    """An agent's workers have another working directory."""
    if not name.startswith(PREFIX):
        return name
    return f"{PREFIX}{Path(name.removeprefix(PREFIX)).absolute()}"
