"""Load, memory, clocks and temperatures: texts of /proc, then whole device trees."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiler.result import AbsentSource
from profiler.sensors.base import Quantity, Reading
from profiler.sensors.probe import ProbeSource
from profiler.sensors.site import Site
from profiler.sensors.system import (
    CpuTimes,
    open_system,
    open_thermal,
    parse_cpu_times,
    parse_meminfo,
    utilization,
)

TREES = Path(__file__).parents[1] / "fixtures" / "sysfs"

STAT = "cpu  10 20 30 400 50 6 7 80 9 1\ncpu0 1 2 3 4 5 6 7 8 9 1\n"


def by_key(readings: list[Reading]) -> dict[str, float | None]:
    return {reading.channel: reading.value for reading in readings}


def opened(outcome: ProbeSource | AbsentSource) -> ProbeSource:
    assert isinstance(outcome, ProbeSource), outcome
    return outcome


def test_cpu_times_count_guests_once_and_keep_stolen_time_apart() -> None:
    assert parse_cpu_times(STAT) == CpuTimes(busy=10 + 20 + 30 + 6 + 7, idle=450, stolen=80)


@pytest.mark.parametrize("text", ["", "cpu 1 2 3", "cpu0 1 2 3 4 5 6 7 8", "cpu 1 2 x 4 5 6 7 8"])
def test_a_stat_without_a_cpu_line_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"cpu line|whole number"):
        parse_cpu_times(text)


def test_stolen_time_lowers_utilization_like_idle_time() -> None:
    before = CpuTimes(busy=100, idle=100, stolen=100)
    assert utilization(before, CpuTimes(busy=130, idle=150, stolen=120)) == pytest.approx(0.3)
    assert utilization(before, CpuTimes(busy=100, idle=100, stolen=150)) == 0.0


def test_no_time_passed_is_no_utilization() -> None:
    same = CpuTimes(busy=1, idle=2, stolen=3)
    assert utilization(same, same) is None


TICKS = st.integers(0, 10**9)
TIMES = st.builds(CpuTimes, busy=TICKS, idle=TICKS, stolen=TICKS)


@given(TIMES, TIMES)
def test_utilization_is_a_ratio_even_when_counters_step_back(
    before: CpuTimes, after: CpuTimes
) -> None:
    ratio = utilization(before, after)
    assert ratio is None or 0.0 <= ratio <= 1.0


def test_used_memory_is_what_is_not_available() -> None:
    state = parse_meminfo("MemTotal: 1000 kB\nMemFree: 10 kB\nMemAvailable: 600 kB\n")
    assert (state.total, state.used) == (1_024_000, 409_600)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "MemTotal: 1000 kB\n",
        "MemTotal: lots kB\nMemAvailable: 1 kB\n",
        "MemTotal: 1 kB\nMemAvailable: 2 kB\n",
        "MemTotal: -1 kB\nMemAvailable: 1 kB\n",
    ],
)
def test_half_a_meminfo_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"MemTotal|number|available|negative"):
        parse_meminfo(text)


def test_a_desktop_shows_memory_and_every_clock_in_hertz() -> None:
    source = opened(open_system(Site.at(TREES / "intel-desktop")))
    values = by_key(source.read())
    source.close()
    assert values.pop("system/cpu/utilization_ratio") is None
    assert values == {
        "system/memory/memory_used_bytes": 4_000_000 * 1024,
        "system/memory/memory_total_bytes": 16_303_428 * 1024,
        "system/policy0/clock_hertz": 3_400_000_000,
        "system/policy1/clock_hertz": 3_401_000_000,
        "system/policy2/clock_hertz": 3_402_000_000,
        "system/policy10/clock_hertz": 3_410_000_000,
    }


def test_utilization_before_the_first_tick_is_missing_and_then_follows_the_file(
    tmp_path: Path,
) -> None:
    stat = tmp_path / "proc" / "stat"
    stat.parent.mkdir()
    stat.write_text("cpu 100 0 0 100 0 0 0 0\n")
    source = opened(open_system(Site.at(tmp_path)))
    (first,) = source.read()
    assert first.value is None
    assert "no clock tick" in (first.error or "")
    stat.write_text("cpu 130 0 0 110 0 0 0 0\n")
    assert source.read()[0].value == pytest.approx(0.75)
    # Within the same tick the last ratio stands; it does not become 0.
    assert source.read()[0].value == pytest.approx(0.75)
    source.close()


def test_a_file_that_breaks_while_open_is_a_missing_reading_and_the_others_go_on(
    tmp_path: Path,
) -> None:
    proc = tmp_path / "proc"
    proc.mkdir()
    (proc / "stat").write_text("cpu 100 0 0 100 0 0 0 0\n")
    (proc / "meminfo").write_text("MemTotal: 4 kB\nMemAvailable: 1 kB\n")
    source = opened(open_system(Site.at(tmp_path)))
    (proc / "meminfo").write_text("")
    (proc / "stat").write_text("cpu 101 0 0 100 0 0 0 0\n")
    load, used, total = source.read()
    source.close()
    assert load.value == 1.0
    assert used.value is None
    assert total.value is None
    assert "ValueError" in (used.error or "")


def test_only_the_quantities_asked_for_are_read() -> None:
    source = opened(open_system(Site.at(TREES / "intel-desktop")))
    (reading,) = source.read(only={Quantity.MEMORY_TOTAL})
    source.close()
    assert reading.channel == "system/memory/memory_total_bytes"


@pytest.mark.parametrize("tree", ["broken", "amd-two-sockets"])
def test_without_a_usable_proc_the_system_is_absent_and_says_so(tree: str) -> None:
    absent = open_system(Site.at(TREES / tree))
    assert isinstance(absent, AbsentSource)
    assert "proc/stat" in absent.reason


def test_zones_keep_the_kernels_type_and_repeated_types_do_not_collide() -> None:
    source = opened(open_thermal(Site.at(TREES / "intel-desktop")))
    values = by_key(source.read())
    source.close()
    # iwlwifi_1 sleeps: it has no temperature and is no channel.
    assert values == {
        "thermal/acpitz@thermal_zone0/temperature_celsius": 27.8,
        "thermal/acpitz@thermal_zone1/temperature_celsius": 16.8,
        "thermal/x86_pkg_temp/temperature_celsius": 54.0,
    }


def test_frost_is_a_temperature(tmp_path: Path) -> None:
    zone = tmp_path / "sys/class/thermal/thermal_zone0"
    zone.mkdir(parents=True)
    (zone / "type").write_text("outdoor\n")
    (zone / "temp").write_text("-4500\n")
    source = opened(open_thermal(Site.at(tmp_path)))
    assert source.read()[0].value == -4.5
    source.close()


@pytest.mark.parametrize("tree", ["broken", "virtual-machine"])
def test_no_readable_zone_is_an_absent_source_with_a_reason(tree: str) -> None:
    absent = open_thermal(Site.at(TREES / tree))
    assert isinstance(absent, AbsentSource)
    assert "no thermal zone" in absent.reason


def test_a_reading_is_stamped_midway(tmp_path: Path) -> None:
    ticks = iter([10.0, 14.0])
    source = opened(open_thermal(Site.at(TREES / "intel-desktop")))
    timed = ProbeSource("t", source._groups[:1], close=source.close, clock=lambda: next(ticks))
    assert timed.read()[0].seconds == 12.0
    timed.close()
