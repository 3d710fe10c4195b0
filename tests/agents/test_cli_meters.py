"""The external meters of a device are read by every command that measures, and by ``profile``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agents.cli.main import run
from profiler import local_run, profile, session
from profiler.comparing import duel
from profiler.errors import InputError
from profiler.events import WorkerRequest
from profiler.forked import call_in_child
from profiler.overhead import measure
from profiler.overhead.plan import OverheadMeasured, OverheadPlan
from profiler.sensors.setup import SensorSetup
from tests.profiler.test_overhead import REQUEST, FakeAdapter
from tests.profiler.test_sensors_meter import SHELLY, Server, body
from tests.small_onnx import save_small_onnx

RESNET = "torchvision:resnet18"


class _Enough(Exception):  # noqa: N818 - it ends a command that has shown what it would measure
    """Nothing is measured here."""


@pytest.fixture
def server() -> Iterator[Server]:
    found = Server()
    found.answer = body(SHELLY)
    yield found
    found.close()


@pytest.fixture
def meters(tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of one meter, which ``FLEETMARK_METERS`` names."""
    path = tmp_path / "meters.json"
    plug = {"name": "plug", "kind": "shelly", "url": server.url}
    path.write_text(json.dumps({"meters": [plug]}), encoding="utf-8")
    monkeypatch.setenv("FLEETMARK_METERS", str(path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return path


def asked_of(monkeypatch: pytest.MonkeyPatch, where: Any, name: str) -> list[WorkerRequest]:
    """What a command hands to ``name``, in place of doing it."""
    found: list[WorkerRequest] = []

    def measured(requests: Any, *_: Any, **__: Any) -> None:
        found.extend(requests if isinstance(requests, list) else [requests])
        raise _Enough

    monkeypatch.setattr(where, name, measured)
    return found


COMMANDS = {
    "run": (["run", RESNET], local_run, "measure"),
    "compare": (["compare", RESNET, RESNET], duel, "measure"),
    "overhead": (["overhead", RESNET], session, "measure_overhead"),
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("option", [False, True])
def test_a_command_reads_the_meters_and_the_sensors_that_are_chosen(
    command: str, *, option: bool, meters: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments, where, name = COMMANDS[command]
    more: list[str] = []
    if option:
        monkeypatch.delenv("FLEETMARK_METERS")
        more = ["--meters", str(meters), "--sensor", "meter", "--sensor", "system"]
    requests = asked_of(monkeypatch, where, name)
    with pytest.raises(_Enough):
        run([*arguments, *more])
    assert requests
    for request in requests:
        assert [meter.name for meter in request.sensors.meters] == ["plug"]
        assert request.sensors.only == (("meter", "system") if option else None)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_file_of_meters_that_is_refused_is_refused_before_anything_runs(
    command: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments, where, name = COMMANDS[command]
    asked_of(monkeypatch, where, name)
    monkeypatch.setenv("FLEETMARK_METERS", str(tmp_path / "gone.toml"))
    assert run(arguments) == 2
    assert "FLEETMARK_METERS" in capsys.readouterr().err


@pytest.mark.parametrize("argument", [False, True])
def test_profile_reads_them_too(
    *, argument: bool, meters: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests = asked_of(monkeypatch, local_run, "measure")
    more: dict[str, Any] = {}
    if argument:
        monkeypatch.delenv("FLEETMARK_METERS")
        more = {"meters": str(meters), "sensors": ["meter"]}
    with pytest.raises(_Enough):
        profile(RESNET, **more)
    (request,) = requests
    assert [meter.name for meter in request.sensors.meters] == ["plug"]
    assert request.sensors.only == (("meter",) if argument else None)


def test_profile_refuses_what_is_no_sensor(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="sensors: 'rappel' is no sensor source"):
        profile(RESNET, sensors=["rappel"])
    with pytest.raises(InputError, match=r"sensors: 'rapl' is one text. Give \['rapl'\]"):
        profile(RESNET, sensors="rapl")
    with pytest.raises(InputError, match=r"meters: .* cannot be read"):
        profile(RESNET, meters=tmp_path / "gone.toml")
    with pytest.raises(InputError, match="only for models that a worker measures"):
        profile(lambda: None, meters=tmp_path / "gone.toml")


def test_the_sampler_whose_cost_is_measured_asks_the_meter(
    meters: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    from profiler.sensors.meter_config import configured_meters

    monkeypatch.setattr(measure, "BLOCK_NS", 10_000_000)
    setup = SensorSetup(only=("meter",), meters=configured_meters(meters))
    plan = OverheadPlan(rounds=2, hertz=100.0, fleet_pids=(), warmup_seconds=0.0, seed=0)
    call_in_child(
        lambda: measure.measure_overhead(
            FakeAdapter(lambda: None), REQUEST, plan, lambda _: None, setup
        ),
        OverheadMeasured,
        "it",
    )
    assert server.asked


def test_a_live_comparison_has_the_meters_joules_of_both(
    tmp_path: Path, meters: Path, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    """The whole way, in workers. The plug's power stands still; its counter does too."""
    for name in ("a", "b"):
        save_small_onnx(tmp_path / f"{name}.onnx")
    options = ["--rounds", "4", "--max-time", "12", "--sensor", "meter", "--json"]
    pair = [str(tmp_path / "a.onnx"), str(tmp_path / "b.onnx")]
    assert run(["compare", *pair, *options]) == 0
    runs = json.loads(capsys.readouterr().out)["runs"]
    assert len(runs) == 2
    assert server.asked
    for each in runs:
        assert each["sampler"]["sources"] == ["meter"]
        energy = each["energy"]
        reason = each["energy_reason"] or ""
        assert energy is not None or "meter/plug" in reason
