"""Device trees for the tests of the sensors: the fixtures, and small ones made on the spot."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from profiler.result import AbsentSource
from profiler.sensors.base import Channel, Source

TREES = Path(__file__).parents[1] / "fixtures" / "sysfs"


def write(root: Path, files: Mapping[str, str | bytes]) -> Path:
    """Files below ``root``, which is returned."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else f"{content}\n".encode())
    return root


def found(outcome: Source | AbsentSource) -> Source:
    assert not isinstance(outcome, AbsentSource), outcome
    return outcome


def absent(outcome: Source | AbsentSource) -> AbsentSource:
    assert isinstance(outcome, AbsentSource), outcome
    return outcome


def values(outcome: Source | AbsentSource) -> dict[str, float | None]:
    """One reading of every channel, by ``label/quantity``; the source is closed."""
    source = found(outcome)
    readings = {r.channel.partition("/")[2]: r.value for r in source.read()}
    source.close()
    return readings


def errors(outcome: Source | AbsentSource) -> dict[str, str | None]:
    """What failed, likewise."""
    source = found(outcome)
    readings = {r.channel.partition("/")[2]: r.error for r in source.read() if r.value is None}
    source.close()
    return readings


def channels(outcome: Source | AbsentSource) -> dict[str, Channel]:
    """Channels by ``label/quantity``; the source is closed."""
    source = found(outcome)
    source.close()
    return {channel.key.partition("/")[2]: channel for channel in source.channels}
