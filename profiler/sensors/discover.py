"""Which sources there are, and which of them this device has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from profiler.errors import InputError
from profiler.result import AbsentSource
from profiler.sensors.base import Discovery, Source
from profiler.sensors.nvml import NVML, open_nvml
from profiler.sensors.rapl import RAPL, open_rapl
from profiler.sensors.site import HERE, Site, as_site
from profiler.sensors.system import SYSTEM, THERMAL, open_system, open_thermal


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
    SourceEntry(NVML, open_nvml, measures_energy=True),
    SourceEntry(SYSTEM, open_system, measures_energy=False),
    SourceEntry(THERMAL, open_thermal, measures_energy=False),
)

ENERGY_SOURCES = frozenset(entry.name for entry in SOURCES if entry.measures_energy)


def select(only: tuple[str, ...] | None) -> tuple[SourceEntry, ...]:
    """The entries of these names, in the table's order; all of them for ``None``.

    Raises:
        InputError: a name is not in the table.
    """
    known = [entry.name for entry in SOURCES]
    for name in only or ():
        if name not in known:
            raise InputError(
                "sensors", name, "is no sensor source", f"Choose from {', '.join(known)}."
            )
    return tuple(entry for entry in SOURCES if only is None or entry.name in only)


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
        outcome = entry.open(site)
        if isinstance(outcome, AbsentSource):
            absent.append(outcome)
        else:
            found.append(outcome)
    return found, absent


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
