"""External meters: a smart plug or a lab meter across the network, in front of the whole device.

- Shelly, second generation and later: ``/rpc/Switch.GetStatus?id=N`` gives ``apower`` in watts and
  ``aenergy.total`` in watt-hours (Shelly API documentation, "Switch").
- Tasmota: ``/cm?cmnd=Status%208`` gives ``StatusSNS.ENERGY.Power`` in watts and ``.Total`` in
  kilowatt-hours (Tasmota documentation, "Commands", "JSON Status Responses").
- any other that serves JSON: where the values are is configured.

An answer that is no such value is a missing reading. Redirects are not followed: a meter that sends
its reader elsewhere is no meter.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple
from urllib.parse import quote

from profiler.errors import InputError
from profiler.result import AbsentSource, EnergyScope
from profiler.sensors.base import Channel, Quantity, Reading
from profiler.sensors.meter_config import (
    Credentials,
    EnergyUnit,
    Meter,
    MeterKind,
    read_credentials,
)
from profiler.sensors.probe import Group, ProbeSource, error_text, plausible_watts
from profiler.sensors.rpi import METER_REMEDY
from profiler.sensors.site import Site
from profiler.sensors.slow import SlowSource

METER = "meter"

_JOULES = {
    EnergyUnit.JOULES: 1.0,
    EnergyUnit.WATT_HOURS: 3600.0,
    EnergyUnit.KILOWATT_HOURS: 3.6e6,
}


class _Question(NamedTuple):
    """What a meter is asked, and where in its answer the values are.

    ``resolution`` is the step of its counter in joules, where the kind of meter fixes it.
    """

    url: str
    power: str | None
    energy: str | None
    unit: EnergyUnit | None
    resolution: float | None = None


def question(meter: Meter, credentials: Credentials | None = None) -> _Question:
    """The URL to get and the paths in the document."""
    if meter.kind is MeterKind.SHELLY:
        url = f"{meter.url}/rpc/Switch.GetStatus?id={meter.switch}"
        return _Question(url, "apower", "aenergy.total", EnergyUnit.WATT_HOURS, 3.6)
    if meter.kind is MeterKind.TASMOTA:
        url = f"{meter.url}/cm?cmnd=Status%208"
        if credentials is not None:
            # Its commands take no other way to log in.
            user, password = (quote(part, safe="") for part in credentials)
            url += f"&user={user}&password={password}"
        power, energy = "StatusSNS.ENERGY.Power", "StatusSNS.ENERGY.Total"
        return _Question(url, power, energy, EnergyUnit.KILOWATT_HOURS, 3600.0)
    return _Question(meter.url, meter.power_path, meter.energy_path, meter.energy_unit)


def parse_answer(body: bytes) -> object:
    """The document.

    Raises:
        ValueError: it is no JSON, or holds NaN or infinity.
    """
    try:
        return json.loads(body, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        shown = body[:40].decode(errors="replace")
        raise ValueError(f"the meter's answer is no JSON: {shown!r}") from error


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no value")


def number_at(document: object, path: str) -> float:
    """The number at ``data.0.power``; one written as a text counts too.

    Raises:
        ValueError: there is none, or it is no finite number.
    """
    found = document
    for part in path.split("."):
        if isinstance(found, dict) and part in found:
            found = found[part]
        elif isinstance(found, list) and part.isdigit() and int(part) < len(found):
            found = found[int(part)]
        else:
            raise ValueError(f"the meter's answer has no {path}")
    try:
        value = math.nan if isinstance(found, bool) else float(found)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{path} is {str(found)[:40]!r}, and no number") from error
    if not math.isfinite(value):
        raise ValueError(f"{path} is {value}")
    return value


def joules_at(document: object, path: str, unit: EnergyUnit) -> float:
    """The counter at ``path`` in joules.

    Raises:
        ValueError: there is none, or it is negative.
    """
    value = number_at(document, path) * _JOULES[unit]
    if not 0 <= value < math.inf:
        raise ValueError(f"{path} is {value:g} J, which is no count")
    return value


class Meters:
    """All meters as one source; each is asked on its own, and none waits for another."""

    def __init__(self, meters: Sequence[SlowSource]) -> None:
        self._meters = tuple(meters)

    @property
    def name(self) -> str:
        return METER

    @property
    def channels(self) -> tuple[Channel, ...]:
        return tuple(channel for meter in self._meters for channel in meter.channels)

    def read(self, only: Collection[Quantity] | None = None) -> list[Reading]:
        """See ``Source.read``."""
        return [reading for meter in self._meters for reading in meter.read(only)]

    def close(self) -> None:
        for meter in self._meters:
            meter.close()


def open_meters(site: Site) -> Meters | AbsentSource:
    """The configured meters. None is asked yet: one that is off now may be on later."""
    if not site.meters:
        return AbsentSource(
            source=METER,
            reason="no external meter is configured",
            remedy=METER_REMEDY,
            expected=False,
        )
    try:
        return Meters([_open(site, meter) for meter in site.meters])
    except InputError as error:
        return AbsentSource(source=METER, reason=str(error), remedy=error.remedy)


def _open(site: Site, meter: Meter) -> SlowSource:
    # HTTP and TLS take their time to import; who has no meter need not wait for them.
    from profiler.sensors.meter_http import get

    file = meter.credentials_file
    credentials = read_credentials(file) if file is not None else None
    asked = question(meter, credentials)
    # Tasmota's are in the URL already.
    login = None if meter.kind is MeterKind.TASMOTA else credentials

    def fetch() -> Sequence[float | str]:
        document = parse_answer(get(asked.url, meter.timeout_seconds, login))
        values: list[float | str] = []
        if asked.power is not None:
            path = asked.power
            values.append(_or_error(lambda: plausible_watts(number_at(document, path))))
        if asked.energy is not None and asked.unit is not None:
            place, unit = asked.energy, asked.unit
            values.append(_or_error(lambda: joules_at(document, place, unit)))
        return values

    group = Group(tuple(_channels(meter, asked)), fetch)
    source = ProbeSource(METER, [group], close=_nothing_open, clock=site.clock)
    return SlowSource(
        source, meter.update_period_seconds, background=site.background, clock=site.clock
    )


def _nothing_open() -> None:
    """Each reading is a connection of its own."""


def _or_error(value: Callable[[], float]) -> float | str:
    try:
        return value()
    except ValueError as error:
        return error_text(error)


def _channels(meter: Meter, asked: _Question) -> list[Channel]:
    power = Channel(
        source=METER,
        label=meter.name,
        quantity=Quantity.POWER,
        scope=EnergyScope.WALL,
        update_period_seconds=meter.update_period_seconds,
        note="all that is plugged into the meter",
    )
    energy = power.model_copy(
        update={"quantity": Quantity.ENERGY, "resolution": asked.resolution}
    )  # fmt: skip
    return [c for c, path in ((power, asked.power), (energy, asked.energy)) if path is not None]
