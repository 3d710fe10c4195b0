"""Sensors of others: the example of the documentation, and every way in which one can be broken."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from profiler.errors import InputError
from profiler.result import AbsentSource, EnergyScope
from profiler.sensors import discover as table
from profiler.sensors.base import Channel, Quantity, Reading
from profiler.sensors.discover import discover, open_sources
from profiler.sensors.plugins import GuardedSource, open_plugin
from profiler.sensors.site import Site

DOCS = Path(__file__).parents[2] / "docs" / "sensors.md"
RAIL = Channel(source="bench", label="rail", quantity=Quantity.POWER, scope=EnergyScope.BOARD)


class Bench:
    """A well-behaved source that tests break."""

    name = "bench"
    channels: tuple[Any, ...] = (RAIL,)

    def __init__(self, site: Site | None = None) -> None:
        self.closed = False

    def read(self, only: Collection[Quantity] | None = None) -> Iterable[Any]:
        return [Reading(channel=RAIL.key, seconds=1.0, value=3.5)]

    def close(self) -> None:
        self.closed = True


def point(monkeypatch: pytest.MonkeyPatch, opener: object, name: str = "bench") -> EntryPoint:
    """An entry point that is installed, as far as the table knows."""
    module = ModuleType("somebodys_sensor")
    module.__dict__["open"] = opener
    monkeypatch.setitem(__import__("sys").modules, "somebodys_sensor", module)
    found = EntryPoint(name=name, value="somebodys_sensor:open", group="fleetmark.sensors")
    monkeypatch.setattr(table, "installed", lambda: (found,))
    return found


def test_an_installed_sensor_is_found_and_read(monkeypatch: pytest.MonkeyPatch) -> None:
    point(monkeypatch, Bench)
    (source,), absent = open_sources(only=("bench",))
    assert absent == []
    assert [r.value for r in source.read()] == [3.5]
    assert source.read({Quantity.ENERGY}) == []
    source.close()
    assert "bench" in {c.source for c in discover().channels}


def test_it_gets_the_site_that_the_others_get(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seen: list[Site] = []

    def opener(site: Site) -> Bench:
        seen.append(site)
        return Bench()

    point(monkeypatch, opener)
    discover(tmp_path, only=("bench",))
    assert seen[0].root == tmp_path


def test_one_that_is_absent_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    point(monkeypatch, lambda _: AbsentSource(source="bench", reason="not plugged in"))
    assert discover(only=("bench",)).absent[0].reason == "not plugged in"


def raises(_: object) -> None:
    raise RuntimeError("boom")


@pytest.mark.parametrize(
    ("opener", "says"),
    [
        (raises, "RuntimeError: boom"),
        (lambda: None, "TypeError"),
        (lambda _: None, "AttributeError"),
        ("not callable", "TypeError"),
    ],
)
def test_a_broken_one_is_absent_with_its_error(
    monkeypatch: pytest.MonkeyPatch, opener: object, says: str
) -> None:
    point(monkeypatch, opener)
    (absent,) = discover(only=("bench",)).absent
    assert says in absent.reason
    assert absent.remedy


def test_one_whose_module_is_gone_is_absent() -> None:
    gone = EntryPoint(name="gone", value="no_such_module:open", group="fleetmark.sensors")
    absent = open_plugin(Site(), gone)
    assert isinstance(absent, AbsentSource)
    assert "ModuleNotFoundError" in absent.reason


@pytest.mark.parametrize(
    "channels",
    [
        (),
        (RAIL, RAIL),
        (RAIL.model_copy(update={"source": "rapl"}),),
        ("rail",),
    ],
)
def test_channels_that_are_none_or_anothers_are_refused(
    monkeypatch: pytest.MonkeyPatch, channels: tuple[Any, ...]
) -> None:
    broken = Bench()
    broken.channels = channels
    point(monkeypatch, lambda _: broken)
    (absent,) = discover(only=("bench",)).absent
    assert "its code failed" in absent.reason


@pytest.mark.parametrize(
    "answer",
    [
        None,
        [1.0],
        [Reading(channel="rapl/package-0/energy_joules", seconds=1.0, value=1.0)],
    ],
)
def test_a_read_that_gives_nonsense_is_a_missing_reading(answer: Any) -> None:
    broken = Bench()
    broken.read = lambda only=None: answer  # type: ignore[method-assign]
    (reading,) = GuardedSource("bench", broken, clock=lambda: 7.0).read()
    assert (reading.value, reading.seconds) == (None, 7.0)
    assert reading.error


def test_a_name_of_ours_is_not_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    point(monkeypatch, Bench, name="system")
    assert {c.source for c in discover(only=("system",)).channels} <= {"system"}


def test_a_name_that_is_not_installed_is_bad_input() -> None:
    with pytest.raises(InputError, match="no sensor source"):
        discover(only=("bench",))


def test_the_example_of_the_documentation_works(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    text = DOCS.read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(# bench_supply\.py\n.*?)```", text, re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(code, "bench_supply.py", "exec"), names)  # noqa: S102 - it is ours
    assert '[project.entry-points."fleetmark.sensors"]' in text
    point(monkeypatch, names["open_bench_supply"], name="bench_supply")
    (absent,) = discover(tmp_path, only=("bench_supply",)).absent
    assert "no bench supply" in absent.reason
    place = tmp_path / "run/bench_supply/watts"
    place.parent.mkdir(parents=True)
    place.write_text("12.5\n")
    (source,), _ = open_sources(tmp_path, only=("bench_supply",))
    assert [r.value for r in source.read()] == [12.5]
    place.write_text("broken\n")
    assert [r.value for r in source.read()] == [None]
    assert source.channels[0].scope is EnergyScope.WALL
    source.close()
