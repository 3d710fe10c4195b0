"""hwmon: units, labels, scopes, and every way in which a file can be broken."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from profiler.result import EnergyScope
from profiler.sensors.hwmon import open_hwmon
from profiler.sensors.site import Site
from tests.profiler.sensor_trees import TREES, absent, channels, errors, found, values, write

HWMON = "sys/class/hwmon/hwmon0"


def chip(**files: str) -> dict[str, str | bytes]:
    return {f"{HWMON}/{name}": text for name, text in ({"name": "chip"} | files).items()}


def test_units_and_names_are_the_kernels() -> None:
    readings = values(open_hwmon(Site.at(TREES / "amd-desktop")))
    assert readings["amdgpu:PPT:average/power_watts"] == 23.0
    assert readings["k10temp:Tctl/temperature_celsius"] == pytest.approx(45.125)
    # Two memory modules with one name.
    assert {key for key in readings if key.startswith("spd5118")} == {
        "spd5118:temp1@hwmon2/temperature_celsius", "spd5118:temp1@hwmon3/temperature_celsius"
    }  # fmt: skip


def test_energy_is_a_counter_in_microjoules(tmp_path: Path) -> None:
    write(tmp_path, chip(name="amd_energy", energy1_input="5000000", energy1_label="Esocket0",
                         energy2_input="7", energy2_label="Ecore000"))  # fmt: skip
    source = open_hwmon(Site.at(tmp_path))
    scopes = {key: c.scope for key, c in channels(source).items()}
    assert scopes == {
        "amd_energy:Esocket0/energy_joules": EnergyScope.PACKAGE,
        "amd_energy:Ecore000/energy_joules": None,
    }
    assert values(open_hwmon(Site.at(tmp_path)))["amd_energy:Esocket0/energy_joules"] == 5.0


def test_only_documented_chips_have_a_scope(tmp_path: Path) -> None:
    write(tmp_path, chip(name="ina226", power1_input="1000000"))
    assert [c.scope for c in channels(open_hwmon(Site.at(tmp_path))).values()] == [None]
    meter = channels(open_hwmon(Site.at(TREES / "two-socket-server")))
    assert meter["power_meter:power1:average/power_watts"].scope is EnergyScope.BOARD
    assert meter["power_meter:power1:average/power_watts"].averaging_seconds == 1.0


def test_what_other_sources_read_is_left_to_them() -> None:
    for tree in ("jetson-orin-nano", "raspberry-pi-5"):
        assert absent(open_hwmon(Site.at(TREES / tree))).expected is False
    laptop = channels(open_hwmon(Site.at(TREES / "laptop-on-battery")))
    assert not [key for key in laptop if key.startswith("BAT0")]


def test_a_thermal_zone_is_not_listed_twice() -> None:
    desktop = channels(open_hwmon(Site.at(TREES / "intel-desktop")))
    assert not [key for key in desktop if key.startswith("acpitz")]
    assert "coretemp:Package id 0/temperature_celsius" in desktop


def test_try_again_is_a_failed_read_of_a_sensor_that_is_there() -> None:
    failed = errors(open_hwmon(Site.at(TREES / "broken-driver")))
    assert "temporarily unavailable" in str(failed["ina226:power1/power_watts"])


@pytest.mark.parametrize(
    "content", ["", "junk", "-1", "9" * 4000, "10000000001", "1.5", "\x00\xff", "nan"]
)
def test_what_is_no_power_is_named_as_absent(tmp_path: Path, content: str) -> None:
    write(tmp_path, chip(power1_input=content))
    lacking = absent(open_hwmon(Site.at(tmp_path)))
    assert "power1_input cannot be read" in lacking.reason


@pytest.mark.parametrize("content", ["", "-1", "9" * 4000, "junk"])
def test_what_becomes_no_power_later_is_a_missing_reading(tmp_path: Path, content: str) -> None:
    write(tmp_path, chip(power1_input="5000000"))
    source = found(open_hwmon(Site.at(tmp_path)))
    assert [r.value for r in source.read()] == [5.0]
    (tmp_path / HWMON / "power1_input").write_text(content)
    (reading,) = source.read()
    source.close()
    assert reading.value is None
    assert reading.error


def test_a_pipe_in_a_files_place_blocks_nobody(tmp_path: Path) -> None:
    write(tmp_path, chip())
    os.mkfifo(tmp_path / HWMON / "power1_input")
    os.mkfifo(tmp_path / HWMON / "temp1_input")
    lacking = absent(open_hwmon(Site.at(tmp_path)))
    assert "is no regular file" in lacking.reason


def test_a_file_that_vanishes_between_listing_and_opening_is_absent(tmp_path: Path) -> None:
    class Vanishing(Site):
        def open(self, path: Path):  # type: ignore[no-untyped-def]  # noqa: ANN202
            path.unlink(missing_ok=True)
            return super().open(path)

    write(tmp_path, chip(power1_input="5000000", temp1_input="40000"))
    lacking = absent(open_hwmon(Vanishing(root=tmp_path)))
    assert "power1_input cannot be read" in lacking.reason


def test_no_permission_is_said_with_the_remedy() -> None:
    source = found(open_hwmon(Site.at(TREES / "permission-denied")))
    source.close()
    (lacking,) = source.missing  # type: ignore[attr-defined]
    assert "may not be read by this user" in lacking.reason
    assert "chmod" in (lacking.remedy or "")


@pytest.mark.parametrize("content", ["-274000", "2147483647", "junk", ""])
def test_a_temperature_that_is_none_is_no_channel(tmp_path: Path, content: str) -> None:
    write(tmp_path, chip(temp1_input=content, power1_input="1"))
    assert list(channels(open_hwmon(Site.at(tmp_path)))) == ["chip:power1/power_watts"]
