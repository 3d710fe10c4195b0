"""Which sources there are, and which of them this device has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from pathlib import Path

from profiler.errors import InputError
from profiler.result import AbsentSource
from profiler.sensors.base import Discovery, Source
from profiler.sensors.battery import BATTERY, open_battery
from profiler.sensors.cgroup import CGROUP, open_cgroup
from profiler.sensors.hwmon import HWMON, open_hwmon
from profiler.sensors.jetson import JETSON, open_jetson
from profiler.sensors.meter import METER, open_meters
from profiler.sensors.nvml import open_nvml
from profiler.sensors.nvml_gpu import NVML
from profiler.sensors.plugins import installed, open_plugin
from profiler.sensors.pressure import PRESSURE, open_pressure
from profiler.sensors.rapl import RAPL, open_rapl
from profiler.sensors.rapl_perf import RAPL_PERF, open_rapl_perf
from profiler.sensors.replay import PREFIX, load_recording, open_replay
from profiler.sensors.rpi import RPI, open_rpi
from profiler.sensors.site import HERE, Site, as_site
from profiler.sensors.system import SYSTEM, THERMAL, open_system, open_thermal
from profiler.sensors.throttle import COOLING, THROTTLE, open_cooling, open_throttle


@dataclass(frozen=True)
class SourceEntry:
    """One line of the table below. ``open`` takes where to look, and never raises."""

    name: str
    open: Callable[[Site], Source | AbsentSource]
    measures_energy: bool


# All sources, in the order in which they are opened and read. Energy first: the closer its reading
# is to the tick, the better.
SOURCES = (
    SourceEntry(RAPL, open_rapl, measures_energy=True),
    SourceEntry(RAPL_PERF, open_rapl_perf, measures_energy=True),
    SourceEntry(NVML, open_nvml, measures_energy=True),
    SourceEntry(JETSON, open_jetson, measures_energy=True),
    SourceEntry(HWMON, open_hwmon, measures_energy=True),
    SourceEntry(RPI, open_rpi, measures_energy=True),
    SourceEntry(BATTERY, open_battery, measures_energy=True),
    SourceEntry(METER, open_meters, measures_energy=True),
    SourceEntry(SYSTEM, open_system, measures_energy=False),
    SourceEntry(THERMAL, open_thermal, measures_energy=False),
    SourceEntry(COOLING, open_cooling, measures_energy=False),
    SourceEntry(THROTTLE, open_throttle, measures_energy=False),
    SourceEntry(PRESSURE, open_pressure, measures_energy=False),
    SourceEntry(CGROUP, open_cgroup, measures_energy=False),
)

ENERGY_SOURCES = frozenset(entry.name for entry in SOURCES if entry.measures_energy)


def entries() -> tuple[SourceEntry, ...]:
    """The table and, behind it, the sensors of others that are installed."""
    names = {entry.name for entry in SOURCES}
    others = [point for point in installed() if point.name not in names]
    return (*SOURCES, *(_of_others(point) for point in others))


def _of_others(point: EntryPoint) -> SourceEntry:
    return SourceEntry(point.name, lambda site: open_plugin(site, point), measures_energy=False)


def _replay(name: str) -> SourceEntry:
    path = Path(name.removeprefix(PREFIX))
    load_recording(path)
    return SourceEntry(name, lambda site: open_replay(site, path), measures_energy=True)


def select(only: tuple[str, ...] | None) -> tuple[SourceEntry, ...]:
    """The entries of these names, in the table's order; all of them for ``None``.

    ``replay:FILE`` is the recording in a file, and comes after the others.

    Raises:
        InputError: a name is not in the table, or a recording is none.
    """
    table = entries()
    if only is None:
        return table
    known = [entry.name for entry in table]
    replays = [name for name in only if name.startswith(PREFIX)]
    for name in only:
        if name not in known and name not in replays:
            raise InputError(
                "sensors", name, "is no sensor source",
                f"Choose from {', '.join(known)}, or {PREFIX}FILE.",
            )  # fmt: skip
    return (*(entry for entry in table if entry.name in only), *map(_replay, replays))


def open_sources(
    where: Path | Site = HERE, only: tuple[str, ...] | None = None
) -> tuple[list[Source], list[AbsentSource]]:
    """Open every source that this device has; the caller closes them.

    Args:
        where: the device, or the root of a recorded tree.
        only: names of the sources to try; ``None`` tries all.

    Raises:
        InputError: a name is unknown.
    """
    site = as_site(where)
    found: list[Source] = []
    absent: list[AbsentSource] = []
    for entry in select(only):
        sources, missing = open_entry(entry, site)
        found += sources
        absent += missing
    return found, absent


def open_entry(entry: SourceEntry, site: Site) -> tuple[list[Source], list[AbsentSource]]:
    """Open one source; the caller closes it."""
    outcome = entry.open(site)
    if isinstance(outcome, AbsentSource):
        return [], [outcome]
    # What a source that was found could not find: a Jetson's module input.
    return [outcome], list(getattr(outcome, "missing", ()))


def discover(where: Path | Site = HERE, only: tuple[str, ...] | None = None) -> Discovery:
    """What can be read here, and why the rest cannot; nothing stays open.

    Args:
        where: the device, or the root of a recorded tree.
        only: names of the sources to try; ``None`` tries all.

    Raises:
        InputError: a name is unknown.
    """
    sources, absent = open_sources(where, only)
    channels = tuple(channel for source in sources for channel in source.channels)
    for source in sources:
        source.close()
    return Discovery(channels=channels, absent=tuple(absent))
