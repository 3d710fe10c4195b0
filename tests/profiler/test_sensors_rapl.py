"""RAPL: zones and scopes, wraps, and the reasons for its absence."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from profiler.result import AbsentSource, EnergyScope
from profiler.sensors.probe import OpenFile, ProbeSource
from profiler.sensors.rapl import UDEV_RULE, find_zones, open_rapl, parse_modulus, scope_of
from profiler.sensors.site import Site

TREES = Path(__file__).parents[1] / "fixtures" / "sysfs"


def opened(outcome: ProbeSource | AbsentSource) -> ProbeSource:
    assert isinstance(outcome, ProbeSource), outcome
    return outcome


def refused(pattern: str) -> Site:
    return Site(root=TREES / "intel-desktop", refused={pattern: errno.EACCES})


def test_zones_keep_the_kernels_names_and_only_whole_ones_have_a_scope() -> None:
    source = opened(open_rapl(Site.at(TREES / "intel-desktop")))
    source.close()
    assert [(c.label, c.scope) for c in source.channels] == [
        ("package-0", EnergyScope.PACKAGE),
        ("package-0:core", None),
        ("package-0:uncore", None),
        ("package-0:dram", None),
        ("psys", EnergyScope.BOARD),
    ]


def test_every_package_has_its_own_core_zone() -> None:
    source = opened(open_rapl(Site.at(TREES / "amd-two-sockets")))
    source.close()
    keys = [channel.key for channel in source.channels]
    assert keys == [
        "rapl/package-0/energy_joules",
        "rapl/package-0:core/energy_joules",
        "rapl/package-1/energy_joules",
        "rapl/package-1:core/energy_joules",
    ]


def test_counters_are_read_in_joules_with_the_modulus_of_their_zone() -> None:
    source = opened(open_rapl(Site.at(TREES / "intel-desktop")))
    package, *_, psys = source.read()
    source.close()
    assert package.value == pytest.approx(81_273.645123)
    assert psys.value == pytest.approx(123_456.789012)
    assert source.channels[0].wraps_at == pytest.approx(262_143.328851, abs=1e-9)
    assert source.channels[3].wraps_at == pytest.approx(65_712.999614, abs=1e-9)


def test_the_counter_counts_zero_too_so_the_modulus_is_one_more() -> None:
    assert parse_modulus("999999\n") == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("text", ["", "0", "-1", "junk", "1.5"])
def test_a_range_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"number|negative|range"):
        parse_modulus(text)


def test_the_mmio_tree_repeats_the_package_and_is_left_out() -> None:
    paths = [zone.path.name for zone in find_zones(TREES / "intel-desktop")]
    assert "intel-rapl:0" in paths
    assert not [path for path in paths if "mmio" in path]


@pytest.mark.parametrize("name", ["core", "uncore", "dram"])
def test_a_part_never_stands_for_a_package(name: str) -> None:
    assert scope_of(name, subzone=True) is None
    assert scope_of(name, subzone=False) is None


def test_a_virtual_machine_is_told_that_it_hides_the_counters() -> None:
    absent = open_rapl(Site.at(TREES / "virtual-machine"))
    assert isinstance(absent, AbsentSource)
    assert "virtual machine" in absent.reason
    assert "intel-rapl:0" in absent.reason


def test_no_permission_names_the_file_and_two_ways_to_get_it() -> None:
    absent = open_rapl(refused("*/energy_uj"))
    assert isinstance(absent, AbsentSource)
    assert "intel-rapl:0/energy_uj may not be read" in absent.reason
    assert absent.remedy is not None
    assert "chmod a+r /sys/class/powercap/intel-rapl:*/energy_uj" in absent.remedy
    assert "/etc/udev/rules.d/" in absent.remedy
    assert "deploy/90-fleetmark-rapl.rules" in absent.remedy
    assert "CAP_PERFMON" in absent.remedy
    assert "CAP_DAC_READ_SEARCH" in absent.remedy


def test_zones_that_may_be_read_remain_when_another_may_not() -> None:
    source = opened(open_rapl(refused("*/intel-rapl:1/energy_uj")))
    source.close()
    labels = [c.label for c in source.channels]
    assert "package-0" in labels
    assert "psys" not in labels


def test_broken_counters_are_absent_with_what_they_say() -> None:
    absent = open_rapl(Site.at(TREES / "broken"))
    assert isinstance(absent, AbsentSource)
    assert absent.reason.endswith("energy_uj cannot be read: '' is no whole number")


@pytest.mark.parametrize("broken", [b"", b"\xff\xfe\x01\n", b"-5\n", b"12 34\n", b"1_0\n"])
def test_a_counter_that_breaks_while_open_is_missing_and_never_zero(
    tmp_path: Path, broken: bytes
) -> None:
    zone = tmp_path / "sys/class/powercap/intel-rapl:0"
    zone.mkdir(parents=True)
    (zone / "name").write_text("package-0\n")
    (zone / "energy_uj").write_text("1000000\n")
    source = opened(open_rapl(Site.at(tmp_path)))
    assert source.channels[0].wraps_at is None
    assert source.read()[0].value == 1.0
    (zone / "energy_uj").write_bytes(broken)
    reading = source.read()[0]
    source.close()
    assert reading.value is None
    assert "ValueError" in (reading.error or "")


def test_a_driver_that_refuses_a_read_gives_a_missing_reading() -> None:
    class Flaky(OpenFile):
        reads = 0

        def text(self) -> str:
            self.reads += 1
            if self.reads > 1:
                raise BlockingIOError(11, "Resource temporarily unavailable")
            return super().text()

    class FlakySite(Site):
        def open(self, path: Path) -> OpenFile:
            return Flaky(path)

    source = opened(open_rapl(FlakySite(root=TREES / "amd-two-sockets")))
    readings = source.read()
    source.close()
    assert [r.value for r in readings] == [None] * 4
    assert "temporarily unavailable" in (readings[0].error or "")


def test_the_rule_that_is_shipped_is_the_one_in_the_documentation() -> None:
    top = Path(__file__).parents[2]
    shipped = (top / "deploy/90-fleetmark-rapl.rules").read_text().splitlines()
    assert [line for line in shipped if not line.startswith("#")] == [UDEV_RULE]
    assert UDEV_RULE in (top / "docs/sensors.md").read_text().splitlines()


def test_the_capability_is_shipped_for_systemd() -> None:
    text = (Path(__file__).parents[2] / "deploy/fleetmark-perfmon.conf").read_text()
    assert "[Service]\nAmbientCapabilities=CAP_PERFMON\n" in text


def test_a_zone_that_may_not_be_read_is_named_beside_those_that_may() -> None:
    source = opened(open_rapl(refused("*/intel-rapl:1/energy_uj")))
    source.close()
    (lacking,) = source.missing
    assert "intel-rapl:1/energy_uj may not be read" in lacking.reason


def test_a_board_that_a_device_tree_describes_is_not_expected_to_have_it() -> None:
    absent = open_rapl(Site.at(TREES / "raspberry-pi-5"))
    assert isinstance(absent, AbsentSource)
    assert absent.expected is False
