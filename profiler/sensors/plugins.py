"""Sensors of others: Python entry points of the group ``fleetmark.sensors``.

The entry point's name is the source's; what it names is called with a ``Site`` and gives a
``Source`` or an ``AbsentSource``. Whatever goes wrong in it makes that source absent, or a reading
missing, and never ends a run. docs/sensors.md has an example.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from importlib.metadata import EntryPoint, entry_points
from time import perf_counter
from typing import Any

from profiler.result import AbsentSource
from profiler.sensors.base import Channel, Quantity, Reading, Source
from profiler.sensors.probe import error_text
from profiler.sensors.site import Site

GROUP = "fleetmark.sensors"


def installed() -> tuple[EntryPoint, ...]:
    """The entry points on this Python, by name."""
    return tuple(sorted(entry_points(group=GROUP), key=lambda point: point.name))


def open_plugin(site: Site, point: EntryPoint) -> Source | AbsentSource:
    """Load and call an entry point."""
    try:
        source = point.load()(site)
        if isinstance(source, AbsentSource):
            return source
        return GuardedSource(point.name, source)
    except Exception as error:  # noqa: BLE001 - others' code may raise anything
        return AbsentSource(
            source=point.name,
            reason=f"its code failed: {error_text(error)}",
            remedy=f"Ask whoever makes {_origin(point)}, or uninstall it.",
        )


def _origin(point: EntryPoint) -> str:
    return point.dist.name if point.dist is not None else point.value


class GuardedSource:
    """Somebody else's source. A read that raises, or gives nonsense, gives missing readings.

    Raises:
        TypeError: its channels are of another source.
    """

    def __init__(self, name: str, source: Any, clock: Callable[[], float] = perf_counter) -> None:
        self.name = name
        self._source = source
        self._clock = clock
        self.channels: tuple[Channel, ...] = tuple(source.channels)
        for channel in self.channels:
            if channel.source != name:
                raise TypeError(f"a channel is of another source than {name!r}: {channel!r}")
        self._quantities = {channel.key: channel.quantity for channel in self.channels}
        if not self._quantities or len(self._quantities) < len(self.channels):
            raise TypeError("it has no channels, or two of one label and quantity")

    def read(self, only: Collection[Quantity] | None = None) -> list[Reading]:
        """See ``Source.read``."""
        try:
            return [r for r in self._checked(self._source.read(only)) if self._wanted(r, only)]
        except Exception as error:  # noqa: BLE001 - others' code may raise anything
            now = self._clock()
            return [
                Reading(channel=c.key, seconds=now, value=None, error=error_text(error))
                for c in self.channels
                if only is None or c.quantity in only
            ]

    def close(self) -> None:
        self._source.close()

    def _checked(self, readings: Iterable[Any]) -> list[Reading]:
        found = list(readings)
        for reading in found:
            if not isinstance(reading, Reading) or reading.channel not in self._quantities:
                raise TypeError(f"it gave no reading of its channels: {reading!r}")
        return found

    def _wanted(self, reading: Reading, only: Collection[Quantity] | None) -> bool:
        return only is None or self._quantities[reading.channel] in only
