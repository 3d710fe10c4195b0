"""What any Linux tells of slowing down: throttle counters, cooling, pressure, control groups."""

from __future__ import annotations

from pathlib import Path

import pytest

from profiler.sensors.base import Quantity, ThrottleCause
from profiler.sensors.cgroup import open_cgroup, own_group, parse_own_group, parse_throttled
from profiler.sensors.pressure import open_pressure, parse_pressure
from profiler.sensors.site import Site
from profiler.sensors.throttle import open_cooling, open_throttle
from tests.profiler.sensor_trees import TREES, absent, channels, errors, values, write

CPU = "sys/devices/system/cpu"
THERMAL = "sys/class/thermal"


def core(cpu: int, package: int, number: int, milliseconds: int) -> dict[str, str | bytes]:
    return {
        f"{CPU}/cpu{cpu}/topology/physical_package_id": str(package),
        f"{CPU}/cpu{cpu}/topology/core_id": str(number),
        f"{CPU}/cpu{cpu}/thermal_throttle/core_throttle_total_time_ms": str(milliseconds),
        f"{CPU}/cpu{cpu}/thermal_throttle/package_throttle_total_time_ms": "9000",
    }


def cooling(number: int, kind: str, state: object, highest: object) -> dict[str, str | bytes]:
    folder = f"{THERMAL}/cooling_device{number}"
    files = {"type": kind, "cur_state": state, "max_state": highest}
    return {f"{folder}/{name}": str(text) for name, text in files.items()}


# --- x86 throttling ----------------------------------------------------------------------------


def test_a_packages_counter_is_read_once_and_each_core_once(tmp_path: Path) -> None:
    # Two threads of core 0, then a core of another package.
    write(tmp_path, core(0, 0, 0, 100) | core(1, 0, 0, 100) | core(2, 0, 1, 50) | core(3, 1, 0, 7))
    assert values(open_throttle(Site.at(tmp_path))) == {
        "package-0/throttled_seconds": 9.0,
        "package-0:cores/throttled_seconds": pytest.approx(0.15),
        "package-1/throttled_seconds": 9.0,
        "package-1:cores/throttled_seconds": pytest.approx(0.007),
    }


def test_time_and_events_are_counters_caused_by_heat() -> None:
    found = channels(open_throttle(Site.at(TREES / "intel-desktop")))
    assert {c.cause for c in found.values()} == {ThrottleCause.HEAT}
    assert {c.quantity for c in found.values()} == {Quantity.THROTTLED, Quantity.EVENTS}


def test_a_processor_without_counters_is_not_expected_to_have_them() -> None:
    assert absent(open_throttle(Site.at(TREES / "raspberry-pi-5"))).expected is False


def test_a_counter_that_breaks_is_missing(tmp_path: Path) -> None:
    write(tmp_path, core(0, 0, 0, 100))
    source = open_throttle(Site.at(tmp_path))
    write(tmp_path, {f"{CPU}/cpu0/thermal_throttle/core_throttle_total_time_ms": "-1"})
    assert list(errors(source)) == ["package-0:cores/throttled_seconds"]


# --- cooling devices ---------------------------------------------------------------------------


def test_a_state_is_a_share_of_the_highest(tmp_path: Path) -> None:
    write(tmp_path, cooling(0, "Processor", 3, 12) | cooling(1, "Processor", 0, 12))
    assert values(open_cooling(Site.at(tmp_path))) == {
        "Processor@cooling_device0/cooling_ratio": 0.25,
        "Processor@cooling_device1/cooling_ratio": 0.0,
    }


@pytest.mark.parametrize(("state", "highest"), [(-1, 50), ("", 5), (1, 0), (1, ""), (1, "x")])
def test_a_device_that_tells_no_share_is_no_channel(
    tmp_path: Path, state: object, highest: object
) -> None:
    write(tmp_path, cooling(0, "fan", state, highest))
    assert absent(open_cooling(Site.at(tmp_path))).expected is False


def test_a_state_above_the_highest_is_missing(tmp_path: Path) -> None:
    write(tmp_path, cooling(0, "fan", 1, 4))
    source = open_cooling(Site.at(tmp_path))
    write(tmp_path, {f"{THERMAL}/cooling_device0/cur_state": "5"})
    assert "above the highest" in str(errors(source)["fan/cooling_ratio"])


# --- pressure ----------------------------------------------------------------------------------

PSI = "some avg10=0.00 avg60=0.00 avg300=0.00 total=2500000\nfull avg10=0.00 total=500000\n"


def test_pressure_is_counted_in_seconds() -> None:
    assert parse_pressure(PSI) == {"some": 2.5, "full": 0.5}


@pytest.mark.parametrize("text", ["", "some avg10=0.00", "some total=-1", "some total=x", "a=1"])
def test_a_text_without_a_total_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"total|number|negative"):
        parse_pressure(text)


def test_a_line_that_goes_missing_is_a_missing_reading(tmp_path: Path) -> None:
    write(tmp_path, {"proc/pressure/io": PSI})
    source = open_pressure(Site.at(tmp_path))
    write(tmp_path, {"proc/pressure/io": "some avg10=0.00 total=7"})
    assert errors(source) == {"io:full/stalled_seconds": "ValueError: no line full"}


def test_a_kernel_without_pressure_says_how_to_get_it(tmp_path: Path) -> None:
    assert "psi=1" in (absent(open_pressure(Site.at(tmp_path))).remedy or "")


# --- control groups ----------------------------------------------------------------------------


def test_the_own_group_is_the_line_of_version_2() -> None:
    assert parse_own_group("12:cpu:/old\n0::/user.slice/a.scope\n") == "/user.slice/a.scope"
    assert parse_own_group("12:cpu:/old\n") is None


def test_a_group_tells_memory_and_throttled_time() -> None:
    assert values(open_cgroup(Site.at(TREES / "intel-desktop"))) == {
        "cgroup/memory_used_bytes": 734_003_200,
        "cgroup/memory_peak_bytes": 912_261_120,
        "cgroup/throttled_seconds": 0.0,
    }


def test_time_of_a_quota_is_not_the_devices() -> None:
    found = channels(open_cgroup(Site.at(TREES / "intel-desktop")))
    assert found["cgroup/throttled_seconds"].cause is ThrottleCause.CPU_QUOTA


@pytest.mark.parametrize("text", ["", "usage_usec 5", "throttled_usec x", "throttled_usec -5"])
def test_a_stat_without_throttled_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="throttled_usec"):
        parse_throttled(text)


def test_throttled_time_is_in_seconds() -> None:
    assert parse_throttled("nr_periods 3\nthrottled_usec 1500000\n") == 1.5


def test_a_name_that_leads_out_of_the_tree_is_none(tmp_path: Path) -> None:
    write(tmp_path, {"proc/self/cgroup": "0::/../../etc"})
    assert own_group(tmp_path) is None
    assert absent(open_cgroup(Site.at(tmp_path))).expected is False
