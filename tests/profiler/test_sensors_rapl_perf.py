"""RAPL by perf events: sysfs texts, the 64-bit counts, and who goes first."""

from __future__ import annotations

import errno
import os
import struct
from pathlib import Path

import pytest

from profiler.result import EnergyScope
from profiler.sensors.discover import discover
from profiler.sensors.rapl_perf import (
    find_events,
    open_rapl_perf,
    parse_event,
    parse_scale,
    perf_event_open,
    read_count,
)
from profiler.sensors.site import Site
from tests.profiler.sensor_trees import TREES, absent, channels, found, values

SCALE = 2.0**-32
SERVER = TREES / "two-socket-server"
DEVICES = "sys/bus/event_source/devices/power"


class Kernel:
    """Opens events as pipes that hold counts; says what was asked for."""

    def __init__(self, count: int = 1 << 32, refuse: int | None = None) -> None:
        self.asked: list[tuple[int, int, int]] = []
        self._count = count
        self._refuse = refuse

    def __call__(self, kind: int, config: int, cpu: int) -> int:
        self.asked.append((kind, config, cpu))
        if self._refuse is not None:
            raise OSError(self._refuse, os.strerror(self._refuse))
        reader, writer = os.pipe()
        os.write(writer, struct.pack("<Q", self._count))
        os.close(writer)
        return reader


@pytest.fixture
def powercap_denied() -> dict[str, int]:
    return {"sys/class/powercap/*/energy_uj": errno.EACCES}


def site(kernel: Kernel, refused: dict[str, int], root: Path = SERVER) -> Site:
    return Site(root=root, recorded=True, refused=refused, perf_open=kernel)


@pytest.mark.parametrize(("text", "number"), [("event=0x02\n", 2), ("event=0x10", 16)])
def test_an_event_is_a_number(text: str, number: int) -> None:
    assert parse_event(text) == number


@pytest.mark.parametrize("text", ["", "event=2", "event=0x02,umask=0x1", "0x02"])
def test_what_is_no_event_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no event"):
        parse_event(text)


def test_the_kernels_scale_is_2_to_the_minus_32() -> None:
    assert parse_scale("2.3283064365386962890625e-10\n") == SCALE


@pytest.mark.parametrize("text", ["", "0", "nan", "inf", "-1e-10", "2", "1e400", "0x1"])
def test_what_is_no_scale_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no scale"):
        parse_scale(text)


def test_only_events_in_joules_are_taken(tmp_path: Path) -> None:
    events = tmp_path / "events"
    events.mkdir()
    for name, unit in (("energy-pkg", "Joules"), ("energy-ram", "mWh")):
        (events / name).write_text("event=0x02\n")
        (events / f"{name}.scale").write_text("1e-3\n")
        (events / f"{name}.unit").write_text(f"{unit}\n")
    assert [event.name for event in find_events(tmp_path)] == ["energy-pkg"]


def test_each_package_is_opened_on_its_own_cpu(powercap_denied: dict[str, int]) -> None:
    kernel = Kernel()
    found_channels = channels(open_rapl_perf(site(kernel, powercap_denied)))
    assert kernel.asked == [(22, 2, 0), (22, 2, 24), (22, 3, 0), (22, 3, 24)]
    assert {key: c.scope for key, c in found_channels.items()} == {
        "package-0/energy_joules": EnergyScope.PACKAGE,
        "package-1/energy_joules": EnergyScope.PACKAGE,
        "package-0:dram/energy_joules": None,
        "package-1:dram/energy_joules": None,
    }


def test_counts_become_joules(powercap_denied: dict[str, int]) -> None:
    kernel = Kernel(count=(1 << 40) + (1 << 31))
    readings = values(open_rapl_perf(site(kernel, powercap_denied)))
    assert readings["package-0/energy_joules"] == 256.5


def test_a_count_that_breaks_off_is_missing(powercap_denied: dict[str, int]) -> None:
    source = found(open_rapl_perf(site(Kernel(), powercap_denied)))
    source.read()
    again = source.read()
    source.close()
    assert {r.value for r in again} == {None}
    assert "0 bytes" in (again[0].error or "")


def test_where_powercap_can_be_read_the_same_counter_is_not_listed_twice() -> None:
    kernel = Kernel()
    lacking = absent(open_rapl_perf(site(kernel, {})))
    assert "that rapl reads" in lacking.reason
    assert kernel.asked == []
    both = discover(Site(root=SERVER, recorded=True, perf_open=kernel))
    assert {c.source for c in both.channels if c.scope is EnergyScope.PACKAGE} == {"rapl"}


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM])
def test_no_permission_tells_the_level_and_both_remedies(
    powercap_denied: dict[str, int], number: int
) -> None:
    root = TREES / "permission-denied"
    lacking = absent(open_rapl_perf(site(Kernel(refuse=number), powercap_denied, root)))
    assert "perf_event_paranoid 4" in lacking.reason
    assert "cap_perfmon" in (lacking.remedy or "")
    assert "kernel.perf_event_paranoid=0" in (lacking.remedy or "")


def test_another_refusal_is_told_as_it_is(powercap_denied: dict[str, int]) -> None:
    kernel = Kernel(refuse=errno.ENODEV)
    assert "No such device" in absent(open_rapl_perf(site(kernel, powercap_denied))).reason


def test_the_platforms_counter_is_one_however_many_packages(
    tmp_path: Path, powercap_denied: dict[str, int]
) -> None:
    events = tmp_path / DEVICES / "events"
    events.mkdir(parents=True)
    for name, text in {"": "event=0x05", ".scale": "1e-3", ".unit": "Joules"}.items():
        (events / f"energy-psys{name}").write_text(f"{text}\n")
    (tmp_path / DEVICES / "type").write_text("22\n")
    (tmp_path / DEVICES / "cpumask").write_text("0,24\n")
    found_channels = channels(open_rapl_perf(site(Kernel(), powercap_denied, tmp_path)))
    assert [c.scope for c in found_channels.values()] == [EnergyScope.BOARD]


def test_nothing_is_opened_for_a_recorded_tree_of_another_machine() -> None:
    refused = {"sys/class/powercap/*/energy_uj": errno.EACCES}
    site = Site(root=SERVER, recorded=True, refused=refused)
    assert "recorded tree" in absent(open_rapl_perf(site)).reason


def test_a_recorded_tree_may_say_that_the_call_was_refused() -> None:
    lacking = absent(open_rapl_perf(Site.at(TREES / "laptop-on-battery")))
    assert "perf_event_paranoid 2" in lacking.reason


def test_a_machine_without_these_events_is_not_expected_to_have_them() -> None:
    assert absent(open_rapl_perf(Site.at(TREES / "raspberry-pi-4"))).expected is False


def test_the_kernels_own_call_is_made_as_the_manual_says() -> None:
    """The software clock counts on every machine, where perf events are allowed at all."""
    software, cpu_clock = 1, 0
    try:
        fd = perf_event_open(software, cpu_clock, 0)
    except OSError as error:
        # No permission, no perf events in this kernel, or a sandbox; not "the struct is wrong".
        assert error.errno in (errno.EACCES, errno.EPERM, errno.ENOENT, errno.ENOSYS)  # noqa: PT017
    else:
        assert read_count(fd) >= 0
        os.close(fd)


def test_an_event_that_does_not_exist_is_refused_by_the_kernel() -> None:
    with pytest.raises(OSError, match=r".") as refused:
        perf_event_open(0x7FFFFFF0, 0, 0)
    assert refused.value.errno not in (errno.E2BIG, errno.EFAULT)
