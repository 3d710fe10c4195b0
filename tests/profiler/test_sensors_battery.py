"""Batteries: a measure of the machine while they discharge, and of nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from profiler.result import EnergyScope
from profiler.sensors.battery import open_battery
from profiler.sensors.site import Site
from tests.profiler.sensor_trees import TREES, absent, channels, found, values, write


def battery(name: str = "BAT0", **files: str) -> dict[str, str | bytes]:
    usual = {"type": "Battery", "status": "Discharging"}
    folder = f"sys/class/power_supply/{name}"
    return {f"{folder}/{key}": text for key, text in (usual | files).items()}


def test_power_is_told_or_voltage_times_current(tmp_path: Path) -> None:
    laptop = open_battery(Site.at(TREES / "laptop-on-battery"))
    assert values(laptop) == {"BAT0/power_watts": pytest.approx(11.52 * 0.812)}
    write(tmp_path, battery(power_now="7500000", voltage_now="1", current_now="1"))
    assert values(open_battery(Site.at(tmp_path))) == {"BAT0/power_watts": 7.5}


def test_it_covers_the_whole_machine() -> None:
    (channel,) = channels(open_battery(Site.at(TREES / "laptop-on-battery"))).values()
    assert channel.scope is EnergyScope.BOARD


def test_the_sign_of_a_current_differs_between_drivers(tmp_path: Path) -> None:
    write(tmp_path, battery(voltage_now="10000000", current_now="-500000"))
    assert values(open_battery(Site.at(tmp_path))) == {"BAT0/power_watts": 5.0}


@pytest.mark.parametrize("status", ["Charging", "Full", "Not charging", "Unknown", ""])
def test_on_the_mains_it_is_no_measure_of_the_machine(tmp_path: Path, status: str) -> None:
    write(tmp_path, battery(power_now="7500000", status=status))
    lacking = absent(open_battery(Site.at(tmp_path)))
    assert "does not discharge" in lacking.reason
    assert "Unplug" in (lacking.remedy or "")


def test_a_charger_plugged_in_meanwhile_makes_readings_missing(tmp_path: Path) -> None:
    write(tmp_path, battery(power_now="7500000"))
    source = found(open_battery(Site.at(tmp_path)))
    write(tmp_path, battery(power_now="30000000", status="Charging"))
    (reading,) = source.read()
    source.close()
    assert reading.value is None
    assert "'Charging'" in (reading.error or "")


def test_two_batteries_give_together_and_one_may_rest(tmp_path: Path) -> None:
    write(tmp_path, battery(power_now="7500000") | battery("BAT1", power_now="2500000"))
    assert values(open_battery(Site.at(tmp_path))) == {"BAT0+BAT1/power_watts": 10.0}
    write(tmp_path, battery("BAT1", power_now="2500000", status="Not charging"))
    assert values(open_battery(Site.at(tmp_path))) == {"BAT0+BAT1/power_watts": 7.5}


def test_a_battery_that_charges_the_other_is_no_measure(tmp_path: Path) -> None:
    write(
        tmp_path, battery(power_now="7500000") | battery("BAT1", power_now="1", status="Charging")
    )
    assert "BAT1 says 'Charging'" in absent(open_battery(Site.at(tmp_path))).reason


@pytest.mark.parametrize("power", ["0", "20000000000"])
def test_a_power_that_no_machine_draws_is_refused(tmp_path: Path, power: str) -> None:
    write(tmp_path, battery(power_now=power))
    assert "W" in absent(open_battery(Site.at(tmp_path))).reason


def test_a_mouses_battery_is_none_and_nobody_misses_one(tmp_path: Path) -> None:
    write(tmp_path, battery("mouse", scope="Device", power_now="1000000"))
    assert absent(open_battery(Site.at(tmp_path))).expected is False


def test_a_battery_that_tells_nothing_says_so(tmp_path: Path) -> None:
    write(tmp_path, battery(capacity="50"))
    assert "neither its power nor its current" in absent(open_battery(Site.at(tmp_path))).reason
