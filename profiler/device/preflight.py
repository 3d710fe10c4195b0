"""The state of the device before anything is measured. Reads, never tunes.

What cannot be read or makes no sense is ``None``: a device that hides its state is measured like
any other, and its result says what is not known.

Sources: the Linux kernel's ``Documentation/admin-guide/pm/cpufreq.rst`` and ``intel_pstate.rst``,
``Documentation/driver-api/thermal/sysfs-api.rst``, ``Documentation/accounting/psi.rst``,
``Documentation/ABI/testing/sysfs-devices-system-cpu``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from profiler.device.accelerator_users import read_accelerator_use
from profiler.device.environment import governors
from profiler.device.power_mode import on_battery, power_mode
from profiler.result import Preflight
from profiler.sensors.probe import (
    first_line,
    numbered,
    parse_cpus,
    parse_integer,
    unique_labels,
)

CPU = "sys/devices/system/cpu"

# Zones that a result names; a server has dozens.
HOTTEST_ZONES = 4
# Drivers answer with -274 °C, 0 or 2^31 for what they do not measure or set.
_SENSIBLE_CELSIUS = (-40.0, 150.0)
_SENSIBLE_TRIP_CELSIUS = (40.0, 130.0)
# At a trip point of these types the kernel slows the device down; at "critical" it switches it off.
_THROTTLING_TRIPS = frozenset({"passive", "hot"})


def read_preflight(
    root: Path = Path("/"),
    affinity: Collection[int] | None = None,
    nvml: ModuleType | None = None,
) -> Preflight:
    """What would change a figure. Not to be called while anything is timed.

    Args:
        root: of the filesystem that describes the device.
        affinity: the CPUs that may be used; ``None`` asks for this process's own.
        nvml: ``pynvml`` or a stand-in for it; imported when ``None``.
    """
    mode = power_mode(root)
    zones = thermal_zones(root)
    accelerator = read_accelerator_use(root, nvml)
    return Preflight(
        governors=governors(root),
        turbo=turbo(root),
        cpu_clock_hertz=cpu_clocks(root),
        cpu_affinity=tuple(sorted(os.sched_getaffinity(0) if affinity is None else affinity)),
        isolated_cpus=parse_cpus(first_line(root / CPU / "isolated") or ""),
        smt=_switch(root / CPU / "smt/active"),
        power_mode=mode.text,
        power_mode_highest=mode.highest,
        on_battery=on_battery(root),
        temperatures_celsius={zone.name: zone.celsius for zone in zones[:HOTTEST_ZONES]},
        throttle_margin_celsius=min(
            (z.margin for z in zones if z.margin is not None), default=None
        ),
        load_average_1m=_load(root),
        cpu_pressure_avg10=pressure(root, "cpu"),
        memory_pressure_avg10=pressure(root, "memory"),
        swap_used_bytes=swap_used(root),
        accelerator_driver=accelerator.driver,
        accelerator_processes=accelerator.processes,
        accelerator_power_limits_watts=accelerator.power_limits_watts,
    )


def _switch(path: Path) -> bool | None:
    return {"1": True, "0": False}.get(first_line(path) or "")


def turbo(root: Path = Path("/")) -> bool | None:
    """Whether clocks above the nominal one are allowed; the kernel has three places for it."""
    off = _switch(root / CPU / "intel_pstate/no_turbo")
    if off is not None:
        return not off
    on = _switch(root / CPU / "cpufreq/boost")
    if on is not None:
        return on
    policies = [_switch(p / "boost") for p in numbered(root / CPU / "cpufreq", "policy")]
    known = [policy for policy in policies if policy is not None]
    return any(known) if known else None


def cpu_clocks(root: Path = Path("/")) -> tuple[float, ...]:
    """The clocks now, in hertz, one for each group of CPUs that share theirs."""
    texts = (
        first_line(policy / "scaling_cur_freq") or ""
        for policy in numbered(root / CPU / "cpufreq", "policy")
    )
    kilohertz = (_number(text) for text in texts)
    return tuple(1000.0 * clock for clock in kilohertz if clock)


class Zone(NamedTuple):
    """A thermal zone, and how far below the kernel's first throttling trip point it is."""

    name: str
    celsius: float
    margin: float | None


def thermal_zones(root: Path = Path("/")) -> list[Zone]:
    """The zones that answer, hottest first."""
    folders = [
        (path, name, celsius)
        for path in numbered(root / "sys/class/thermal", "thermal_zone")
        if (name := first_line(path / "type")) is not None
        and (celsius := _celsius(path / "temp", _SENSIBLE_CELSIUS)) is not None
    ]
    names = unique_labels([(name, path.name) for path, name, _ in folders])
    zones = [
        Zone(name, celsius, _margin(path, celsius))
        for name, (path, _, celsius) in zip(names, folders, strict=True)
    ]
    return sorted(zones, key=lambda zone: -zone.celsius)


def _celsius(path: Path, sensible: tuple[float, float]) -> float | None:
    try:
        value = parse_integer(first_line(path) or "") / 1000
    except (ValueError, OverflowError):
        return None
    return value if sensible[0] <= value <= sensible[1] else None


def _margin(zone: Path, celsius: float) -> float | None:
    trips = [
        _celsius(path.with_name(path.name.replace("_type", "_temp")), _SENSIBLE_TRIP_CELSIUS)
        for path in zone.glob("trip_point_*_type")
        if first_line(path) in _THROTTLING_TRIPS
    ]
    known = [trip for trip in trips if trip is not None]
    return min(known) - celsius if known else None


def _number(text: str) -> float | None:
    """A plain decimal number; anything else, infinity included, is ``None``."""
    return float(text) if re.fullmatch(r"\d{1,15}(\.\d{1,15})?", text) else None


def _load(root: Path) -> float | None:
    words = (first_line(root / "proc/loadavg") or "").split()
    return _number(words[0]) if words else None


def pressure(root: Path, resource: str) -> float | None:
    """Percent of the last 10 s in which some task waited for ``cpu``, ``memory`` or ``io``."""
    text = first_line(root / "proc/pressure" / resource) or ""
    found = re.search(r"^some avg10=(\S+)", text, re.MULTILINE)
    return _number(found.group(1)) if found else None


def swap_used(root: Path = Path("/")) -> int | None:
    """Bytes in swap; 0 where there is none to use."""
    text = first_line(root / "proc/meminfo") or ""
    sizes = dict(re.findall(r"^(Swap(?:Total|Free)):\s*(\d{1,15}) kB", text, re.MULTILINE))
    if len(sizes) != 2:  # noqa: PLR2004 - the two in the pattern
        return None
    return max(0, int(sizes["SwapTotal"]) - int(sizes["SwapFree"])) * 1024
