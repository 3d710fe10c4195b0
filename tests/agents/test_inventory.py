"""What a device says of itself when it registers."""

from __future__ import annotations

from pathlib import Path

import pytest

from agents.device import inventory
from agents.device.inventory import accelerator_driver
from profiler.device.accelerator_users import UNKNOWN, AcceleratorUse

JETSON = Path(__file__).parents[1] / "fixtures" / "sysfs" / "jetson-orin-nano"


@pytest.fixture
def nvidia(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        inventory, "read_accelerator_use", lambda _root: AcceleratorUse("550.54.14", ())
    )


@pytest.mark.usefixtures("nvidia")
def test_the_driver_is_nvidias(tmp_path: Path) -> None:
    assert accelerator_driver(tmp_path) == "550.54.14"


@pytest.mark.usefixtures("nvidia")
def test_on_a_jetson_it_comes_with_the_release(tmp_path: Path) -> None:
    assert accelerator_driver(JETSON) == "L4T 36.3.0"
    release = tmp_path / "etc" / "nv_tegra_release"
    release.parent.mkdir()
    release.write_text("something else")
    assert accelerator_driver(tmp_path) is None


def test_without_one_it_is_not_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inventory, "read_accelerator_use", lambda _root: UNKNOWN)
    assert accelerator_driver(tmp_path) is None
