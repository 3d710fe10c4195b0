"""Jetson: power rails, and what the SoC tells of its GPU and of over-current.

Rails are measured by INA3221 chips. The kernel's ``hwmon`` driver gives millivolts and
milliamperes of three channels (``Documentation/hwmon/ina3221.rst``; ``in7`` is a sum of shunt
voltages and no rail); JetPack 4 has an ``iio`` driver of NVIDIA's that gives milliwatts.

``VDD_IN`` (TX2, Xavier NX, Orin NX and Nano) and ``POM_5V_IN`` (Nano) carry all of the module:
scope module. Other rails lie under that input, or are parts of a board that measures no such input
(AGX Xavier, AGX Orin): they keep the kernel's label, have no scope, and are never added up.
``VIN_SYS_5V0`` of an AGX Orin feeds its inputs and outputs, not its GPU and CPU: such a part.

Others: NVIDIA, *Jetson Linux Developer Guide*, "Platform Power and Performance" (GPU load in tenths
of a percent, over-current events).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from profiler.result import AbsentSource, EnergyScope
from profiler.sensors.base import Channel, Quantity, ThrottleCause
from profiler.sensors.probe import (
    OpenFile,
    Probe,
    ProbeSource,
    close_all,
    first_line,
    hwmon_chips,
    open_if_readable,
    parse_count,
    plausible_watts,
    unique_labels,
)
from profiler.sensors.site import Site

JETSON = "jetson"
INA3221 = "ina3221"
OVER_CURRENT = "soctherm_oc"

MODULE_INPUTS = frozenset({"VDD_IN", "POM_5V_IN"})
_NOT_CONNECTED = "NC"
_RAILS = (1, 2, 3)

# Default of the chip: three channels, bus and shunt, 1.1 ms each (INA3221 data sheet, "Averaging").
_UPDATE_PERIOD_SECONDS = 0.007
_MILLI = 1e-3
_PER_MILLE = 1e-3

# As the driver's documentation names them: under-voltage, average and instantaneous over-current.
_EVENTS = {
    "oc1": ThrottleCause.LOW_VOLTAGE,
    "oc2": ThrottleCause.OVER_CURRENT,
    "oc3": ThrottleCause.OVER_CURRENT,
}
# The GPUs of Nano, TX2, Xavier and Orin are called by their chips in older releases.
_GPU_NAMES = ("gpu", "gm20b", "gp10b", "gv11b", "ga10b", "gb10b")
_LOAD_FILES = (
    "sys/class/devfreq/*/device/load",
    "sys/devices/gpu.0/load",
    "sys/devices/platform/gpu.0/load",
    "sys/devices/platform/*.gpu/load",
    "sys/devices/platform/bus@0/*.gpu/load",
)


class Rail(NamedTuple):
    """One rail: the kernel's label, its place for when a label repeats, and how it is read."""

    label: str
    place: str
    watts: Callable[[], float]
    update_period_seconds: float | None


def is_jetson(root: Path) -> bool:
    """By the device tree; the marker of NVIDIA's releases tells where that is not mounted."""
    compatible = first_line(root / "proc/device-tree/compatible") or ""
    return "nvidia,tegra" in compatible or (root / "etc/nv_tegra_release").exists()


def open_jetson(site: Site) -> ProbeSource | AbsentSource:
    """Rails, GPU load and clock, and counts of over-current events."""
    if not is_jetson(site.root):
        return AbsentSource(source=JETSON, reason="this is no Jetson", expected=False)
    files: list[OpenFile] = []
    rails = [*_hwmon_rails(site, files), *_iio_rails(site, files)]
    probes = [*_rail_probes(rails), *_gpu_probes(site, files), *_event_probes(site, files)]
    lacking = _lacking([rail.label for rail in rails])
    if not probes:
        return lacking or AbsentSource(source=JETSON, reason="none of its sensors can be read")
    missing = (lacking,) if lacking else ()
    return ProbeSource(JETSON, probes, close=close_all(files), missing=missing)


def _lacking(labels: list[str]) -> AbsentSource | None:
    meter = "An external meter measures the whole board: docs/sensors.md, External meters."
    if MODULE_INPUTS & set(labels):
        return None
    if labels:
        reason = (
            f"no rail carries all of this board ({', '.join(sorted(MODULE_INPUTS))}); the rails "
            f"{', '.join(labels)} are parts of it, and are not added up"
        )
        return AbsentSource(source=JETSON, reason=reason, remedy=meter)
    reason = "no INA3221 can be read: the kernel's driver is not loaded, or the board has none"
    return AbsentSource(source=JETSON, reason=reason, remedy=f"`modprobe ina3221` as root. {meter}")


def _hwmon_rails(site: Site, files: list[OpenFile]) -> list[Rail]:
    rails = []
    for folder, name in hwmon_chips(site.root):
        if name != INA3221:
            continue
        period = _interval(folder)
        for number in _RAILS:
            label = first_line(folder / f"in{number}_label")
            if label in (None, _NOT_CONNECTED):
                continue
            # A rail that is named is there; garbage in its files is a missing reading.
            volts = open_if_readable(site, folder / f"in{number}_input", str, files)
            amperes = open_if_readable(site, folder / f"curr{number}_input", str, files)
            if volts and amperes:
                rails.append(Rail(label or "", folder.name, _product(volts, amperes), period))
    return rails


def _interval(folder: Path) -> float:
    """How often the chip has a new value, in seconds; its file counts milliseconds."""
    try:
        return parse_count(first_line(folder / "update_interval") or "") * _MILLI or (
            _UPDATE_PERIOD_SECONDS
        )
    except ValueError:
        return _UPDATE_PERIOD_SECONDS


def _product(volts: OpenFile, amperes: OpenFile) -> Callable[[], float]:
    return lambda: plausible_watts(volts.integer() * _MILLI * amperes.integer() * _MILLI)


def _iio_rails(site: Site, files: list[OpenFile]) -> list[Rail]:
    drivers = site.root / "sys/bus/i2c/drivers/ina3221x"
    folders = sorted(drivers.glob("*/iio:device*")) if drivers.is_dir() else []
    rails = []
    for folder in folders:
        for number in range(len(_RAILS)):
            label = first_line(folder / f"rail_name_{number}")
            if label in (None, _NOT_CONNECTED):
                continue
            file = open_if_readable(site, folder / f"in_power{number}_input", str, files)
            if file:
                rails.append(Rail(label or "", folder.name, _milliwatts(file), None))
    return rails


def _milliwatts(file: OpenFile) -> Callable[[], float]:
    return lambda: plausible_watts(file.integer() * _MILLI)


def _rail_probes(rails: list[Rail]) -> list[Probe]:
    labels = unique_labels([(rail.label, rail.place) for rail in rails])
    return [
        Probe(
            Channel(
                source=JETSON,
                label=label,
                quantity=Quantity.POWER,
                scope=EnergyScope.MODULE if rail.label in MODULE_INPUTS else None,
                update_period_seconds=rail.update_period_seconds or _UPDATE_PERIOD_SECONDS,
                note=None if rail.label in MODULE_INPUTS else "a part of the module, no total",
            ),
            rail.watts,
        )
        for label, rail in zip(labels, rails, strict=True)
    ]


def _gpu_probes(site: Site, files: list[OpenFile]) -> list[Probe]:
    probes = []
    load = _first_readable(site, files)
    if load:
        channel = Channel(source=JETSON, label="gpu", quantity=Quantity.UTILIZATION)
        probes.append(Probe(channel, lambda: _ratio(load)))
    folder = site.root / "sys/class/devfreq"
    for gpu in sorted(folder.glob("*")) if folder.is_dir() else []:
        clock = (
            open_if_readable(site, gpu / "cur_freq", parse_count, files)
            if any(name in gpu.name for name in _GPU_NAMES)
            else None
        )
        if clock:
            channel = Channel(source=JETSON, label=gpu.name, quantity=Quantity.CLOCK)
            probes.append(Probe(channel, _count(clock)))
    return probes


def _first_readable(site: Site, files: list[OpenFile]) -> OpenFile | None:
    for pattern in _LOAD_FILES:
        for path in sorted(site.root.glob(pattern)):
            if file := open_if_readable(site, path, parse_count, files):
                return file
    return None


def _ratio(load: OpenFile) -> float:
    ratio = parse_count(load.text()) * _PER_MILLE
    if ratio > 1:
        raise ValueError(f"a load of {ratio:.0%} is none")
    return ratio


def _count(file: OpenFile) -> Callable[[], float]:
    return lambda: float(parse_count(file.text()))


def _event_probes(site: Site, files: list[OpenFile]) -> list[Probe]:
    chips = [folder for folder, name in hwmon_chips(site.root) if name == OVER_CURRENT]
    probes = []
    for folder in chips:
        for label, cause in _EVENTS.items():
            file = open_if_readable(site, folder / f"{label}_event_cnt", parse_count, files)
            if file:
                channel = Channel(
                    source=JETSON, label=label, quantity=Quantity.EVENTS, cause=cause
                )  # fmt: skip
                probes.append(Probe(channel, _count(file)))
    return probes
