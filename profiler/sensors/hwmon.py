"""The kernel's hardware monitoring: power, energy and temperature of whatever chip is there.

``Documentation/hwmon/sysfs-interface.rst`` of the Linux kernel: ``power*_input`` and
``power*_average`` in microwatts, ``energy*_input`` in microjoules, ``temp*_input`` in thousandths
of a degree. Chips and inputs keep the kernel's names: ``amdgpu:PPT``, ``coretemp:Package id 0``.

Only a few chips are known to measure a whole; of every other chip nobody but the board's maker
knows what hangs on it, so its power has no scope.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from profiler.result import AbsentSource, EnergyScope
from profiler.sensors.base import Channel, Quantity
from profiler.sensors.jetson import INA3221, OVER_CURRENT
from profiler.sensors.probe import (
    OpenFile,
    Probe,
    ProbeSource,
    close_all,
    first_line,
    hwmon_chips,
    numbered,
    open_or_failure,
    parse_count,
    parse_integer,
    plausible_watts,
    unique_labels,
)
from profiler.sensors.site import Site

HWMON = "hwmon"

_MICRO = 1e-6
_MILLI = 1e-3
# Chips answer with -274 °C or 2^31 for an input that is not wired.
_SENSIBLE_CELSIUS = (-40.0, 150.0)

# ``Documentation/hwmon/amd_energy.rst``: Esocket0 is a socket. ``Documentation/gpu/amdgpu``: the
# power of the chip. ``Documentation/hwmon/acpi_power_meter.rst``: what the machine's maker wired,
# as a rule its supply.
_SOCKET = re.compile(r"^Esocket\d+$")
_SCOPES = {"amdgpu": EnergyScope.ACCELERATOR, "power_meter": EnergyScope.BOARD}
_NOTES = {
    "amdgpu": "on a processor with graphics this includes the CPU",
    "power_meter": "what the machine's maker wired: as a rule all of the machine",
}
# Read by another source: the rails of a Jetson, and batteries, which matter while discharging only.
_TAKEN = frozenset({INA3221, OVER_CURRENT})


class _Kind(NamedTuple):
    """A kind of input: its files, what it measures, and how its text becomes a value."""

    pattern: re.Pattern[str]
    quantity: Quantity
    value: Callable[[str], float]


def microwatts(text: str) -> float:
    """Watts.

    Raises:
        ValueError: the text is no power that a device draws.
    """
    return plausible_watts(parse_integer(text) * _MICRO)


def microjoules(text: str) -> float:
    """Joules.

    Raises:
        ValueError: the text is no count.
    """
    return parse_count(text) * _MICRO


def millicelsius(text: str) -> float:
    """Degrees Celsius.

    Raises:
        ValueError: the text is no temperature that a computer has.
    """
    value = parse_integer(text) * _MILLI
    if not _SENSIBLE_CELSIUS[0] <= value <= _SENSIBLE_CELSIUS[1]:
        raise ValueError(f"{value:g} °C is no temperature of a computer")
    return value


_KINDS = (
    _Kind(re.compile(r"^(power\d+)_(input|average)$"), Quantity.POWER, microwatts),
    _Kind(re.compile(r"^(energy\d+)_input$"), Quantity.ENERGY, microjoules),
    _Kind(re.compile(r"^(temp\d+)_input$"), Quantity.TEMPERATURE, millicelsius),
)


class _Input(NamedTuple):
    channel: Channel
    place: str
    fetch: Callable[[], float]


def open_hwmon(site: Site) -> ProbeSource | AbsentSource:
    """Every input of power, energy and temperature that no other source reads."""
    files: list[OpenFile] = []
    missing: list[AbsentSource] = []
    inputs = [
        found
        for folder, chip in hwmon_chips(site.root)
        if chip not in _TAKEN and not (site.root / "sys/class/power_supply" / chip).exists()
        for found in _inputs(site, folder, chip, files, missing)
    ]
    if not inputs and missing:
        return missing[0]
    if not inputs:
        reason = (
            f"no chip under {site.root / 'sys/class/hwmon'} tells power, energy or temperature; "
            "a virtual machine usually has none"
        )
        return AbsentSource(source=HWMON, reason=reason, expected=False)
    # By quantity: one chip's power and temperature may share a label.
    names: dict[Quantity, list[str]] = {}
    for quantity in {each.channel.quantity for each in inputs}:
        pairs = [(i.channel.label, i.place) for i in inputs if i.channel.quantity is quantity]
        names[quantity] = unique_labels(pairs)[::-1]
    probes = [
        Probe(i.channel.model_copy(update={"label": names[i.channel.quantity].pop()}), i.fetch)
        for i in inputs
    ]
    return ProbeSource(HWMON, probes, close=close_all(files), missing=tuple(missing))


def _inputs(
    site: Site, folder: Path, chip: str, files: list[OpenFile], missing: list[AbsentSource]
) -> list[_Input]:
    found = []
    zones = _zone_names(site.root)
    for path in sorted(folder.glob("*_*"), key=_order):
        for kind in _KINDS:
            matched = kind.pattern.match(path.name)
            # The kernel shows each thermal zone here once more, under the zone's name.
            repeated = kind.quantity is Quantity.TEMPERATURE and chip in zones
            if matched is None or repeated:
                continue
            outcome = open_or_failure(site, path, kind.value, files)
            if isinstance(outcome, OpenFile):
                channel = _channel(folder, chip, matched, kind.quantity)
                found.append(_Input(channel, folder.name, _value(outcome, kind.value)))
            elif kind.quantity is not Quantity.TEMPERATURE:
                missing.append(_unreadable(path, outcome))
    return found


def _unreadable(path: Path, failure: OSError | ValueError) -> AbsentSource:
    if isinstance(failure, PermissionError):
        reason = f"{path} may not be read by this user"
        remedy = f"As root: `chmod a+r {path}`, until the next boot; or run as root."
        return AbsentSource(source=HWMON, reason=reason, remedy=remedy)
    return AbsentSource(source=HWMON, reason=f"{path} cannot be read: {failure}")


def _value(file: OpenFile, parse: Callable[[str], float]) -> Callable[[], float]:
    return lambda: parse(file.text())


def _order(path: Path) -> tuple[str, int, str]:
    stem, _, rest = path.name.partition("_")
    digits = stem.lstrip("abcdefghijklmnopqrstuvwxyz")
    return stem.removesuffix(digits), int(digits) if digits.isdigit() else 0, rest


def _zone_names(root: Path) -> set[str]:
    zones = numbered(root / "sys/class/thermal", "thermal_zone")
    return {(first_line(zone / "type") or "").replace("-", "_") for zone in zones}


def _channel(folder: Path, chip: str, matched: re.Match[str], quantity: Quantity) -> Channel:
    name = matched.group(1)
    label = first_line(folder / f"{name}_label") or name
    averaged = quantity is Quantity.POWER and matched.group(2) == "average"
    metered = quantity in (Quantity.POWER, Quantity.ENERGY)
    return Channel(
        source=HWMON,
        label=f"{chip}:{label}:average" if averaged else f"{chip}:{label}",
        quantity=quantity,
        scope=_scope(chip, label, quantity) if metered else None,
        update_period_seconds=_milliseconds(folder / "update_interval") if metered else None,
        resolution=_MICRO if metered else None,
        averaging_seconds=_milliseconds(folder / f"{name}_average_interval") if averaged else None,
        note=_NOTES.get(chip) if metered else None,
    )


def _scope(chip: str, label: str, quantity: Quantity) -> EnergyScope | None:
    if chip == "amd_energy" and quantity is Quantity.ENERGY and _SOCKET.match(label):
        return EnergyScope.PACKAGE
    return _SCOPES.get(chip)


def _milliseconds(path: Path) -> float | None:
    try:
        return parse_count(first_line(path) or "") * _MILLI or None
    except ValueError:
        return None
