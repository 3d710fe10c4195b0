"""Pressure stall information: time that tasks of the machine waited for CPU, memory or disks.

``Documentation/accounting/psi.rst`` of the Linux kernel: ``some`` of the tasks, or ``full``, all of
them; ``total`` counts microseconds.
"""

from __future__ import annotations

from collections.abc import Sequence

from profiler.result import AbsentSource
from profiler.sensors.base import Channel, Quantity
from profiler.sensors.probe import (
    Group,
    OpenFile,
    ProbeSource,
    close_all,
    open_if_readable,
    parse_count,
)
from profiler.sensors.site import Site

PRESSURE = "pressure"

_MICRO = 1e-6
_RESOURCES = ("cpu", "memory", "io")


def parse_pressure(text: str) -> dict[str, float]:
    """``some avg10=… total=123`` → seconds by ``some`` and ``full``, as far as they are there.

    Raises:
        ValueError: the text has no such line.
    """
    seconds = {}
    for line in text.splitlines():
        kind, _, rest = line.partition(" ")
        if kind in ("some", "full") and " total=" in rest:
            seconds[kind] = parse_count(rest.rpartition(" total=")[2]) * _MICRO
    if not seconds:
        raise ValueError(f"no total in {text[:40]!r}")
    return seconds


def open_pressure(site: Site) -> ProbeSource | AbsentSource:
    """Counters of the time in which some task, or all of them, waited."""
    files: list[OpenFile] = []
    groups = []
    for resource in _RESOURCES:
        path = site.root / "proc/pressure" / resource
        file = open_if_readable(site, path, parse_pressure, files)
        if file is not None:
            groups.append(_group(resource, file))
    if not groups:
        return AbsentSource(
            source=PRESSURE,
            reason=f"{site.root / 'proc/pressure'} cannot be read: this kernel counts no pressure",
            remedy="Boot with psi=1, where the kernel was built with it",
            expected=False,
        )
    return ProbeSource(PRESSURE, groups, close=close_all(files))


def _group(resource: str, file: OpenFile) -> Group:
    kinds = tuple(parse_pressure(file.text()))

    def fetch() -> Sequence[float | str]:
        now = parse_pressure(file.text())
        return [now.get(kind, f"ValueError: no line {kind}") for kind in kinds]

    channels = tuple(
        Channel(source=PRESSURE, label=f"{resource}:{kind}", quantity=Quantity.STALLED)
        for kind in kinds
    )
    return Group(channels, fetch)
