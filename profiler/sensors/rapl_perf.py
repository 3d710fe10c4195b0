"""RAPL through the kernel's perf events: the same counters as ``rapl``, behind another permission.

``/sys/bus/event_source/devices/power`` lists the events of a processor (``energy-pkg``, …), their
scale to joules and one CPU of each package to open them on
(``Documentation/ABI/testing/sysfs-bus-event_source-devices-events``, ``perf_event_open(2)``). They
count in 64 bits from when they are opened, and do not wrap. With ``perf_event_paranoid`` above 0
they need CAP_PERFMON.

Where the powercap tree can be read, it is, and these are left out: nothing is listed twice.
"""

from __future__ import annotations

import ctypes
import os
import platform
import re
import struct
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from profiler.result import AbsentSource, EnergyScope
from profiler.sensors.base import Channel, Quantity
from profiler.sensors.probe import Probe, ProbeSource, first_line, parse_count, parse_cpus
from profiler.sensors.rapl import find_zones, open_rapl
from profiler.sensors.site import Site

RAPL_PERF = "rapl_perf"

# How a recorded tree's list of refusals calls the call.
CALL = "perf_event_open"
DEVICES = "sys/bus/event_source/devices/power"
PARANOID = "proc/sys/kernel/perf_event_paranoid"
_UPDATE_PERIOD_SECONDS = 0.001

_EVENT = re.compile(r"^event=(0x[0-9a-f]{1,8})$")
_SCALE = re.compile(r"^\d{1,3}(\.\d{1,40})?(e-?\d{1,3})?$")

# perf's name of an event → RAPL's name of the zone and what it covers.
_ZONES = {
    "energy-pkg": ("package", EnergyScope.PACKAGE),
    "energy-psys": ("psys", EnergyScope.BOARD),
    "energy-cores": ("core", None),
    "energy-gpu": ("uncore", None),
    "energy-ram": ("dram", None),
}

# perf_event_open(2): its number for the machine, and the size of the first version of its struct.
_SYSCALL = {"x86_64": 298, "i686": 336, "i386": 336, "aarch64": 241}
_ATTR_BYTES = 64
_CLOEXEC = 8
_ANY_PROCESS, _NO_GROUP = -1, -1

PERF_REMEDY = (
    "Give this Python the capability: `setcap cap_perfmon=ep` on a copy of it that only fleetmark "
    "uses, or AmbientCapabilities=CAP_PERFMON in its systemd unit (deploy/fleetmark-perfmon.conf). "
    "Or, for everybody on the machine: `sysctl kernel.perf_event_paranoid=0`."
)


class Event(NamedTuple):
    """One counter: perf's name and number for it, and the joules of one count."""

    name: str
    config: int
    joules: float


def parse_event(text: str) -> int:
    """``event=0x02`` → 2.

    Raises:
        ValueError: it is something else.
    """
    found = _EVENT.match(text.strip())
    if found is None:
        raise ValueError(f"{text.strip()[:40]!r} is no event")
    return int(found.group(1), 16)


def parse_scale(text: str) -> float:
    """``2.3283064365386962890625e-10`` → joules of one count.

    Raises:
        ValueError: it is no scale between 0 and 1.
    """
    stripped = text.strip()
    if not _SCALE.match(stripped) or not 0 < float(stripped) <= 1:
        raise ValueError(f"{stripped[:40]!r} is no scale")
    return float(stripped)


def find_events(folder: Path) -> list[Event]:
    """The events that are joules; the kernel lists the unit of each."""
    found = []
    for name in _ZONES:
        place = folder / "events" / name
        if first_line(place.with_name(f"{name}.unit")) != "Joules":
            continue
        try:
            config = parse_event(first_line(place) or "")
            scale = parse_scale(first_line(place.with_name(f"{name}.scale")) or "")
        except ValueError:
            continue
        found.append(Event(name, config, scale))
    return found


def packages(root: Path, cpus: tuple[int, ...]) -> list[tuple[int, str]]:
    """(CPU, number of its package); a CPU whose package is not told is its own."""
    folder = root / "sys/devices/system/cpu"
    numbers = (first_line(folder / f"cpu{cpu}/topology/physical_package_id") for cpu in cpus)
    return [(cpu, number or f"cpu{cpu}") for cpu, number in zip(cpus, numbers, strict=True)]


def perf_event_open(kind: int, config: int, cpu: int) -> int:
    """Open an event of a CPU and every process on it; the kernel counts from now on.

    Raises:
        OSError: the kernel refuses, or this is no machine whose call is known here.
    """
    number = _SYSCALL.get(platform.machine())
    if number is None:
        raise OSError(f"perf_event_open is not known for {platform.machine()}")
    # type, size, config, then: no sampling, and the counter runs at once.
    attr = struct.pack("=IIQ", kind, _ATTR_BYTES, config).ljust(_ATTR_BYTES, b"\0")
    libc = ctypes.CDLL(None, use_errno=True)
    fd = libc.syscall(
        ctypes.c_long(number), ctypes.c_char_p(attr), ctypes.c_int(_ANY_PROCESS),
        ctypes.c_int(cpu), ctypes.c_int(_NO_GROUP), ctypes.c_ulong(_CLOEXEC),
    )  # fmt: skip
    if fd < 0:
        failed = ctypes.get_errno()
        raise OSError(failed, os.strerror(failed))
    return int(fd)


def read_count(fd: int) -> int:
    """The 64-bit count of an open event.

    Raises:
        OSError: the kernel refused.
        ValueError: it gave something else.
    """
    raw = os.read(fd, 8)
    if len(raw) != 8:  # noqa: PLR2004 - the 64 bits
        raise ValueError(f"the event gave {len(raw)} bytes")
    return int.from_bytes(raw, "little")


def open_rapl_perf(site: Site) -> ProbeSource | AbsentSource:
    """The counters of every package, where powercap does not give them already."""
    folder = site.root / DEVICES
    events = find_events(folder)
    cpus = parse_cpus(first_line(folder / "cpumask") or "")
    if not events or not cpus:
        reason = f"{folder} lists no energy; a virtual machine usually hides it"
        return AbsentSource(source=RAPL_PERF, reason=reason, expected=False)
    if find_zones(site.root):
        powercap = open_rapl(site)
        if isinstance(powercap, ProbeSource):
            powercap.close()
            reason = "they are the counters that rapl reads already"
            return AbsentSource(source=RAPL_PERF, reason=reason, expected=False)
    return _open(site, folder, events, packages(site.root, cpus))


def _open(
    site: Site, folder: Path, events: list[Event], cpus: list[tuple[int, str]]
) -> ProbeSource | AbsentSource:
    if site.perf_open is None and site.recorded:
        number = site.refused.get(CALL)
        if number is not None:
            return _refused(site.root, OSError(number, os.strerror(number)))
        reason = "the perf events of a recorded tree cannot be opened"
        return AbsentSource(source=RAPL_PERF, reason=reason, expected=False)
    opener = site.perf_open or perf_event_open
    probes: list[Probe] = []
    fds: list[int] = []
    refusal: OSError | ValueError | None = None
    for event in events:
        for cpu, package in cpus:
            try:
                fd = opener(parse_count(first_line(folder / "type") or ""), event.config, cpu)
            except (OSError, ValueError) as error:
                refusal = error
                continue
            fds.append(fd)
            probes.append(Probe(_channel(event, package), _joules(fd, event)))
            if event.name == "energy-psys":
                # The platform is one; every package counts it.
                break
    if not probes:
        return _refused(site.root, refusal)
    return ProbeSource(RAPL_PERF, probes, close=lambda: _close(fds))


def _close(fds: list[int]) -> None:
    for fd in fds:
        os.close(fd)


def _joules(fd: int, event: Event) -> Callable[[], float]:
    return lambda: read_count(fd) * event.joules


def _channel(event: Event, package: str) -> Channel:
    zone, scope = _ZONES[event.name]
    whole = f"package-{package}"
    labels = {"package": whole, "psys": zone}
    return Channel(
        source=RAPL_PERF,
        label=labels.get(zone, f"{whole}:{zone}"),
        quantity=Quantity.ENERGY,
        scope=scope,
        update_period_seconds=_UPDATE_PERIOD_SECONDS,
        resolution=event.joules,
    )


def _refused(root: Path, error: OSError | ValueError | None) -> AbsentSource:
    if isinstance(error, PermissionError):
        level = first_line(root / PARANOID) or "unknown"
        reason = f"this user may not open perf events of the machine (perf_event_paranoid {level})"
        return AbsentSource(source=RAPL_PERF, reason=reason, remedy=PERF_REMEDY)
    return AbsentSource(source=RAPL_PERF, reason=f"perf events cannot be opened: {error}")
