"""What the kernel tells of a CPU that is slowed down: x86 throttling, and cooling devices.

``thermal_throttle`` of x86: ``*_throttle_total_time_ms`` and ``*_throttle_count`` of each core and
package (``arch/x86/kernel/cpu/mce/therm_throt.c``). Cooling devices:
``Documentation/driver-api/thermal/sysfs-api.rst``; the state is 0 where nothing is cooled.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from profiler.result import AbsentSource
from profiler.sensors.base import Channel, Quantity, ThrottleCause
from profiler.sensors.probe import (
    OpenFile,
    Probe,
    ProbeSource,
    close_all,
    first_line,
    numbered,
    open_if_readable,
    parse_count,
    unique_labels,
)
from profiler.sensors.site import Site

THROTTLE = "throttle"
COOLING = "cooling"

_MILLI = 1e-3
_CPU = "sys/devices/system/cpu"


def open_throttle(site: Site) -> ProbeSource | AbsentSource:
    """Throttled time and events of each package, and of all its cores together.

    A package's counter is the same on each of its CPUs, and a core's on each of its threads, so one
    CPU of each is read; the cores' are added, which makes core-seconds.
    """
    files: list[OpenFile] = []
    cores: dict[str, dict[str, Path]] = {}
    for cpu in numbered(site.root / _CPU, "cpu"):
        package = first_line(cpu / "topology/physical_package_id") or "0"
        core = first_line(cpu / "topology/core_id") or cpu.name
        cores.setdefault(package, {}).setdefault(core, cpu / "thermal_throttle")
    probes = [
        probe
        for package, places in cores.items()
        for probe in _package_probes(site, package, list(places.values()), files)
    ]
    if not probes:
        return AbsentSource(
            source=THROTTLE,
            reason="this processor counts no throttling, or a virtual machine hides it",
            expected=False,
        )
    return ProbeSource(THROTTLE, probes, close=close_all(files))


def _package_probes(
    site: Site, package: str, cores: Sequence[Path], files: list[OpenFile]
) -> list[Probe]:
    parts = (
        ("package", cores[:1], "total_time_ms", Quantity.THROTTLED, _MILLI),
        ("package", cores[:1], "count", Quantity.EVENTS, 1.0),
        ("core", cores, "total_time_ms", Quantity.THROTTLED, _MILLI),
        ("core", cores, "count", Quantity.EVENTS, 1.0),
    )
    probes = []
    for part, places, ending, quantity, factor in parts:
        paths = [place / f"{part}_throttle_{ending}" for place in places]
        found = [open_if_readable(site, path, parse_count, files) for path in paths]
        opened = [file for file in found if file is not None]
        if opened:
            label = f"package-{package}" if part == "package" else f"package-{package}:cores"
            channel = Channel(
                source=THROTTLE, label=label, quantity=quantity, cause=ThrottleCause.HEAT
            )  # fmt: skip
            probes.append(Probe(channel, _sum(opened, factor)))
    return probes


def _sum(files: Sequence[OpenFile], factor: float) -> Callable[[], float]:
    return lambda: sum(parse_count(file.text()) for file in files) * factor


def open_cooling(site: Site) -> ProbeSource | AbsentSource:
    """How far each cooling device is turned up, 0 to 1, under the kernel's type."""
    folder = site.root / "sys/class/thermal"
    files: list[OpenFile] = []
    found: list[tuple[str, str, Callable[[], float]]] = []
    for place in numbered(folder, "cooling_device"):
        kind, highest = first_line(place / "type"), _highest(place / "max_state")
        # An idle intel_powerclamp has the state -1: it is off.
        file = open_if_readable(site, place / "cur_state", parse_count, files)
        if kind and highest and file:
            found.append((kind, place.name, _share(file, highest)))
    if not found:
        return AbsentSource(
            source=COOLING,
            reason=f"no cooling device under {folder} can be read",
            expected=False,
        )
    labels = unique_labels([(kind, place) for kind, place, _ in found])
    probes = [
        Probe(Channel(source=COOLING, label=label, quantity=Quantity.COOLING), fetch)
        for label, (_, _, fetch) in zip(labels, found, strict=True)
    ]
    return ProbeSource(COOLING, probes, close=close_all(files))


def _highest(path: Path) -> int | None:
    try:
        return parse_count(first_line(path) or "") or None
    except ValueError:
        return None


def _share(file: OpenFile, highest: int) -> Callable[[], float]:
    def share() -> float:
        state = parse_count(file.text())
        if state > highest:
            raise ValueError(f"the state {state} is above the highest, {highest}")
        return state / highest

    return share
