"""RAPL energy counters through the kernel's powercap tree, of Intel and of AMD processors.

``Documentation/power/powercap/powercap.rst`` of the Linux kernel: ``energy_uj`` counts microjoules
and wraps after ``max_energy_range_uj``. Zones are the kernel's, and keep their names:

- ``package-N`` is one processor: scope package. Two sockets are two channels, never added here.
- ``psys`` is the whole platform as the board's maker wired it: scope board.
- ``core`` and ``uncore`` are parts of a package and ``dram`` lies beside it. No scope names them,
  so their channels have none: they are recorded, and never stand for the energy of a run.

``intel-rapl-mmio`` repeats the package by another route and is left out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from profiler.result import AbsentSource, EnergyScope
from profiler.sensors.base import Channel, Quantity
from profiler.sensors.probe import (
    OpenFile,
    Probe,
    ProbeSource,
    close_all,
    first_line,
    parse_count,
    unique_labels,
)
from profiler.sensors.site import Site

RAPL = "rapl"

_POWERCAP = "sys/class/powercap"
_ZONE = re.compile(r"^intel-rapl:\d+(:\d+)?$")
_JOULES = 1e-6

# The counters are updated about every millisecond (Intel SDM volume 3, "RAPL Interfaces").
_UPDATE_PERIOD_SECONDS = 0.001
# The default energy status unit, 2^-14 J (same place). AMD counts finer; server DRAM too.
_RESOLUTION_JOULES = 2.0**-14

# Since CVE-2020-8694 the kernel lets only root read the counters.
UDEV_RULE = (
    'ACTION=="add", SUBSYSTEM=="powercap", KERNEL=="intel-rapl:*", '
    "RUN+=\"/bin/sh -c 'chgrp fleetmark /sys%p/energy_uj && chmod g+r /sys%p/energy_uj'\""
)
PERMISSION_REMEDY = (
    "As root, until the next boot: `chmod a+r /sys/class/powercap/intel-rapl:*/energy_uj`. "
    "For good: `groupadd --system fleetmark`, add this user to that group, put "
    "deploy/90-fleetmark-rapl.rules (the one line of docs/sensors.md, RAPL) into "
    "/etc/udev/rules.d/ and reboot. Or run with CAP_DAC_READ_SEARCH, or with CAP_PERFMON, which "
    "the source rapl_perf uses."
)


@dataclass(frozen=True)
class Zone:
    """One zone of the tree and what its constant files say.

    ``name`` is the kernel's; a subzone's carries its parent's, as in ``package-0:dram``, since
    every package has a zone of that name. ``wraps_at`` is in joules.
    """

    path: Path
    name: str
    scope: EnergyScope | None
    wraps_at: float | None

    @property
    def counter(self) -> Path:
        return self.path / "energy_uj"


def scope_of(name: str, *, subzone: bool) -> EnergyScope | None:
    """What a zone covers, by the kernel's name for it; ``None`` where no scope says it."""
    if subzone:
        return None
    if name == "psys":
        return EnergyScope.BOARD
    return EnergyScope.PACKAGE if name.startswith("package") else None


def parse_modulus(max_energy_range: str) -> float:
    """The joules after which the counter starts again: it counts 0 … maximum, hence the + 1.

    Raises:
        ValueError: the text is no positive number of microjoules.
    """
    maximum = parse_count(max_energy_range)
    if maximum == 0:
        raise ValueError("a counter with the range 0 counts nothing")
    return (maximum + 1) * _JOULES


def find_zones(root: Path) -> list[Zone]:
    """All zones below ``root``, in the kernel's order; reads no counter."""
    folders = [p for p in (root / _POWERCAP).glob("intel-rapl:*") if _ZONE.match(p.name)]
    folders.sort(key=lambda p: [int(n) for n in p.name.split(":")[1:]])
    return [zone for zone in map(_zone, folders) if zone is not None]


def _zone(folder: Path) -> Zone | None:
    own = first_line(folder / "name")
    if own is None:
        return None
    parent = folder.parent / folder.name.rsplit(":", 1)[0]
    subzone = folder.name.count(":") > 1
    name = f"{first_line(parent / 'name') or parent.name}:{own}" if subzone else own
    try:
        modulus = parse_modulus(first_line(folder / "max_energy_range_uj") or "")
    except ValueError:
        # Without it a counter that goes backwards is a reset, and that window has no figure.
        modulus = None
    return Zone(folder, name, scope_of(own, subzone=subzone), modulus)


def open_rapl(site: Site) -> ProbeSource | AbsentSource:
    """The energy counters of every zone that can be read."""
    zones = find_zones(site.root)
    if not zones:
        return _nothing_there(site.root)
    outcomes = [(zone, _open_counter(zone, site)) for zone in zones]
    found = [(zone, file) for zone, file in outcomes if isinstance(file, OpenFile)]
    refused = [refusal for _, refusal in outcomes if isinstance(refusal, AbsentSource)]
    if not found:
        return refused[0]
    labels = unique_labels([(zone.name, zone.path.name) for zone, _ in found])
    probes = [_probe(label, *parts) for label, parts in zip(labels, found, strict=True)]
    files = [file for _, file in found]
    return ProbeSource(RAPL, probes, close=close_all(files), missing=tuple(refused))


def _open_counter(zone: Zone, site: Site) -> OpenFile | AbsentSource:
    try:
        file = site.open(zone.counter)
    except OSError as refusal:
        return _unreadable(zone, refusal)
    try:
        parse_count(file.text())
    except (OSError, ValueError) as refusal:
        file.close()
        return _unreadable(zone, refusal)
    return file


def _probe(label: str, zone: Zone, file: OpenFile) -> Probe:
    channel = Channel(
        source=RAPL,
        label=label,
        quantity=Quantity.ENERGY,
        scope=zone.scope,
        update_period_seconds=_UPDATE_PERIOD_SECONDS,
        wraps_at=zone.wraps_at,
        resolution=_RESOLUTION_JOULES,
    )
    return Probe(channel, lambda: parse_count(file.text()) * _JOULES)


def _nothing_there(root: Path) -> AbsentSource:
    return AbsentSource(
        source=RAPL,
        # A device tree describes boards, and none with such a processor.
        expected=not (root / "proc/device-tree").exists(),
        reason=f"there is no {root / _POWERCAP}/intel-rapl:0; a virtual machine usually hides the "
        "counters, and processors other than Intel's and AMD's have none",
        remedy="On an Intel or AMD machine of your own: `modprobe intel_rapl_msr` as root.",
    )


def _unreadable(zone: Zone, refusal: OSError | ValueError) -> AbsentSource:
    if isinstance(refusal, PermissionError):
        reason = f"{zone.counter} may not be read by this user"
        return AbsentSource(source=RAPL, reason=reason, remedy=PERMISSION_REMEDY)
    return AbsentSource(source=RAPL, reason=f"{zone.counter} cannot be read: {refusal}")
