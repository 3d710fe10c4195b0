"""What the operating system itself knows: load, memory, clocks, temperatures. Any user may read it.

Sources: ``proc(5)``; ``Documentation/admin-guide/pm/cpufreq.rst`` and
``Documentation/driver-api/thermal/sysfs-api.rst`` of the Linux kernel.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from profiler.result import AbsentSource
from profiler.sensors.base import Channel, Quantity
from profiler.sensors.probe import (
    OpenFile,
    Probe,
    ProbeSource,
    close_all,
    first_line,
    numbered,
    open_if_readable,
    parse_count,
    parse_integer,
    unique_labels,
)
from profiler.sensors.site import Site

SYSTEM = "system"
THERMAL = "thermal"

_KIB = 1024
_CPU_FIELDS = 8


@dataclass(frozen=True)
class CpuTimes:
    """Clock ticks since boot, all CPUs together.

    ``stolen`` is time that the hypervisor gave to others: not idle, and no work of this system.
    """

    busy: int
    idle: int
    stolen: int


def parse_cpu_times(stat: str) -> CpuTimes:
    """The first line of ``/proc/stat``; guest time is in ``user`` already and not counted twice.

    Raises:
        ValueError: the text has no such line.
    """
    name, *fields = stat.partition("\n")[0].split() or [""]
    if name != "cpu" or len(fields) < _CPU_FIELDS:
        raise ValueError(f"no cpu line in {stat[:40]!r}")
    user, nice, system, idle, iowait, irq, softirq, steal = map(parse_count, fields[:_CPU_FIELDS])
    return CpuTimes(busy=user + nice + system + irq + softirq, idle=idle + iowait, stolen=steal)


def utilization(before: CpuTimes, after: CpuTimes) -> float | None:
    """Share of the machine's CPU time that this system worked, 0 to 1; ``None`` if none passed.

    Stolen time is part of the whole but not of the work. The kernel may take back some of
    ``iowait``, so no difference is taken as negative.
    """
    busy = max(0, after.busy - before.busy)
    idle = max(0, after.idle - before.idle)
    stolen = max(0, after.stolen - before.stolen)
    whole = busy + idle + stolen
    return busy / whole if whole else None


@dataclass(frozen=True)
class MemoryState:
    """Bytes of main memory; ``used`` is what is not available to a new process."""

    total: int
    used: int


def parse_meminfo(meminfo: str) -> MemoryState:
    """``MemTotal`` and ``MemTotal - MemAvailable`` of ``/proc/meminfo``.

    Raises:
        ValueError: a field is missing or is no size.
    """
    sizes = {}
    for line in meminfo.splitlines():
        name, _, rest = line.partition(":")
        if name in ("MemTotal", "MemAvailable"):
            sizes[name] = parse_count(rest.removesuffix("kB")) * _KIB
    if len(sizes) != 2:  # noqa: PLR2004 - the two names above
        raise ValueError(f"MemTotal and MemAvailable are not both in {meminfo[:40]!r}")
    total, available = sizes["MemTotal"], sizes["MemAvailable"]
    if available > total:
        raise ValueError(f"{available} bytes are available of {total}")
    return MemoryState(total=total, used=total - available)


class _Utilization:
    """Differences of ``/proc/stat`` from one read to the next."""

    def __init__(self, file: OpenFile) -> None:
        self._file = file
        self._before = parse_cpu_times(file.text())
        self._last: float | None = None

    def __call__(self) -> float:
        now = parse_cpu_times(self._file.text())
        ratio = utilization(self._before, now)
        if ratio is not None:
            self._before, self._last = now, ratio
        if self._last is None:
            raise ValueError("no clock tick has passed since the source was opened")
        # Two reads within one tick: the ratio of the last tick still stands.
        return self._last


def open_system(site: Site) -> ProbeSource | AbsentSource:
    """CPU utilisation, memory and CPU clocks, as far as this kernel shows them."""
    files: list[OpenFile] = []
    probes = [
        *_utilization_probes(site, files),
        *_memory_probes(site, files),
        *_clock_probes(site, files),
    ]
    if not probes:
        root = site.root
        reason = f"neither {root / 'proc/stat'} nor {root / 'proc/meminfo'} can be read"
        return AbsentSource(source=SYSTEM, reason=reason, remedy="mount /proc in this container")
    return ProbeSource(SYSTEM, probes, close=close_all(files))


def _utilization_probes(site: Site, files: list[OpenFile]) -> list[Probe]:
    channel = Channel(source=SYSTEM, label="cpu", quantity=Quantity.UTILIZATION)
    file = open_if_readable(site, site.root / "proc/stat", parse_cpu_times, files)
    return [Probe(channel, _Utilization(file))] if file else []


def _memory_probes(site: Site, files: list[OpenFile]) -> list[Probe]:
    file = open_if_readable(site, site.root / "proc/meminfo", parse_meminfo, files)
    if file is None:
        return []
    used = Channel(source=SYSTEM, label="memory", quantity=Quantity.MEMORY_USED)
    total = Channel(source=SYSTEM, label="memory", quantity=Quantity.MEMORY_TOTAL)
    return [
        Probe(used, lambda: float(parse_meminfo(file.text()).used)),
        Probe(total, lambda: float(parse_meminfo(file.text()).total)),
    ]


def _clock_probes(site: Site, files: list[OpenFile]) -> list[Probe]:
    """One per cpufreq policy: CPUs that share a clock share a policy."""
    probes = []
    for policy in numbered(site.root / "sys/devices/system/cpu/cpufreq", "policy"):
        file = open_if_readable(site, policy / "scaling_cur_freq", parse_count, files)
        if file:
            channel = Channel(source=SYSTEM, label=policy.name, quantity=Quantity.CLOCK)
            probes.append(Probe(channel, _scaled(file, 1000.0, parse_count)))
    return probes


def open_thermal(site: Site) -> ProbeSource | AbsentSource:
    """The kernel's thermal zones, each under the kernel's own type."""
    folder = site.root / "sys/class/thermal"
    files: list[OpenFile] = []
    found: list[tuple[str, str]] = []
    for zone in numbered(folder, "thermal_zone"):
        kind = first_line(zone / "type")
        # A zone whose device is asleep (a wireless card's) answers with an error: no channel.
        if kind and open_if_readable(site, zone / "temp", parse_integer, files):
            found.append((kind, zone.name))
    if not files:
        reason = f"no thermal zone under {folder} can be read; a virtual machine usually has none"
        return AbsentSource(source=THERMAL, reason=reason)
    probes = [_thermal_probe(n, f) for n, f in zip(unique_labels(found), files, strict=True)]
    return ProbeSource(THERMAL, probes, close=close_all(files))


def _thermal_probe(label: str, file: OpenFile) -> Probe:
    channel = Channel(source=THERMAL, label=label, quantity=Quantity.TEMPERATURE)
    return Probe(channel, lambda: file.integer() / 1000.0)


def _scaled(file: OpenFile, factor: float, parse: Callable[[str], int]) -> Callable[[], float]:
    return lambda: parse(file.text()) * factor
