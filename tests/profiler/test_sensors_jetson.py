"""Jetson: which rail is a total, which are parts, and what a driver's garbage becomes."""

from __future__ import annotations

from pathlib import Path

import pytest

from profiler.device.power_mode import power_mode
from profiler.result import EnergyScope
from profiler.sensors.base import Quantity, ThrottleCause
from profiler.sensors.jetson import is_jetson, open_jetson
from profiler.sensors.site import Site
from tests.profiler.sensor_trees import TREES, absent, channels, errors, found, values, write

TEGRA = {"proc/device-tree/compatible": "nvidia,p3768\0nvidia,tegra234\0"}


def hwmon_rail(label: str, millivolts: object, milliamperes: object) -> dict[str, str | bytes]:
    return {
        "sys/class/hwmon/hwmon1/name": "ina3221",
        "sys/class/hwmon/hwmon1/in1_label": label,
        "sys/class/hwmon/hwmon1/in1_input": str(millivolts),
        "sys/class/hwmon/hwmon1/curr1_input": str(milliamperes),
    }


def scopes(tree: str) -> dict[str, EnergyScope | None]:
    return {
        c.label: c.scope
        for c in channels(open_jetson(Site.at(TREES / tree))).values()
        if c.quantity is Quantity.POWER
    }


def test_a_rail_is_millivolts_times_milliamperes() -> None:
    readings = values(open_jetson(Site.at(TREES / "jetson-orin-nano")))
    assert readings["VDD_IN/power_watts"] == pytest.approx(4.984 * 1.360)
    assert readings["gpu/utilization_ratio"] == pytest.approx(0.417)
    assert readings["17000000.gpu/clock_hertz"] == 305_999_872
    assert readings["oc3/events_total"] == 37


def test_only_the_module_input_has_a_scope_and_labels_are_the_kernels() -> None:
    # Mistake 3 of other tools: VDD_CPU_GPU_CV taken for the CPU, rails added to their own input.
    assert scopes("jetson-orin-nano") == {
        "VDD_IN": EnergyScope.MODULE,
        "VDD_CPU_GPU_CV": None,
        "VDD_SOC": None,
    }
    assert scopes("jetson-xavier-nx")["VDD_IN"] is EnergyScope.MODULE
    assert scopes("jetson-nano-jp4") == {
        "POM_5V_IN": EnergyScope.MODULE,
        "POM_5V_GPU": None,
        "POM_5V_CPU": None,
    }


def test_a_board_without_a_module_input_has_no_total_and_says_so() -> None:
    assert set(scopes("jetson-agx-orin").values()) == {None}
    assert "NC" not in scopes("jetson-agx-orin")
    source = found(open_jetson(Site.at(TREES / "jetson-agx-orin")))
    source.close()
    (lacking,) = source.missing  # type: ignore[attr-defined]
    assert "VIN_SYS_5V0" in lacking.reason
    assert "not added up" in lacking.reason
    assert "external meter" in (lacking.remedy or "").lower()


def test_jetpack_4_gives_milliwatts() -> None:
    readings = values(open_jetson(Site.at(TREES / "jetson-nano-jp4")))
    assert readings["POM_5V_IN/power_watts"] == pytest.approx(2.362)
    assert readings["gpu/utilization_ratio"] == pytest.approx(0.123)


def test_the_sum_of_shunt_voltages_is_no_rail() -> None:
    labels = scopes("jetson-orin-nano")
    assert "sum of shunt voltages" not in labels
    assert len(labels) == 3


def test_two_chips_whose_rails_share_a_name_do_not_overwrite_each_other(tmp_path: Path) -> None:
    second = {k.replace("hwmon1", "hwmon2"): v for k, v in hwmon_rail("VDD", 5000, 200).items()}
    write(tmp_path, TEGRA | hwmon_rail("VDD", 5000, 100) | second)
    assert values(open_jetson(Site.at(tmp_path))) == {
        "VDD@hwmon1/power_watts": 0.5,
        "VDD@hwmon2/power_watts": 1.0,
    }


def test_the_chips_own_interval_is_the_update_period(tmp_path: Path) -> None:
    rail = hwmon_rail("VDD_IN", 5000, 100)
    write(tmp_path, TEGRA | rail | {"sys/class/hwmon/hwmon1/update_interval": "35"})
    (channel,) = channels(open_jetson(Site.at(tmp_path))).values()
    assert channel.update_period_seconds == pytest.approx(0.035)


@pytest.mark.parametrize(
    ("millivolts", "milliamperes"),
    [("", 100), ("junk", 100), (5000, -40), (5000, 10**12), (10**30, 1), ("\xff\xfe", 1)],
)
def test_garbage_in_a_rails_file_is_a_missing_reading(
    tmp_path: Path, millivolts: object, milliamperes: object
) -> None:
    write(tmp_path, TEGRA | hwmon_rail("VDD_IN", millivolts, milliamperes))
    assert list(errors(open_jetson(Site.at(tmp_path)))) == ["VDD_IN/power_watts"]


def test_over_current_events_have_their_causes() -> None:
    found_channels = channels(open_jetson(Site.at(TREES / "jetson-orin-nano")))
    causes = {c.label: c.cause for c in found_channels.values() if c.cause}
    assert causes == {
        "oc1": ThrottleCause.LOW_VOLTAGE,
        "oc2": ThrottleCause.OVER_CURRENT,
        "oc3": ThrottleCause.OVER_CURRENT,
    }


def test_a_load_above_100_percent_is_missing(tmp_path: Path) -> None:
    write(tmp_path, TEGRA | {"sys/devices/gpu.0/load": "1001"})
    assert "load of 100" in str(errors(open_jetson(Site.at(tmp_path)))["gpu/utilization_ratio"])


def test_a_jetson_without_a_readable_chip_says_what_would_help(tmp_path: Path) -> None:
    write(tmp_path, TEGRA)
    lacking = absent(open_jetson(Site.at(tmp_path)))
    assert "INA3221" in lacking.reason
    assert "modprobe" in (lacking.remedy or "")


def test_the_power_mode_of_the_same_tree_is_read() -> None:
    mode = power_mode(TREES / "jetson-orin-nano")
    assert (mode.text, mode.highest) == ("nvpmodel 15W", True)


def test_elsewhere_nobody_misses_it() -> None:
    lacking = absent(open_jetson(Site.at(TREES / "intel-desktop")))
    assert lacking.expected is False


def test_the_marker_of_nvidias_releases_tells_too(tmp_path: Path) -> None:
    assert not is_jetson(tmp_path)
    assert is_jetson(write(tmp_path, {"etc/nv_tegra_release": "# R32"}))
