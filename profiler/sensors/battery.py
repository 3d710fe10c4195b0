"""A battery as a meter of the whole machine, while it discharges.

``Documentation/ABI/testing/sysfs-class-power`` of the Linux kernel: ``power_now`` in microwatts, or
``voltage_now`` in microvolts × ``current_now`` in microamperes, whose sign differs from driver to
driver. With the charger plugged in, what flows is the battery's charge and no measure of the
machine: such a reading is missing.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from profiler.result import AbsentSource, EnergyScope
from profiler.sensors.base import Channel, Quantity
from profiler.sensors.probe import (
    OpenFile,
    Probe,
    ProbeSource,
    close_all,
    first_line,
    open_if_readable,
    parse_integer,
    plausible_watts,
)
from profiler.sensors.site import Site

BATTERY = "battery"

_MICRO = 1e-6
# The controller of a battery measures every few seconds; it does not say how often.
_UPDATE_PERIOD_SECONDS = 5.0

_DISCHARGING = "Discharging"
# A second battery that waits for its turn says one of these, and gives nothing meanwhile.
_RESTING = frozenset({"Full", "Not charging", "Unknown"})


class _Battery(NamedTuple):
    name: str
    status: OpenFile
    power: OpenFile | None
    voltage: OpenFile | None
    current: OpenFile | None

    def watts(self) -> float:
        if self.power is not None:
            return abs(self.power.integer()) * _MICRO
        if self.voltage is None or self.current is None:
            raise ValueError(f"{self.name} tells no power")
        return abs(self.voltage.integer() * _MICRO * self.current.integer() * _MICRO)


def open_battery(site: Site) -> ProbeSource | AbsentSource:
    """What all batteries give together; they do not overlap, and one rests while another gives."""
    files: list[OpenFile] = []
    folder = site.root / "sys/class/power_supply"
    names = [path for path in sorted(folder.glob("*")) if _powers_the_machine(path)]
    if not names:
        return AbsentSource(source=BATTERY, reason="there is no battery", expected=False)
    batteries = [found for path in names if (found := _battery(site, path, files))]
    if not batteries:
        reason = f"the battery {names[0].name} tells neither its power nor its current"
        return AbsentSource(source=BATTERY, reason=reason)
    try:
        total(batteries)
    except (OSError, ValueError) as error:
        close_all(files)()
        return AbsentSource(
            source=BATTERY,
            reason=str(error),
            remedy="Unplug the charger, and note that most devices are slower on their battery.",
        )
    channel = Channel(
        source=BATTERY,
        label="+".join(battery.name for battery in batteries),
        quantity=Quantity.POWER,
        scope=EnergyScope.BOARD,
        update_period_seconds=_UPDATE_PERIOD_SECONDS,
        note="the whole machine, its screen included; only while the battery discharges",
    )
    probe = Probe(channel, lambda: total(batteries))
    return ProbeSource(BATTERY, [probe], close=close_all(files))


def total(batteries: list[_Battery]) -> float:
    """Watts that the machine takes from its batteries now.

    Raises:
        OSError: a driver refused.
        ValueError: they do not discharge, or tell no power that a machine draws.
    """
    states = [(battery, battery.status.text().strip()) for battery in batteries]
    giving = [battery for battery, state in states if state == _DISCHARGING]
    others = {state for _, state in states if state != _DISCHARGING}
    if not giving or not others <= _RESTING:
        said = ", ".join(f"{battery.name} says {state or 'nothing'!r}" for battery, state in states)
        raise ValueError(f"the battery does not discharge, so it does not measure this: {said}")
    watts = plausible_watts(sum(battery.watts() for battery in giving))
    if watts == 0:
        raise ValueError("a battery that discharges with 0 W tells nothing")
    return watts


def _powers_the_machine(path: Path) -> bool:
    """A mouse's or a headset's battery has the scope ``Device``."""
    return first_line(path / "type") == "Battery" and first_line(path / "scope") != "Device"


def _battery(site: Site, path: Path, files: list[OpenFile]) -> _Battery | None:
    status = open_if_readable(site, path / "status", str, files)
    power = open_if_readable(site, path / "power_now", parse_integer, files)
    voltage = open_if_readable(site, path / "voltage_now", parse_integer, files)
    current = open_if_readable(site, path / "current_now", parse_integer, files)
    if status is None or not (power or (voltage and current)):
        return None
    return _Battery(path.name, status, power, voltage, current)
