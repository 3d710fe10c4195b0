"""Raspberry Pi: the power management chip of a Pi 5, and why its clocks were lowered.

``vcgencmd`` asks the firmware (Raspberry Pi documentation, "vcgencmd"); it starts a process each
time, so it is asked once a second at most. ``pmic_read_adc`` gives volts and amperes of the rails
behind the chip of a Pi 5; their sum leaves out what the 5 V input feeds directly (USB, HATs, the
fan) and the losses of the chip itself, so it is an estimate of the board. A Pi 4 has no sensor.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from profiler.result import AbsentSource, EnergyQuality, EnergyScope
from profiler.sensors.base import Channel, Quantity, ThrottleCause
from profiler.sensors.probe import Group, ProbeSource, first_line, plausible_watts
from profiler.sensors.site import Site
from profiler.sensors.slow import SlowSource

RPI = "rpi"
TOTAL = "pmic-total"
EXTERNAL = "EXT5V"

PERIOD_SECONDS = 1.0
GET_THROTTLED = "sys/devices/platform/soc/soc:firmware/get_throttled"

_LINE = re.compile(r"^\s*(\S+)_([AV])\s+(?:current|volt)\(\d+\)=(\d{1,9}(?:\.\d{1,12})?)[AV]\s*$")
_WORD = re.compile(r"^(?:throttled=)?(?:0x)?([0-9a-fA-F]{1,8})$")

# Bit of get_throttled → label and cause; the same 16 higher: has happened since boot.
_BITS = {
    0: ("under-voltage", ThrottleCause.LOW_VOLTAGE),
    1: ("frequency-capped", ThrottleCause.HARDWARE),
    2: ("throttled", ThrottleCause.HARDWARE),
    3: ("soft-temperature-limit", ThrottleCause.HEAT),
}
_SINCE_BOOT = 16

METER_REMEDY = (
    "An external meter: name it in a file, and give that as --meters FILE or in "
    "FLEETMARK_METERS; docs/sensors.md, External meters, shows one."
)


class Rails(NamedTuple):
    """Of ``pmic_read_adc``: watts of each rail that has both, and volts of the others."""

    watts: dict[str, float]
    volts: dict[str, float]

    @property
    def total(self) -> float:
        return sum(self.watts.values())


def parse_pmic(text: str) -> Rails:
    """Pairs of ``VDD_CORE_A current(7)=0.889A`` and ``VDD_CORE_V volt(15)=0.72V``.

    Raises:
        ValueError: a line is something else, or no rail has both.
    """
    amperes: dict[str, float] = {}
    volts: dict[str, float] = {}
    for line in filter(str.strip, text.splitlines()):
        found = _LINE.match(line)
        if found is None:
            raise ValueError(f"pmic_read_adc says {line.strip()[:60]!r}")
        (amperes if found.group(2) == "A" else volts)[found.group(1)] = float(found.group(3))
    watts = {
        rail: plausible_watts(amperes[rail] * volts[rail]) for rail in amperes if rail in volts
    }
    if not watts or len(watts) < len(amperes):
        raise ValueError("pmic_read_adc does not give volts and amperes in pairs")
    return Rails(watts, {rail: value for rail, value in volts.items() if rail not in watts})


def parse_throttled(text: str) -> int:
    """``throttled=0x50005`` of vcgencmd, or the kernel's ``50005``.

    Raises:
        ValueError: it is neither.
    """
    found = _WORD.match(text.strip())
    if found is None:
        raise ValueError(f"get_throttled says {text.strip()[:60]!r}")
    return int(found.group(1), 16)


def throttled_values(word: int) -> list[float]:
    """One value per channel of ``throttled_channels``."""
    now = [float(word >> bit & 1) for bit in _BITS]
    return now + [float(word >> (bit + _SINCE_BOOT) & 1) for bit in _BITS]


def throttled_channels() -> tuple[Channel, ...]:
    """Flags of this moment, then whether it has happened since boot, an event counted once."""
    now = [
        Channel(source=RPI, label=label, quantity=Quantity.THROTTLED_NOW, cause=cause)
        for label, cause in _BITS.values()
    ]
    return (*now, *(c.model_copy(update={"quantity": Quantity.EVENTS}) for c in now))


def model(root: Path) -> str | None:
    """``Raspberry Pi 5 Model B Rev 1.0``; ``None`` on anything else."""
    text = (first_line(root / "proc/device-tree/model") or "").strip("\0")
    return text if text.startswith("Raspberry Pi") else None


def open_rpi(site: Site) -> SlowSource | AbsentSource:
    """Rails of a Pi 5 and its total; under-voltage, heat and capped clocks of any Pi."""
    name = model(site.root)
    if name is None:
        return AbsentSource(source=RPI, reason="this is no Raspberry Pi", expected=False)
    groups, missing = [], []
    rails = _first_rails(site, name)
    if isinstance(rails, AbsentSource):
        missing.append(rails)
    else:
        groups.append(_pmic(site, rails))
    try:
        parse_throttled(_throttled(site))
    except (OSError, ValueError) as error:
        missing.append(
            AbsentSource(
                source=RPI,
                reason=f"get_throttled does not answer: {error}",
                remedy="`apt install raspi-utils`, and add this user to the group video",
            )
        )
    else:
        groups.append(
            Group(
                throttled_channels(), lambda: throttled_values(parse_throttled(_throttled(site)))
            )
        )  # fmt: skip
    if not groups:
        return missing[0]
    source = ProbeSource(RPI, groups, close=_nothing_open, clock=site.clock)
    return SlowSource(
        source, PERIOD_SECONDS, background=site.background, clock=site.clock, missing=missing
    )


def _nothing_open() -> None:
    """Each read is a process of its own."""


def _throttled(site: Site) -> str:
    return first_line(site.root / GET_THROTTLED) or site.output("vcgencmd", "get_throttled")


def _first_rails(site: Site, name: str) -> Rails | AbsentSource:
    if not re.search(r"Raspberry Pi (?:5|500|Compute Module 5)\b", name):
        return AbsentSource(
            source=RPI, reason=f"{name} has no power sensor", remedy=METER_REMEDY
        )  # fmt: skip
    try:
        return parse_pmic(site.output("vcgencmd", "pmic_read_adc"))
    except (OSError, ValueError) as error:
        return AbsentSource(
            source=RPI,
            reason=f"the power management chip does not answer: {error}",
            remedy="`apt install raspi-utils`, and add this user to the group video",
        )


def _pmic(site: Site, first: Rails) -> Group:
    def power(label: str) -> Channel:
        whole = label == TOTAL
        return Channel(
            source=RPI,
            label=label,
            quantity=Quantity.POWER,
            scope=EnergyScope.BOARD if whole else None,
            update_period_seconds=PERIOD_SECONDS,
            quality=EnergyQuality.ESTIMATE if whole else None,
            note="without what the 5 V input feeds directly: USB, HATs, fan" if whole else None,
        )

    rails, others = tuple(first.watts), tuple(first.volts)
    volts = [Channel(source=RPI, label=rail, quantity=Quantity.VOLTAGE) for rail in others]
    channels = (power(TOTAL), *map(power, rails), *volts)

    def fetch() -> Sequence[float]:
        now = parse_pmic(site.output("vcgencmd", "pmic_read_adc"))
        if (*now.watts, *now.volts) != (*rails, *others):
            raise ValueError("pmic_read_adc names other rails than at first")
        return [now.total, *now.watts.values(), *now.volts.values()]

    return Group(channels, fetch)
