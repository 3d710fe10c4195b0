"""A sensor that hung, failed or died during a run is named in its result, with what would help."""

from __future__ import annotations

import numpy as np
import pytest

from profiler import flags
from profiler.comparing.comparable import OTHER_FIGURES
from profiler.result import AbsentSource, EnergyScope, SamplerReport, SourceReport
from profiler.sensors.base import Channel, Quantity
from profiler.sensors.health import troubles
from profiler.sensors.trace import Series, Trace

POWER = Channel(source="nvml", label="gpu0", quantity=Quantity.POWER, scope=EnergyScope.BOARD)
HEAT = Channel(source="hwmon", label="wifi", quantity=Quantity.TEMPERATURE)


def series(channel: Channel, good: int, failed: int) -> Series:
    seconds = np.arange(float(good))
    return Series(channel, seconds, seconds, failed, "OSError: GPU is lost" if failed else None)


def trace(*found: Series, blocked: float = 0.0, absent: tuple[AbsentSource, ...] = ()) -> Trace:
    source = SourceReport(
        source="jetson", reads=5, readings=5, failed_readings=0, missed_ticks=0,
        largest_gap_seconds=0.1, longest_read_seconds=blocked, blocked_seconds=2 * blocked,
        cpu_seconds=0.0, own_thread=True,
    )  # fmt: skip
    report = SamplerReport(
        readings=5, failed_readings=0, missed_ticks=0, largest_gap_seconds=0.1, cpu_seconds=0.0,
        cpu_affinity=(), sources=("jetson",), by_source=(source,),
    )  # fmt: skip
    return Trace(series=found, absent=absent, report=report)


def test_sensors_that_answer_raise_no_flag() -> None:
    fine = trace(series(POWER, 100, 0), series(HEAT, 100, 3))
    assert troubles(fine) == ()
    assert flags.sensor_failed(troubles(fine)) is None
    assert troubles(Trace(series=(), absent=(), report=None, lost="killed")) == ()


def test_one_that_died_on_the_way_is_named_with_its_error() -> None:
    flag = flags.sensor_failed(troubles(trace(series(POWER, 60, 40))))
    assert flag is not None
    assert flag.name == "sensor_failed"
    assert flag.detail == (
        "nvml (gpu0): 40 of 100 readings failed, the last with 'OSError: GPU is lost'"
    )
    assert "fleetmark sensors" in flag.advice


def test_one_that_hung_is_named_with_how_long() -> None:
    assert troubles(trace(series(POWER, 9, 0), blocked=3.25)) == (
        "jetson did not answer for up to 3.2 s, 6.5 s in all",
    )


def test_one_that_did_not_open_in_time_is_named_and_one_that_is_not_there_is_not() -> None:
    hangs = AbsentSource(source="hwmon", reason="opening it has not come back", hangs=True)
    usual = AbsentSource(source="rapl", reason="may not be read")
    assert troubles(trace(absent=(hangs, usual))) == ("hwmon: opening it has not come back",)


@pytest.mark.parametrize(("channel", "said"), [(POWER, True), (HEAT, False)])
def test_of_what_never_answered_only_a_source_of_energy_is_missed(
    channel: Channel, *, said: bool
) -> None:
    assert bool(troubles(trace(series(channel, 0, 50)))) is said


def test_it_says_nothing_of_latency_so_comparisons_go_on() -> None:
    assert "sensor_failed" in OTHER_FIGURES
