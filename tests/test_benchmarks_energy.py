"""The energy benchmark's scenes and cells; the other tools run where they are installed."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from tests.benchmarks.context import Context
from tests.benchmarks.energy_peers import benchmark, tools
from tests.benchmarks.energy_peers.cases import CASES
from tests.benchmarks.energy_peers.driver import Powercap, nvml
from tests.benchmarks.energy_peers.scene import Refused
from tests.benchmarks.energy_peers.tools import fleetmark


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_our_error_is_within_our_bound_in_every_scene(case: str, seed: int, tmp_path: Path) -> None:
    scene = CASES[case](np.random.default_rng(seed))
    if case == "the same, calls of 100 ms in step with it":
        with pytest.raises(Refused, match="in step"):
            fleetmark(scene, tmp_path)
        return
    found = fleetmark(scene, tmp_path)
    assert found.bound is not None
    # Joules per call of the part that was seen stand for all: calls differ by a little.
    assert abs(found.joules / scene.truth - 1) <= found.bound + 0.01


def test_without_the_other_tools_their_cells_say_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(benchmark, "version", lambda _: None)
    with ExitStack() as stack:
        section = benchmark.run(Context(quick=True, directory=tmp_path, stack=stack, rounds=1))
    assert "zeus is not installed: not run" in section.text
    assert all(row[-2:] == ("not run", "not run") for row in section.tables[0].rows)
    assert len(section.tables[0].rows) == len(CASES)


def test_the_stand_in_for_the_driver_answers_with_the_real_modules_constants() -> None:
    pynvml = pytest.importorskip("pynvml", reason="nvidia-ml-py is not installed")
    scene = CASES["GPU counter of 100 ms, 10 s"](np.random.default_rng(1))
    scene.now = scene.window.end
    with nvml(scene) as module:
        assert module is pynvml
        handle = module.nvmlDeviceGetHandleByIndex(0)
        joules = module.nvmlDeviceGetTotalEnergyConsumption(handle) / 1e3
        assert joules == pytest.approx(scene.joules(), abs=1e-3)
        field = module.nvmlDeviceGetFieldValues(handle, [186])[0]
        assert field.value.uiVal == pytest.approx(250_000, rel=0.01)
    assert pynvml.nvmlDeviceGetCount.__module__ == "pynvml"


def test_the_powercap_tree_is_written_as_time_passes(tmp_path: Path) -> None:
    scene = CASES["RAPL, 10 s"](np.random.default_rng(1))
    tree = Powercap(scene, tmp_path)
    zone = tree.root / "intel-rapl:0"
    counts = []
    for now in (scene.window.start, scene.window.end):
        tree.move_to(now)
        counts.append(int((zone / "energy_uj").read_text()))
    assert (counts[1] - counts[0]) * 1e-6 == pytest.approx(scene.truth, rel=1e-3)
    assert int((zone / "max_energy_range_uj").read_text()) == 262_143_328_850


def test_a_tool_that_is_not_installed_has_no_version() -> None:
    assert tools.version("no-such-distribution") is None
