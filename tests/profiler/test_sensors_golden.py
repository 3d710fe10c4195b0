"""``fleetmark sensors --json --root TREE`` of every recorded tree, against what is kept of it.

After a change that is meant, ``FLEETMARK_REGENERATE=1 pytest`` of this file writes them anew; then
read the difference.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from agents.cli.main import run
from tests.profiler.sensor_trees import TREES

GOLDEN = TREES.parent / "sensors"
NAMES = sorted(path.name for path in TREES.iterdir() if path.is_dir())


def listing(name: str, capsys: pytest.CaptureFixture[str]) -> str:
    tree = TREES / name
    assert run(["sensors", "--json", "--root", str(tree)]) == 0
    # As on the device itself: where the copy lies is nothing of the tree's.
    text = capsys.readouterr().out.replace(f"{tree}/", "/")
    short = [
        {key: value for key, value in entry.items() if value is not None}
        for entry in json.loads(text)["channels"]
    ]
    return (
        json.dumps({"channels": short, "absent": json.loads(text)["absent"]}, indent=1,
                   ensure_ascii=False)
        + "\n"
    )  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_tree_is_listed_as_before(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FLEETMARK_METERS", raising=False)
    path = GOLDEN / f"{name}.json"
    found = listing(name, capsys)
    if os.environ.get("FLEETMARK_REGENERATE"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(found, encoding="utf-8")
    assert found == path.read_text(encoding="utf-8")


def test_there_are_twelve_kinds_of_device_and_no_golden_without_its_tree() -> None:
    assert len(NAMES) >= 12
    assert sorted(path.stem for path in GOLDEN.iterdir()) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_every_source_is_found_or_absent_with_a_reason(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    data = json.loads(listing(name, capsys))
    told = {c["source"] for c in data["channels"]} | {a["source"] for a in data["absent"]}
    assert told >= {
        "rapl", "rapl_perf", "nvml", "jetson", "hwmon", "rpi", "battery", "meter", "system",
        "thermal", "cooling", "throttle", "pressure", "cgroup",
    }  # fmt: skip
    assert all(a["reason"] for a in data["absent"])


def test_no_value_of_any_tree_is_negative_or_beyond_what_a_device_draws(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in NAMES:
        for entry in json.loads(listing(name, capsys))["channels"]:
            value = entry.get("value")
            assert (value is None) == ("error" in entry), entry
            if entry["quantity"] == "power_watts" and value is not None:
                assert 0 <= value <= 1000, entry


def test_trees_hold_nothing_of_a_real_machine() -> None:
    text = (Path(__file__).parents[1] / "fixtures" / "sysfs" / "README.md").read_text()
    assert "made up" in text
    for name in NAMES:
        assert f"`{name}`" in text
