"""The parts that every reader is built of: a file kept open, and a source made of probes."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from profiler.sensors.base import Channel, Quantity, Reading

# One page: a sysfs attribute never has more, and what is needed of /proc stands in its first.
_PAGE_BYTES = 4096


class OpenFile:
    """A file of ``/proc`` or ``/sys`` that is opened once and read again and again.

    A ``pread`` of an open sysfs file takes about 1 µs, opening it each time 17 µs.

    Raises:
        OSError: the file is not there or may not be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

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


def parse_integer(text: str) -> int:
    """A decimal integer as sysfs prints it.

    Raises:
        ValueError: anything else, an empty text included.
    """
    stripped = text.strip()
    digits = stripped.removeprefix("-")
    if not (digits.isascii() and digits.isdigit()):
        raise ValueError(f"{stripped[:40]!r} is no whole number")
    return int(stripped)


def parse_count(text: str) -> int:
    """Like ``parse_integer``, for what cannot be negative.

    Raises:
        ValueError: anything else.
    """
    value = parse_integer(text)
    if value < 0:
        raise ValueError(f"{value} is negative")
    return value


@dataclass(frozen=True)
class Probe:
    """One channel and the call that reads it, in the channel's unit."""

    channel: Channel
    fetch: Callable[[], float]


class ProbeSource:
    """A source made of probes; ``failures`` are the exceptions that mean a failed read."""

    def __init__(
        self,
        name: str,
        probes: Sequence[Probe],
        *,
        close: Callable[[], None],
        failures: tuple[type[Exception], ...] = (OSError, ValueError),
        clock: Callable[[], float] = perf_counter,
    ) -> None:
        self._name = name
        self._probes = tuple(probes)
        self._close = close
        self._failures = failures
        self._clock = clock

    @property
    def name(self) -> str:
        return self._name

    @property
    def channels(self) -> tuple[Channel, ...]:
        return tuple(probe.channel for probe in self._probes)

    def read(self, only: Collection[Quantity] | None = None) -> list[Reading]:
        """See ``Source.read``."""
        return [
            self._read(probe)
            for probe in self._probes
            if only is None or probe.channel.quantity in only
        ]

    def close(self) -> None:
        self._close()

    def _read(self, probe: Probe) -> Reading:
        value, error = None, None
        before = self._clock()
        try:
            value = probe.fetch()
        except self._failures as failure:
            error = f"{type(failure).__name__}: {failure}"
        middle = (before + self._clock()) / 2
        return Reading(channel=probe.channel.key, seconds=middle, value=value, error=error)


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


def open_if_readable(
    path: Path, parse: Callable[[str], object], files: list[OpenFile]
) -> OpenFile | None:
    """The open file, also noted in ``files``, if what it says now can be parsed."""
    try:
        file = OpenFile(path)
    except OSError:
        return None
    try:
        parse(file.text())
    except (OSError, ValueError):
        file.close()
        return None
    files.append(file)
    return file


def first_line(path: Path) -> str | None:
    """A one-line attribute such as a zone's ``name``, or ``None`` where there is none."""
    try:
        return path.read_text(errors="replace").strip() or None
    except OSError:
        return None


def numbered(folder: Path, prefix: str) -> list[Path]:
    """Entries ``prefix<number>`` in the order of their numbers."""
    found = [p for p in folder.glob(f"{prefix}*") if p.name.removeprefix(prefix).isdigit()]
    return sorted(found, key=lambda p: int(p.name.removeprefix(prefix)))
