"""The parts that every reader is built of: a file kept open, and a source made of probes."""

from __future__ import annotations

import errno
import math
import os
import stat
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Protocol

from profiler.result import AbsentSource
from profiler.sensors.base import Channel, Quantity, Reading

# One page: a sysfs attribute never has more, and what is needed of /proc stands in its first.
_PAGE_BYTES = 4096
# Longer texts are no attribute of a device, whatever they are.
_MAX_TEXT_BYTES = 1 << 20
# The kernel's counters have 64 bits; a longer number is garbage, and may be too long for a float.
_MAX_INTEGER = 1 << 64
# No board of today draws more; a reading above it is a driver's garbage, never a watt.
MAX_PLAUSIBLE_WATTS = 10_000.0
# The answers of a driver that is busy or whose chip missed a transfer: the next read may succeed.
_PASSING = frozenset({errno.EAGAIN, errno.EBUSY, errno.ETIMEDOUT, errno.EREMOTEIO})
# More CPUs than any machine has; a range beyond is garbage, not a list to build.
_MOST_CPUS = 1 << 16


class OpenFile:
    """A file of ``/proc`` or ``/sys`` that is opened once and read again and again.

    A ``pread`` of an open sysfs file takes about 1 µs, opening it each time 17 µs.

    Raises:
        OSError: the file is not there, may not be read, or is a pipe or a device, which may block.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd = _open_regular(path)

    def text(self) -> str:
        """What the file says now, its first 4096 bytes.

        Raises:
            OSError: the driver refused, for instance with ``EAGAIN``.
        """
        return os.pread(self._fd, _PAGE_BYTES, 0).decode("ascii", errors="replace")

    def integer(self) -> int:
        """The one whole number in the file.

        Raises:
            OSError: the driver refused.
            ValueError: the file says something else.
        """
        return parse_integer(self.text())

    def close(self) -> None:
        os.close(self._fd)


def _open_regular(path: Path) -> int:
    """Opening a pipe without a writer would wait for one for ever, hence O_NONBLOCK."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(errno.EINVAL, "is no regular file", str(path))
    return fd


def parse_integer(text: str) -> int:
    """A decimal integer as sysfs prints it.

    Raises:
        ValueError: anything else, an empty text and a number beyond 64 bits included.
    """
    stripped = text.strip()
    digits = stripped.removeprefix("-")
    if not (digits.isascii() and digits.isdigit()):
        raise ValueError(f"{stripped[:40]!r} is no whole number")
    value = int(stripped)
    if abs(value) >= _MAX_INTEGER:
        raise ValueError(f"{stripped[:24]}… is beyond 64 bits")
    return value


def parse_count(text: str) -> int:
    """Like ``parse_integer``, for what cannot be negative.

    Raises:
        ValueError: anything else.
    """
    value = parse_integer(text)
    if value < 0:
        raise ValueError(f"{value} is negative")
    return value


def parse_cpus(text: str) -> tuple[int, ...]:
    """``0-2,5`` → the CPUs; empty for anything that is no such list."""
    cpus: set[int] = set()
    for part in filter(None, text.strip().split(",")):
        first, dash, last = part.partition("-")
        if not _is_cpu(first) or (dash and not _is_cpu(last)):
            return ()
        if not int(first) <= int(last or first) < _MOST_CPUS:
            return ()
        cpus.update(range(int(first), int(last or first) + 1))
    return tuple(sorted(cpus))


def _is_cpu(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= len(str(_MOST_CPUS))


def plausible_watts(value: float) -> float:
    """The value itself, if a device can draw it.

    Raises:
        ValueError: it is negative, no number, or above 10 kW.
    """
    if not 0 <= value <= MAX_PLAUSIBLE_WATTS:
        raise ValueError(f"{value:.6g} W is no power that a device draws")
    return value


@dataclass(frozen=True)
class Probe:
    """One channel and the call that reads it, in the channel's unit."""

    channel: Channel
    fetch: Callable[[], float]


@dataclass(frozen=True)
class Group:
    """Channels that one call reads: a value for each, or the text of what it failed with."""

    channels: tuple[Channel, ...]
    fetch: Callable[[], Sequence[float | str]]


class ProbeSource:
    """A source made of probes.

    Args:
        failures: the exceptions that mean a failed read.
        missing: what a device of this kind could have and this one has not, and why.
    """

    def __init__(
        self,
        name: str,
        probes: Sequence[Probe | Group],
        *,
        close: Callable[[], None],
        failures: tuple[type[Exception], ...] = (OSError, ValueError),
        clock: Callable[[], float] = perf_counter,
        missing: tuple[AbsentSource, ...] = (),
    ) -> None:
        self._name = name
        self.missing = missing
        self._groups = tuple(_as_group(probe) for probe in probes)
        self._close = close
        self._failures = failures
        self._clock = clock

    @property
    def name(self) -> str:
        return self._name

    @property
    def channels(self) -> tuple[Channel, ...]:
        return tuple(channel for group in self._groups for channel in group.channels)

    def read(self, only: Collection[Quantity] | None = None) -> list[Reading]:
        """See ``Source.read``."""
        return [reading for group in self._groups for reading in self._read(group, only)]

    def close(self) -> None:
        self._close()

    def _read(self, group: Group, only: Collection[Quantity] | None) -> list[Reading]:
        wanted = [only is None or c.quantity in only for c in group.channels]
        if not any(wanted):
            return []
        before = self._clock()
        values = self._fetch(group)
        middle = (before + self._clock()) / 2
        pairs = zip(group.channels, values, wanted, strict=True)
        return [_reading(channel, middle, value) for channel, value, want in pairs if want]

    def _fetch(self, group: Group) -> Sequence[float | str]:
        try:
            return group.fetch()
        except self._failures as failure:
            return [error_text(failure)] * len(group.channels)


def _as_group(probe: Probe | Group) -> Group:
    if isinstance(probe, Group):
        return probe
    return Group((probe.channel,), lambda: (probe.fetch(),))


def _reading(channel: Channel, seconds: float, value: float | str) -> Reading:
    if not isinstance(value, str) and not math.isfinite(value):
        value = f"ValueError: {value} is no value"
    if isinstance(value, str):
        return Reading(channel=channel.key, seconds=seconds, value=None, error=value)
    return Reading(channel=channel.key, seconds=seconds, value=value)


def error_text(failure: Exception) -> str:
    """What a failed reading says."""
    return f"{type(failure).__name__}: {failure}"


def close_all(files: Sequence[OpenFile]) -> Callable[[], None]:
    """A ``close`` for a source that reads from these files."""

    def close() -> None:
        for file in files:
            file.close()

    return close


def unique_labels(labels: Sequence[tuple[str, str]]) -> list[str]:
    """Labels of (label, place) pairs, made unique with the place where the kernel repeats one.

    Two rails that shared a key would overwrite each other.
    """
    names = [label for label, _ in labels]
    return [label if names.count(label) == 1 else f"{label}@{place}" for label, place in labels]


class Opener(Protocol):
    """What opens files: a ``Site``."""

    def open(self, path: Path) -> OpenFile: ...


def open_if_readable(
    site: Opener, path: Path, parse: Callable[[str], object], files: list[OpenFile]
) -> OpenFile | None:
    """The open file, also noted in ``files``, if what it says now can be parsed."""
    outcome = open_or_failure(site, path, parse, files)
    return outcome if isinstance(outcome, OpenFile) else None


def open_or_failure(
    site: Opener, path: Path, parse: Callable[[str], object], files: list[OpenFile]
) -> OpenFile | OSError | ValueError:
    """As ``open_if_readable``, with the reason why it is not.

    A driver that says "try again" has the sensor: its file is kept, and read again later.
    """
    try:
        file = site.open(path)
    except OSError as error:
        return error
    try:
        parse(file.text())
    except (OSError, ValueError) as error:
        if not (isinstance(error, OSError) and error.errno in _PASSING):
            file.close()
            return error
    files.append(file)
    return file


def first_line(path: Path) -> str | None:
    """A one-line attribute such as a zone's ``name``, or ``None`` where there is none."""
    try:
        fd = _open_regular(path)
    except OSError:
        return None
    try:
        # All of it: some texts of /proc and configuration files are read this way too.
        with os.fdopen(fd, "rb") as file:
            return file.read(_MAX_TEXT_BYTES).decode(errors="replace").strip() or None
    except OSError:
        return None


def hwmon_chips(root: Path) -> list[tuple[Path, str]]:
    """Every hwmon folder and the name of its chip, in the kernel's order."""
    folders = numbered(root / "sys/class/hwmon", "hwmon")
    return [(folder, name) for folder in folders if (name := first_line(folder / "name"))]


def numbered(folder: Path, prefix: str) -> list[Path]:
    """Entries ``prefix<number>`` in the order of their numbers."""
    found = [p for p in folder.glob(f"{prefix}*") if p.name.removeprefix(prefix).isdigit()]
    return sorted(found, key=lambda p: int(p.name.removeprefix(prefix)))
