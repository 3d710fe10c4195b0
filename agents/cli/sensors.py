"""``fleetmark sensors``: what can be measured besides time, live; a device's readings recorded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from time import perf_counter, sleep
from typing import Annotated

import typer

from agents.cli import arguments, show
from profiler import units
from profiler.errors import InputError
from profiler.result import AbsentSource
from profiler.sensors.base import Quantity, Source
from profiler.sensors.configured import sensor_setup
from profiler.sensors.discover import open_sources
from profiler.sensors.rates import OFF_BEAT
from profiler.sensors.replay import Recorder
from profiler.sensors.rhythm import listen
from profiler.sensors.site import HERE, Site
from profiler.sensors.survey import Survey, SurveyedChannel, survey

LIST_SECONDS = 1.0
RECORD_SECONDS = 10.0
# As fast as a run reads the counters of GPUs, and as they are, off their beat.
RECORD_PERIOD_SECONDS = 0.1 * OFF_BEAT

_SYMBOLS = {
    Quantity.POWER: "W",
    Quantity.POWER_LIMIT: "W",
    Quantity.ENERGY: "J",
    Quantity.TEMPERATURE: "°C",
    Quantity.VOLTAGE: "V",
    Quantity.CLOCK: "Hz",
    Quantity.THROTTLED: "s",
    Quantity.STALLED: "s",
}
_BYTES = frozenset({Quantity.MEMORY_USED, Quantity.MEMORY_TOTAL, Quantity.MEMORY_PEAK})


def sensors(
    record: Annotated[
        Path | None, typer.Option(help="Write this device's readings to a file, for --sensor.")
    ] = None,
    seconds: Annotated[
        float | None,
        typer.Option(help="How long to look, or to record. Default: 1, or 10 to record."),
    ] = None,
    sensor: arguments.Sensors = None,
    meters: arguments.Meters = None,
    root: Annotated[
        Path | None, typer.Option(help="Read a recorded tree of /proc and /sys instead.")
    ] = None,
    as_json: arguments.AsJson = False,
) -> None:
    """List what this machine can measure besides time, and why not the rest.

    \b
    Examples:
      fleetmark sensors
      fleetmark sensors --json
      fleetmark sensors --meters meters.toml
      fleetmark sensors --record idle.jsonl --seconds 60
      fleetmark sensors --sensor replay:idle.jsonl
    """
    if seconds is not None and not 0 <= seconds <= 86_400:  # noqa: PLR2004 - a day
        raise InputError("seconds", seconds, "is no time to look", "Write 1, up to 86400")
    if root is not None and not root.is_dir():
        raise InputError("root", root, "is no directory", "Name a folder that holds proc and sys")
    setup = sensor_setup(sensor, meters)
    sources, absent = open_sources(Site.at(root or HERE, setup.meters), setup.only)
    try:
        if record is not None:
            _record(record, sources, absent, RECORD_SECONDS if seconds is None else seconds)
            return
        # Nothing in a recorded tree changes.
        usual = LIST_SECONDS if root is None else 0.0
        found = survey(sources, absent, usual if seconds is None else seconds)
    finally:
        for source in sources:
            source.close()
    if as_json:
        show.json_out(found)
    else:
        _print(found)


def _record(
    path: Path, sources: Sequence[Source], absent: Sequence[AbsentSource], seconds: float
) -> None:
    if not sources:
        raise InputError(
            "record", path, "has nothing to record", "See `fleetmark sensors` for what is absent"
        )
    try:
        file = path.open("w", encoding="utf-8")
    except OSError as error:
        raise InputError(
            "record", path, f"cannot be written: {error.strerror}", "Name another file"
        ) from error
    with file:
        heard = [r for source in sources for r in listen(source, clock=perf_counter, pause=sleep)]
        start = perf_counter()
        recorder = Recorder(file, sources, absent, start, heard)
        ticks = 0
        while (due := ticks * RECORD_PERIOD_SECONDS) <= seconds:
            sleep(max(0.0, start + due - perf_counter()))
            for source in sources:
                recorder.add(source.read())
            ticks += 1
    show.note(f"recorded {seconds:g} s to {path}; play it with --sensor replay:{path}")


def _print(found: Survey) -> None:
    if found.channels:
        show.grid(
            ("source", "label", "what", "now", "scope", "new value every", "note"),
            [_row(channel) for channel in found.channels],
            "found",
        )
    if found.absent:
        # What this kind of device could have comes first.
        absent = sorted(found.absent, key=lambda each: not each.expected)
        show.grid(
            ("source", "why", "what would help"),
            [(a.source, a.reason, a.remedy or "") for a in absent],
            "absent",
        )


def _row(channel: SurveyedChannel) -> tuple[str, ...]:
    measured, stated = channel.measured_update_period_seconds, channel.update_period_seconds
    if measured is not None:
        period = f"{units.seconds(measured)} (measured)"
    else:
        period = f"{units.seconds(stated)} (stated)" if stated is not None else ""
    quality = f"{channel.quality}: " if channel.quality else ""
    return (
        channel.source,
        channel.label,
        channel.quantity.value.rpartition("_")[0].replace("_", " "),
        reading(channel),
        channel.scope or "",
        period,
        f"{quality}{channel.note or ''}",
    )


def reading(channel: SurveyedChannel) -> str:
    """The value with its unit, or why there is none."""
    value = channel.value
    if value is None:
        return f"{units.NOTHING} {channel.error or ''}"
    if channel.quantity in _BYTES:
        return units.bytes_(value)
    if channel.quantity in (Quantity.UTILIZATION, Quantity.COOLING):
        return units.percent(value)
    if channel.quantity is Quantity.CLOCK:
        return f"{value / 1e6:.0f} MHz"
    return f"{value:.6g} {_SYMBOLS.get(channel.quantity, '')}".rstrip()
