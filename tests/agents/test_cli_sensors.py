"""``fleetmark sensors``: listing, recorded trees, recordings, meters, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agents.cli.main import run
from agents.cli.sensors import reading
from profiler.sensors.base import Quantity
from profiler.sensors.configured import sensor_setup
from profiler.sensors.survey import SurveyedChannel

TREES = Path(__file__).parents[1] / "fixtures" / "sysfs"


def out(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert run(["sensors", *arguments]) == 0
    return capsys.readouterr().out


def test_the_table_shows_labels_scopes_and_values(capsys: pytest.CaptureFixture[str]) -> None:
    text = out(["--root", str(TREES / "jetson-orin-nano")], capsys)
    assert "VDD_CPU_GPU_CV" in text
    assert "module" in text
    assert "6.77824 W" in text
    assert "306 MHz" in text
    assert "41.7 %" in text


def test_what_is_absent_has_its_reason_and_remedy(capsys: pytest.CaptureFixture[str]) -> None:
    text = out(["--root", str(TREES / "raspberry-pi-4")], capsys)
    assert "has no power sensor" in text
    assert "--meters" in text


def test_a_device_is_recorded_and_played_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "device.jsonl"
    tree = ["--root", str(TREES / "jetson-nano-jp4")]
    assert run(["sensors", *tree, "--record", str(file), "--seconds", "0.2"]) == 0
    assert f"replay:{file}" in capsys.readouterr().err
    data = json.loads(out(["--sensor", f"replay:{file}", "--seconds", "0.1", "--json"], capsys))
    (rail,) = [c for c in data["channels"] if c["label"] == "POM_5V_IN"]
    assert (rail["source"], rail["scope"], rail["value"]) == ("jetson", "module", 2.362)
    # What was absent on the device is absent in its recording.
    assert "nvml" in {a["source"] for a in data["absent"]}


def test_only_the_sources_asked_for_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    tree = ["--root", str(TREES / "intel-desktop"), "--json"]
    data = json.loads(out([*tree, "--sensor", "rapl", "--sensor", "thermal"], capsys))
    assert {c["source"] for c in data["channels"]} == {"rapl", "thermal"}
    assert data["absent"] == []


def test_a_meter_that_is_off_is_listed_with_its_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "meters.json"
    meter = {"name": "plug", "kind": "shelly", "url": "http://127.0.0.1:1"}
    file.write_text(json.dumps({"meters": [meter]}))
    found = ["--meters", str(file), "--sensor", "meter", "--seconds", "0", "--json"]
    data = json.loads(out(found, capsys))
    assert {(c["label"], c["scope"], c["value"]) for c in data["channels"]} == {
        ("plug", "wall", None)
    }
    assert "refused" in data["channels"][0]["error"]


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        (["--sensor", "raple"], "sensors"),
        (["--sensor", "replay:/none.jsonl"], "sensor"),
        (["--meters", "/none.toml"], "meters"),
        (["--root", "/none"], "root"),
        (["--seconds", "-1"], "seconds"),
        (["--seconds", "nan"], "seconds"),
        (["--record", "/none/file.jsonl"], "record"),
    ],
)
def test_bad_input_is_refused_before_anything_is_read(
    arguments: list[str], field: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["sensors", *arguments]) == 2
    assert f"{field}: " in capsys.readouterr().err


@pytest.mark.parametrize("option", [["--sensor", "raple"], ["--meters", "/none.toml"]])
def test_run_refuses_them_as_well(option: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["run", "torchvision:squeezenet1_1", *option]) == 2
    assert option[1] in capsys.readouterr().err


def test_a_recordings_path_holds_in_another_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FLEETMARK_METERS", raising=False)
    tree = ["--root", str(TREES / "jetson-nano-jp4")]
    assert run(["sensors", *tree, "--record", "a.jsonl", "--seconds", "0.2"]) == 0
    assert sensor_setup(["replay:a.jsonl"], None).only == (f"replay:{tmp_path / 'a.jsonl'}",)


@pytest.mark.parametrize(
    ("quantity", "value", "text"),
    [
        (Quantity.POWER, 1.5, "1.5 W"),
        (Quantity.MEMORY_USED, 2**30, "1.00 GiB"),
        (Quantity.COOLING, 0.5, "50.0 %"),
        (Quantity.EVENTS, 3, "3"),
        (Quantity.VOLTAGE, 5.1, "5.1 V"),
    ],
)
def test_values_are_shown_with_their_units(quantity: Quantity, value: float, text: str) -> None:
    channel = SurveyedChannel(source="s", label="l", quantity=quantity, value=value)
    assert reading(channel) == text
