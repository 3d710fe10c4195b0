"""The sensors of an idle device, read once a second; and the counts that rise with them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Collection
from typing import Any

import pytest

from agents.device.telemetry import AgentState, Telemetry
from agents.device.watch import (
    LONGEST_PERIOD_SECONDS,
    MAX_CPU_SHARE,
    PERIOD_SECONDS,
    SensorWatch,
    WatchThread,
    period,
)
from profiler.sensors.base import Channel, Quantity, Reading, ThrottleCause
from profiler.sensors.counts import EnergyCounter, FlagCounter
from profiler.sensors.newest import STALE_SECONDS, Newest, NewestOfSource
from tests.builders import VERSIONS, make_inventory

TEMPERATURE = Channel(source="fake", label="cpu", quantity=Quantity.TEMPERATURE)
ENERGY = Channel(source="fake", label="package-0", quantity=Quantity.ENERGY, wraps_at=1000.0)
THROTTLED = Channel(
    source="fake", label="gpu", quantity=Quantity.THROTTLED, cause=ThrottleCause.HEAT
)
FLAG = Channel(
    source="fake", label="board", quantity=Quantity.THROTTLED_NOW, cause=ThrottleCause.LOW_VOLTAGE
)


class FakeSource:
    """A source that says what it is told to; ``None`` is a failed reading."""

    name = "fake"

    def __init__(self, *channels: Channel) -> None:
        self.channels = channels
        self.values: dict[str, float | None] = {}
        self.now = 100.0
        self.reads = 0
        self.read_once = threading.Event()
        self.broken = False

    def read(self, only: Collection[Quantity] | None = None) -> list[Reading]:
        assert only is None
        self.reads += 1
        self.read_once.set()
        if self.broken:
            raise RuntimeError("the driver is gone")
        return [
            Reading(
                channel=c.key,
                seconds=self.now,
                value=self.values[c.key],
                error=None if self.values[c.key] is not None else "EIO",
            )
            for c in self.channels
            if c.key in self.values
        ]

    def close(self) -> None:
        pass

    def say(self, channel: Channel, value: float | None) -> None:
        self.values[channel.key] = value


def values(watch: SensorWatch) -> dict[str, float | None]:
    return {reading.channel: reading.value for reading in watch.readings().readings}


# --- what is read ----------------------------------------------------------------------------


def test_what_was_read_last_stands_until_it_is_read_again() -> None:
    source = FakeSource(TEMPERATURE)
    watch = SensorWatch([source])
    assert values(watch) == {}
    source.say(TEMPERATURE, 50.0)
    watch.read()
    source.say(TEMPERATURE, 60.0)
    assert values(watch) == {TEMPERATURE.key: 50.0}
    watch.read()
    assert values(watch) == {TEMPERATURE.key: 60.0}
    # A slow source leaves out what has nothing new.
    source.values.clear()
    watch.read()
    assert values(watch) == {TEMPERATURE.key: 60.0}


def test_a_slow_source_that_has_failed_is_no_success_until_it_has_news() -> None:
    source = FakeSource(TEMPERATURE)
    source.say(TEMPERATURE, None)
    watch = SensorWatch([source])
    watch.read()
    source.values.clear()
    watch.read()
    assert [read.failed for read in watch.readings().sensors] == [1]
    source.say(TEMPERATURE, 50.0)
    watch.read()
    assert [read.failed for read in watch.readings().sensors] == [0]


def test_failures_are_counted_and_a_failed_reading_takes_the_place_of_a_good_one() -> None:
    source = FakeSource(TEMPERATURE)
    seconds = iter([0.0, 0.25, 1.0, 1.5])
    watch = SensorWatch([source], clock=lambda: next(seconds))
    (before,) = watch.readings().sensors
    assert (before.failed, before.duration_seconds, before.failed_total) == (None, None, 0)
    source.say(TEMPERATURE, 50.0)
    watch.read()
    source.say(TEMPERATURE, None)
    watch.read()
    (read,) = watch.readings().sensors
    assert (read.failed, read.duration_seconds, read.failed_total) == (1, 0.5, 1)
    assert values(watch) == {TEMPERATURE.key: None}


def test_a_scrape_reads_nothing_and_of_a_busy_device_nothing_old_is_served() -> None:
    source = FakeSource(TEMPERATURE, ENERGY, THROTTLED)
    for channel, value in ((TEMPERATURE, 50.0), (ENERGY, 10.0), (THROTTLED, 2.0)):
        source.say(channel, value)
    now = [100.0]
    watch, state = SensorWatch([source], clock=lambda: now[0]), AgentState()
    telemetry = Telemetry(state, VERSIONS, make_inventory(), watch)
    watch.read()
    idle = telemetry.snapshot()
    assert len(idle.readings) == 3
    assert [each.seconds for each in idle.throttled] == [2.0]
    assert not idle.busy
    state.busy = True
    # A run begins: what was read a moment ago is not old.
    now[0] += STALE_SECONDS - 0.1
    assert telemetry.snapshot().readings == idle.readings
    now[0] += 0.2
    busy = telemetry.snapshot()
    assert (busy.readings, busy.throttled, busy.busy) == ((), (), True)
    assert [each.failed for each in busy.sensors] == [None]
    # What is counted here goes on.
    assert [each.channel for each in busy.energy] == ["package-0"]
    assert source.reads == 1


# --- counts ----------------------------------------------------------------------------------


def joules(*readings: tuple[float, float | None], wraps_at: float | None = 1000.0) -> float:
    counter = EnergyCounter(ENERGY.model_copy(update={"wraps_at": wraps_at}))
    for seconds, value in readings:
        counter.add(Reading(channel=ENERGY.key, seconds=seconds, value=value))
    return counter.total


@pytest.mark.parametrize(
    ("readings", "expected"),
    [
        ([(0.0, 500.0)], 0.0),
        ([(0.0, 500.0), (1.0, 510.0)], 10.0),
        # A wrap.
        ([(0.0, 990.0), (0.5, 10.0)], 20.0),
        # A failed read in between costs nothing.
        ([(0.0, 500.0), (0.3, None), (0.6, 520.0)], 20.0),
        # 1000 J at 1 kW is a second: after a longer pause the counter may have wrapped unseen.
        ([(0.0, 500.0), (1.5, 510.0), (2.0, 515.0)], 5.0),
        # A reset looks like a wrap that no machine could make.
        ([(0.0, 999.0), (0.01, 900.0)], 0.0),
    ],
)
def test_joules_since_the_first_reading(
    readings: list[tuple[float, float | None]], expected: float
) -> None:
    assert joules(*readings) == pytest.approx(expected)


def test_a_counter_that_never_wraps_counts_over_a_run() -> None:
    assert joules((0.0, 100.0), (3600.0, 5100.0), wraps_at=None) == 5000.0
    # It began anew: with the driver, say.
    assert joules((0.0, 100.0), (1.0, 3.0), (2.0, 5.0), wraps_at=None) == 2.0


def test_seconds_of_a_flag() -> None:
    flag = FlagCounter()
    for seconds, value in ((0.0, 1.0), (1.0, 1.0), (2.0, 0.0), (3.0, None), (4.0, 1.0)):
        flag.add(Reading(channel="x", seconds=seconds, value=value))
    assert flag.total == 2.0
    # Over a run nothing was seen: only the last moments of it are taken to be like its end.
    flag.add(Reading(channel="x", seconds=1000.0, value=1.0))
    assert flag.total == 7.0


def test_throttling_by_its_reason_counted_by_the_driver_or_seen() -> None:
    source = FakeSource(THROTTLED, FLAG)
    watch = SensorWatch([source])
    for second in range(4):
        source.now = 100.0 + second
        source.say(THROTTLED, 7.0 + second)
        source.say(FLAG, float(second >= 2))
        watch.read()
    found = {each.reason: each.seconds for each in watch.readings().throttled}
    assert found == {"heat": 10.0, "low_voltage": 2.0}


# --- the thread ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cpu_seconds", "pause"),
    [
        (0.0, PERIOD_SECONDS),
        (MAX_CPU_SHARE / 2, PERIOD_SECONDS),
        (MAX_CPU_SHARE * 3, 3.0),
        (10.0, LONGEST_PERIOD_SECONDS),
    ],
)
def test_slow_sources_are_read_less_often(cpu_seconds: float, pause: float) -> None:
    assert period(cpu_seconds) == pytest.approx(pause)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agents.device.watch.PERIOD_SECONDS", 0.001)
    monkeypatch.setattr("agents.device.watch.MAX_CPU_SHARE", 1.0)


@pytest.mark.usefixtures("quick")
def test_nothing_is_read_while_a_run_is_on_the_device() -> None:
    source, idle = FakeSource(TEMPERATURE), threading.Event()
    source.say(TEMPERATURE, 50.0)
    watch = SensorWatch([source])
    # Before the run.
    watch.read()
    source.read_once.clear()
    thread = WatchThread(watch, idle)
    thread.start()
    try:
        assert not source.read_once.wait(0.1)
        idle.set()
        assert source.read_once.wait(10)
    finally:
        thread.stop()


@pytest.mark.usefixtures("quick")
def test_a_source_that_breaks_is_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    source, idle = FakeSource(TEMPERATURE), threading.Event()
    source.broken = True
    idle.set()
    thread = WatchThread(SensorWatch([source]), idle)
    with caplog.at_level(logging.ERROR):
        thread.start()
        assert source.read_once.wait(10)
        source.read_once.clear()
        assert source.read_once.wait(10)
        thread.stop()
    assert "the driver is gone" in caplog.text


def test_busy_is_the_opposite_of_idle() -> None:
    state: Any = AgentState()
    assert not state.busy
    state.busy = True
    assert not state.idle.is_set()
    state.busy = False
    assert state.idle.is_set()


# --- while a run is measured -------------------------------------------------------------------


class Samplers:
    """What the samplers of runs write, one after the other."""

    def __init__(self) -> None:
        self.newest: Newest | None = None

    def write(
        self, seconds: float, *readings: Reading, failed: int = 0, **counted: float
    ) -> Newest:
        source = NewestOfSource(
            source="fake",
            readings=readings,
            failed=sum(reading.value is None for reading in readings),
            duration_seconds=0.002,
            failed_total=failed,
        )
        keys = {"joules": ENERGY.key, "flag": FLAG.key}
        self.newest = Newest(
            seconds=seconds,
            sources=(source,),
            counted={keys[name]: value for name, value in counted.items()},
            failed={"fake": failed},
        )
        return self.newest

    def __call__(self) -> Newest | None:
        return self.newest


def reading(channel: Channel, seconds: float, value: float | None) -> Reading:
    return Reading(channel=channel.key, seconds=seconds, value=value)


def test_while_a_run_is_measured_its_sampler_is_believed() -> None:
    source, samplers, now = FakeSource(TEMPERATURE, THROTTLED), Samplers(), [100.0]
    source.say(TEMPERATURE, 50.0)
    watch, state = SensorWatch([source], samplers, lambda: now[0]), AgentState()
    telemetry = Telemetry(state, VERSIONS, make_inventory(), watch)
    watch.read()
    state.busy = True
    # It has not begun.
    assert values(watch) == {TEMPERATURE.key: 50.0}
    samplers.write(101.0, reading(TEMPERATURE, 100.9, 71.0), reading(THROTTLED, 100.9, 3.0))
    snapshot = telemetry.snapshot()
    assert {r.channel: r.value for r in snapshot.readings} == {
        TEMPERATURE.key: 71.0, THROTTLED.key: 3.0,
    }  # fmt: skip
    assert [each.seconds for each in snapshot.throttled] == [3.0]
    (sensor,) = snapshot.sensors
    assert (sensor.failed, sensor.duration_seconds) == (0, 0.002)
    # It ended, or hangs: what it said is not of now.
    now[0] = 101.0 + STALE_SECONDS + 0.1
    snapshot = telemetry.snapshot()
    assert (snapshot.readings, snapshot.sensors[0].failed) == ((), None)
    assert source.reads == 1


def test_a_channel_that_only_a_sampler_has_is_not_served() -> None:
    samplers = Samplers()
    watch = SensorWatch([FakeSource(TEMPERATURE)], samplers, lambda: 100.0)
    samplers.write(100.0, reading(THROTTLED, 100.0, 3.0))
    watch.follow()
    assert [channel.key for channel in watch.readings().channels] == [TEMPERATURE.key]
    assert watch.readings().throttled == ()


def test_energy_rises_over_a_run_and_none_of_it_twice() -> None:
    source, samplers = FakeSource(ENERGY), Samplers()
    watch = SensorWatch([source], samplers, lambda: source.now)

    def idle(seconds: float, raw: float) -> float:
        source.now = seconds
        source.say(ENERGY, raw)
        watch.read()
        return watch.readings().energy[0].joules

    def measured(seconds: float, joules: float) -> float:
        samplers.write(seconds, joules=joules)
        watch.follow()
        return watch.readings().energy[0].joules

    assert [idle(100.0, 500.0), idle(100.1, 510.0)] == [0.0, 10.0]
    assert [measured(100.2, 5.0), measured(100.4, 25.0), measured(100.5, 30.0)] == [15, 35, 40]
    # The device's own counter covers the run too, and the moments before and after its sampler.
    assert idle(100.6, 545.0) == 45.0
    # The next run goes on for so long that the counter may have wrapped unseen: what its sampler
    # counted (30 J of it before) is all that is known.
    assert measured(110.0, 230.0) == 245.0
    assert [idle(120.0, 3.0), idle(120.1, 5.0)] == [245.0, 247.0]


def test_the_seconds_of_a_flag_are_counted_over_a_run() -> None:
    """Throttling comes with load: where there is only a flag, it would not be seen else."""
    source, samplers = FakeSource(FLAG), Samplers()
    watch = SensorWatch([source], samplers, lambda: source.now)
    source.say(FLAG, 0.0)
    watch.read()
    samplers.write(130.0, flag=25.0)
    watch.follow()
    assert [each.seconds for each in watch.readings().throttled] == [25.0]
    source.now = 131.0
    watch.read()
    assert [each.seconds for each in watch.readings().throttled] == [25.0]


def test_failed_readings_of_runs_count() -> None:
    source, samplers = FakeSource(TEMPERATURE), Samplers()
    source.say(TEMPERATURE, None)
    watch = SensorWatch([source], samplers, lambda: 100.0)
    watch.read()
    for total in (3, 3, 4):
        samplers.write(100.0, reading(TEMPERATURE, 100.0, None), failed=total)
        watch.follow()
    (read,) = watch.readings().sensors
    assert (read.failed, read.failed_total) == (1, 5)
