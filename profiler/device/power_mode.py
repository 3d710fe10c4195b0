"""What limits a device's clocks and power: its power mode and its supply. Reads, never sets.

Sources: NVIDIA, *Jetson Linux Developer Guide*, "Platform Power and Performance" (nvpmodel); the
Linux kernel's ``Documentation/admin-guide/pm/intel_pstate.rst`` and ``amd-pstate.rst``
(energy_performance_preference), ``ABI/testing/sysfs-platform_profile`` and
``ABI/testing/sysfs-class-power``.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from profiler.sensors.probe import first_line, numbered

NVPMODEL_STATUS = "var/lib/nvpmodel/status"
NVPMODEL_CONF = "etc/nvpmodel.conf"
PROFILE = "sys/firmware/acpi/platform_profile"

# Of the energy-performance preferences; a number is the register's value, 0 is all for performance.
_EPP_HIGHEST = frozenset({"performance", "0"})


class PowerMode(NamedTuple):
    """In words, and whether nothing higher could be chosen; ``None``: not to be known."""

    text: str | None
    highest: bool | None


class JetsonMode(NamedTuple):
    """A mode of ``nvpmodel``: the number to call it by, and its name in the configuration."""

    number: int
    name: str


def power_mode(root: Path = Path("/")) -> PowerMode:
    """All the parts that are set on this device, together."""
    parts = [part for part in (_nvpmodel(root), _profile(root), _preference(root)) if part]
    if not parts:
        return PowerMode(None, None)
    text = ", ".join(f"{name} {value}" for name, value, _ in parts)
    marks = [highest for _, _, highest in parts]
    if False in marks:
        return PowerMode(text, highest=False)
    return PowerMode(text, highest=None if None in marks else True)


_Part = tuple[str, str, bool | None] | None


def jetson_modes(root: Path = Path("/")) -> tuple[JetsonMode, ...]:
    """The modes that ``nvpmodel`` offers here; empty on anything but a Jetson."""
    lines = re.findall(
        r"^<\s*POWER_MODEL\s+ID=(\d{1,4})\s+NAME=(\S+)\s*>",
        first_line(root / NVPMODEL_CONF) or "",
        re.MULTILINE,
    )
    return tuple(JetsonMode(int(number), name) for number, name in lines)


def jetson_current(root: Path = Path("/")) -> int | None:
    """The number of the mode in use; ``nvpmodel`` itself writes ``pmode:0002`` when it sets one."""
    found = re.match(r"pmode:(\d{1,4})\b", first_line(root / NVPMODEL_STATUS) or "")
    return int(found.group(1)) if found else None


def jetson_highest(modes: tuple[JetsonMode, ...]) -> JetsonMode | None:
    """The mode that caps least: one of MAXN, else the one of most watts.

    Neither the numbers nor their order tell: of an Orin Nano Super 0 is 15W and 2 is MAXN_SUPER.
    """
    unlimited = [mode for mode in modes if mode.name.upper().startswith("MAXN")]
    if unlimited:
        # MAXN_SUPER stands beside MAXN on some boards, and is the higher one.
        return max(unlimited, key=lambda mode: len(mode.name))
    rated = [(int(w.group(1)), m) for m in modes if (w := re.search(r"(\d{1,4})W", m.name))]
    if not rated or len(rated) < len(modes):
        return None
    most = max(watts for watts, _ in rated)
    candidates = [mode for watts, mode in rated if watts == most]
    return candidates[0] if len(candidates) == 1 else None


def _nvpmodel(root: Path) -> _Part:
    current = jetson_current(root)
    if current is None:
        return None
    modes = jetson_modes(root)
    name = next((mode.name for mode in modes if mode.number == current), f"number {current}")
    highest = jetson_highest(modes)
    return "nvpmodel", name, None if highest is None else highest.number == current


def _profile(root: Path) -> _Part:
    current = first_line(root / PROFILE)
    if current is None:
        return None
    choices = (first_line(root / f"{PROFILE}_choices") or "").split()
    if "performance" in choices:
        return "platform_profile", current, current == "performance"
    return "platform_profile", current, True if current == "performance" else None


def _preference(root: Path) -> _Part:
    policies = numbered(root / "sys/devices/system/cpu/cpufreq", "policy")
    texts = (first_line(policy / "energy_performance_preference") for policy in policies)
    found = sorted({text for text in texts if text})
    if not found:
        return None
    highest = None if "default" in found else set(found) <= _EPP_HIGHEST
    return "energy_performance_preference", "/".join(found), highest


def on_battery(root: Path = Path("/")) -> bool | None:
    """Whether the system draws on its battery; ``None`` where no supply is listed.

    A mouse's or a headset's battery is listed too, with the scope ``Device``.
    """
    folder = root / "sys/class/power_supply"
    supplies = [
        (first_line(path / "type"), path)
        for path in (sorted(folder.glob("*")) if folder.is_dir() else [])
        if first_line(path / "scope") != "Device"
    ]
    online = {
        kind: [first_line(path / "online") == "1" for k, path in supplies if k == kind]
        for kind in ("Mains", "USB")
    }
    states = {first_line(path / "status") for kind, path in supplies if kind == "Battery"}
    if not states:
        return False if any(online["Mains"]) else None
    if any(online["Mains"] + online["USB"]):
        return False
    if online["Mains"] or "Discharging" in states:
        return True
    return False if states <= {"Charging", "Full", "Not charging"} else None
