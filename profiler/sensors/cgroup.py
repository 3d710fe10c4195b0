"""The control group that this process is in: its memory, and time in which its CPU quota held it.

``Documentation/admin-guide/cgroup-v2.rst`` of the Linux kernel. A container's limits are those of
its group; on a machine without limits the group's memory still tells what else runs in it.
"""

from __future__ import annotations

import re
from pathlib import Path

from profiler.result import AbsentSource
from profiler.sensors.base import Channel, Quantity, ThrottleCause
from profiler.sensors.probe import (
    OpenFile,
    Probe,
    ProbeSource,
    close_all,
    first_line,
    open_if_readable,
    parse_count,
)
from profiler.sensors.site import Site

CGROUP = "cgroup"
LABEL = "cgroup"

_MICRO = 1e-6


def parse_own_group(text: str) -> str | None:
    """``0::/user.slice`` of ``/proc/self/cgroup`` → ``/user.slice``; version 1 has no such line."""
    found = re.search(r"^0::(/.*)$", text, re.MULTILINE)
    return found.group(1) if found else None


def parse_throttled(cpu_stat: str) -> float:
    """Seconds in which the group had used up its quota.

    Raises:
        ValueError: the text has no ``throttled_usec``.
    """
    found = re.search(r"^throttled_usec (\d{1,19})$", cpu_stat, re.MULTILINE)
    if found is None:
        raise ValueError(f"no throttled_usec in {cpu_stat[:40]!r}")
    return int(found.group(1)) * _MICRO


def own_group(root: Path) -> Path | None:
    """The group's folder; in a container it is seen as the root of the tree."""
    name = parse_own_group(first_line(root / "proc/self/cgroup") or "")
    if name is None or ".." in name:
        return None
    return root / "sys/fs/cgroup" / name.strip("/")


def open_cgroup(site: Site) -> ProbeSource | AbsentSource:
    """Memory now and at its highest, and throttled time."""
    folder = own_group(site.root)
    files: list[OpenFile] = []
    probes = _probes(site, folder, files) if folder is not None else []
    if not probes:
        return AbsentSource(
            source=CGROUP,
            reason="this process is in no control group of version 2 that counts memory or CPU",
            expected=False,
        )
    return ProbeSource(CGROUP, probes, close=close_all(files))


def _probes(site: Site, folder: Path, files: list[OpenFile]) -> list[Probe]:
    def channel(quantity: Quantity, cause: ThrottleCause | None = None) -> Channel:
        return Channel(source=CGROUP, label=LABEL, quantity=quantity, cause=cause)

    probes = []
    now = open_if_readable(site, folder / "memory.current", parse_count, files)
    if now:
        probes.append(
            Probe(channel(Quantity.MEMORY_USED), lambda: float(parse_count(now.text())))
        )  # fmt: skip
    peak = open_if_readable(site, folder / "memory.peak", parse_count, files)
    if peak:
        probes.append(
            Probe(channel(Quantity.MEMORY_PEAK), lambda: float(parse_count(peak.text())))
        )  # fmt: skip
    stat = open_if_readable(site, folder / "cpu.stat", parse_throttled, files)
    if stat:
        throttled = channel(Quantity.THROTTLED, ThrottleCause.CPU_QUOTA)
        probes.append(Probe(throttled, lambda: parse_throttled(stat.text())))
    return probes
