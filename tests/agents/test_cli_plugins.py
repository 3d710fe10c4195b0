"""Sensors of others, installed for real: a distribution beside us, found by new processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.small_onnx import save_small_onnx

TOP = Path(__file__).parents[2]
# A rail at 30 W that is fine for a while; then reads of it take longer than anything should.
HANGING = """
from time import perf_counter, sleep

from profiler.result import EnergyScope
from profiler.sensors.base import Channel, Quantity, Reading

RAIL = Channel(
    source="hanging", label="rail", quantity=Quantity.POWER, scope=EnergyScope.BOARD,
    update_period_seconds=0.05,
)


class Hanging:
    name = "hanging"
    channels = (RAIL,)

    def __init__(self):
        self.begin = perf_counter()

    def read(self, only=None):
        now = perf_counter()
        # A beat of 50 ms, which can be heard.
        value = 30.0 + (now // 0.05) % 7
        if 2.0 < now - self.begin < 2.5:
            sleep(1.5)
        return [Reading(channel=RAIL.key, seconds=now, value=value)]

    def close(self):
        pass


def open_hanging(site):
    return Hanging()
"""


def install(folder: Path, name: str, source: str, entry: str) -> None:
    """What pip leaves behind: the module, and a folder that names its entry point."""
    (folder / f"{name}.py").write_text(source, encoding="utf-8")
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[fleetmark.sensors]\n{name} = {entry}\n")


def fleetmark(folder: Path, *arguments: str) -> str:
    path = os.pathsep.join([str(folder), str(TOP), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-m", "agents.cli.main", *arguments],
        env={**os.environ, "PYTHONPATH": path, "XDG_CACHE_HOME": str(folder)},
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def example() -> str:
    text = (TOP / "docs" / "sensors.md").read_text(encoding="utf-8")
    return text.partition("```python\n# bench_supply.py\n")[2].partition("```")[0]


def test_the_example_of_the_documentation_is_found_where_it_is_installed(tmp_path: Path) -> None:
    install(tmp_path, "bench_supply", example(), "bench_supply:open_bench_supply")
    found = json.loads(fleetmark(tmp_path, "sensors", "--json", "--seconds", "0"))
    (absent,) = [each for each in found["absent"] if each["source"] == "bench_supply"]
    assert absent["reason"] == "there is no bench supply: its daemon does not run"
    tree = tmp_path / "tree"
    (tree / "run/bench_supply").mkdir(parents=True)
    (tree / "run/bench_supply/watts").write_text("12.5\n")
    found = json.loads(fleetmark(tmp_path, "sensors", "--json", "--root", str(tree)))
    (rail,) = [each for each in found["channels"] if each["source"] == "bench_supply"]
    assert (rail["value"], rail["scope"]) == (12.5, "wall")


def test_a_run_measures_its_rhythm_and_says_that_it_hung(tmp_path: Path) -> None:
    """In workers, which are processes of their own and find it as well."""
    install(tmp_path, "hanging", HANGING, "hanging:open_hanging")
    save_small_onnx(tmp_path / "model.onnx")
    options = ["--max-time", "6", "--repetitions", "1", "--sensor", "hanging", "--json"]
    out = fleetmark(tmp_path, "run", str(tmp_path / "model.onnx"), *options)
    (run,) = json.loads(out)["runs"]
    flags = {flag["name"]: flag for flag in run["flags"]}
    assert "hanging did not answer for up to" in flags["sensor_failed"]["detail"]
    assert run["sampler"]["by_source"][0]["blocked_seconds"] >= 1.0
    figures = [run["energy"]["headline"]] if run["energy"] else []
    for figure in figures:
        assert figure["provenance"]["update_period_basis"] == "measured"
        assert 0.04 < figure["provenance"]["update_period_seconds"] < 0.06
        # What nobody read is not taken for covered.
        assert figure["coverage"] < 1.0
    assert figures or "hanging" in run["energy_reason"]
