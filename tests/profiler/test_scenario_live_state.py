"""What the sampler tells a repetition over shared memory, and how the repetition waits for it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from profiler.scenarios.live_state import (
    STALE_SECONDS,
    DeviceState,
    Judge,
    LiveState,
)
from profiler.scenarios.settling import HOLD_SECONDS
from profiler.scenarios.waiting import Waited
from profiler.sensors.base import Channel, Quantity
from profiler.sensors.sampler import Sampler
from profiler.sensors.trace import Series

HEAT = Channel(source="s", label="l", quantity=Quantity.TEMPERATURE)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def in_child(work: Callable[[], None]) -> None:
    pid = os.fork()
    if pid == 0:
        try:
            work()
        finally:
            os._exit(0)
    os.waitpid(pid, 0)


def test_a_verdict_crosses_a_fork_in_both_directions() -> None:
    live = LiveState()
    state = DeviceState(seconds=live._clock(), settled=False, waiting_for=("x rises by 2 °C",))
    assert live.load_began() is None
    assert live.read() is None
    in_child(live.begin_load)
    assert live.load_began() is not None
    in_child(lambda: live.publish(state))
    assert live.read() == state


def test_a_later_verdict_replaces_an_earlier_one_and_stays_until_then() -> None:
    clock = Clock()
    writer = LiveState(clock)
    reader = LiveState(clock)
    reader._page = writer._page
    for settled in (False, True, False):
        writer.publish(DeviceState(seconds=100.0, settled=settled))
        for _ in range(2):
            found = reader.read()
            assert found is not None
            assert found.settled is settled


def test_a_sampler_that_fell_silent_tells_nothing_any_more() -> None:
    clock = Clock()
    live = LiveState(clock)
    in_child(lambda: live.publish(DeviceState(seconds=100.0, settled=False)))
    clock.now += STALE_SECONDS
    assert live.read() is not None
    clock.now += 0.1
    assert live.read() is None


def test_half_a_record_is_not_read_and_the_last_whole_one_counts() -> None:
    clock = Clock()
    writer, reader = LiveState(clock), LiveState(clock)
    reader._page = writer._page
    writer.publish(DeviceState(seconds=100.0, settled=False))
    first = reader.read()
    writer.publish(DeviceState(seconds=100.0, settled=True))
    writer._page[100] ^= 1
    assert reader.read() == first
    writer._page[100] ^= 1
    found = reader.read()
    assert found is not None
    assert found.settled


def test_no_reader_ever_sees_a_mixture_of_two_records() -> None:
    live = LiveState()
    stop, told = os.pipe()

    def write() -> None:
        os.set_blocking(stop, False)
        count = 0
        while True:
            count += 1
            words = tuple(f"{count}" for _ in range(count % 8))
            live.publish(DeviceState(seconds=1e9 + count, settled=False, waiting_for=words))
            try:
                os.read(stop, 1)
            except BlockingIOError:
                continue
            return

    pid = os.fork()
    if pid == 0:
        try:
            write()
        finally:
            os._exit(0)
    seen = set()
    while len(seen) < 300:
        found = live.read()
        if found is not None:
            number = int(found.seconds - 1e9)
            assert found.waiting_for == tuple(f"{number}" for _ in range(number % 8))
            seen.add(number)
    os.write(told, b"x")
    os.waitpid(pid, 0)
    os.close(stop)
    os.close(told)


def test_a_hundred_moving_sensors_fit() -> None:
    live = LiveState(Clock())
    words = tuple(f"{'ä' * 300} {i}" for i in range(100))
    in_child(lambda: live.publish(DeviceState(seconds=100.0, settled=False, waiting_for=words)))
    found = live.read()
    assert found is not None
    assert not found.settled
    assert found.waiting_for


def readings(celsius_per_second: float) -> Callable[[], tuple[Series, ...]]:
    seconds = np.arange(80, 120, 1.0)
    return lambda: (Series(HEAT, seconds, 40 + celsius_per_second * (seconds - 80)),)


def test_the_sampler_judges_once_a_second_and_only_under_load() -> None:
    clock = Clock()
    live = LiveState(clock)
    judge = Judge(live)
    asked: list[float] = []

    def recent() -> tuple[Series, ...]:
        asked.append(clock.now)
        return readings(1.0)()

    judge(recent, 99.0)
    assert asked == []
    clock.now = 85.0
    live.begin_load()
    for tenth in range(26):
        clock.now = 110 + tenth / 10
        judge(recent, clock.now)
    assert asked == pytest.approx([110.0, 111.0, 112.0])


@pytest.mark.parametrize(("pace", "settled"), [(1.0, False), (0.0, True)])
def test_the_verdict_is_that_of_the_readings(pace: float, settled: bool) -> None:
    clock = Clock()
    clock.now = 85.0
    live = LiveState(clock)
    live.begin_load()
    clock.now = 110.0
    in_child(lambda: Judge(live)(readings(pace), 110.0))
    found = live.read()
    assert found is not None
    assert found.settled is settled
    assert bool(found.waiting_for) is not settled


def test_a_device_without_sensors_is_told_as_unknown() -> None:
    clock = Clock()
    live = LiveState(clock)
    live.begin_load()
    in_child(lambda: Judge(live)(tuple, 110.0))
    clock.now = 110.0
    found = live.read()
    assert found is not None
    assert found.unknown == "no clock and no temperature can be read here"


def states(*verdicts: bool | None) -> Waited:
    """A device that gives these verdicts in turn; ``None`` is unknown."""
    left = list(verdicts)

    def device() -> DeviceState:
        verdict = left.pop(0)
        if verdict is None:
            return DeviceState(seconds=0, settled=True, unknown="no sensors")
        return DeviceState(seconds=0, settled=verdict)

    return Waited(device)


HOLD_NS = int(HOLD_SECONDS * 1e9)


def test_it_waits_until_settled_and_while_that_holds() -> None:
    waited = states(False, False, True, True, True)
    assert waited.look(0)
    assert waited.look(10)
    assert waited.look(20)
    assert waited.look(20 + HOLD_NS - 1)
    assert not waited.look(20 + HOLD_NS)


def test_a_lull_begins_the_hold_again() -> None:
    waited = states(True, False, True, True)
    assert waited.look(0)
    assert waited.look(HOLD_NS)
    assert waited.look(HOLD_NS + 1)
    assert waited.look(HOLD_NS + 2)


def test_what_nobody_can_tell_is_not_waited_for() -> None:
    assert not states(None).look(0)
    assert not Waited(None).look(0)
    assert not Waited(lambda: None).look(0)


TREES = Path(__file__).parents[1] / "fixtures" / "sysfs"
DEADLINE_SECONDS = 60.0


def verdict_of(only: tuple[str, ...], tree: str) -> DeviceState:
    """What a real sampler says of a recorded device once there is load."""
    live = LiveState()
    sampler = Sampler.start(only=only, root=TREES / tree, watch=Judge(live))
    try:
        assert sampler.wait_ready(DEADLINE_SECONDS)
        live.begin_load()
        end = time.monotonic() + DEADLINE_SECONDS
        while (found := live.read()) is None:
            assert time.monotonic() < end
            time.sleep(0.01)
    finally:
        sampler.stop(DEADLINE_SECONDS)
    return found


def test_a_real_sampler_tells_what_is_still_waited_for() -> None:
    found = verdict_of(("system", "thermal"), "intel-desktop")
    assert not found.settled
    assert found.unknown is None
    # A source with a thread of its own is among those that are judged.
    assert any(word.startswith("thermal/") for word in found.waiting_for)
    assert all("was not read for" in word for word in found.waiting_for)


def test_a_real_sampler_without_clocks_and_thermometers_says_so() -> None:
    found = verdict_of(("rapl",), "intel-desktop")
    assert found.unknown == "no clock and no temperature can be read here"
