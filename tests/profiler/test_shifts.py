"""Random pauses between blocks, where calls keep in step with a sensor."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from profiler import flags, timed_part
from profiler.blocks import TimedBlocks
from profiler.contention import Counters
from profiler.energy.figures import looks_every
from profiler.result import EnergyScope
from profiler.sensors.base import Channel, Quantity
from profiler.shifts import LONGEST_SECONDS, Shifts, shifts_for
from tests.fake_model import default_plan, run


def test_calls_that_keep_in_step_with_a_sensor_are_shifted_and_others_are_not() -> None:
    assert shifts_for(0.05, [0.1], 0) is not None
    assert shifts_for(0.073, [0.1], 0) is None
    assert shifts_for(0.05, [], 0) is None


def test_pauses_are_random_bounded_counted_and_repeatable() -> None:
    seen: list[list[float]] = []
    for _ in range(2):
        slept: list[float] = []
        shifts = Shifts(7, slept.append)
        for _ in range(100):
            shifts()
        assert shifts.seconds == pytest.approx(sum(slept))
        seen.append(slept)
    assert seen[0] == seen[1]
    assert 0 <= min(seen[0]) < 0.01
    assert 0.09 < max(seen[0]) <= LONGEST_SECONDS


def test_a_pause_lies_between_blocks_and_in_no_iteration() -> None:
    now = 0

    def call() -> None:
        nonlocal now
        now += 50_000_000

    def pause() -> None:
        nonlocal now
        now += 70_000_000

    def counters() -> Counters:
        return Counters(run_delay_ns=0, steal_ns=0, pressure_ns=0, involuntary_switches=0)

    blocks = TimedBlocks(call, None, pause=pause, counters=counters, clock=lambda: now)
    blocks.run(2.0, lambda _: False)
    assert {end - start for start, end in blocks.stamps} == {50_000_000}
    gaps = [b[0] - a[1] for a, b in zip(blocks.stamps, blocks.stamps[1:], strict=False)]
    assert set(gaps) == {0, 70_000_000}


def test_a_repetition_in_step_with_a_sensor_says_how_long_it_paused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def in_step(call: float, looks: tuple[float, ...], seed: int) -> Shifts:
        assert call >= 0.001
        assert looks == (0.02,)
        return Shifts(seed, lambda _: None)

    monkeypatch.setattr(timed_part, "shifts_for", in_step)
    plan = default_plan(tmp_path / "r.npz").model_copy(
        update={"budget_seconds": 1.2, "looks_every_seconds": (0.02,)}
    )
    found = run(plan, lambda: time.sleep(0.001))
    assert found.shifted_seconds > 0
    flag = flags.sensor_resonance(found.shifted_seconds)
    assert flag is not None
    assert "net" in flag.advice
    calm = run(plan.model_copy(update={"looks_every_seconds": ()}), lambda: time.sleep(0.001))
    assert calm.shifted_seconds == 0
    assert flags.sensor_resonance(calm.shifted_seconds) is None


def channel(quantity: Quantity, period: float | None, seen: float | None = None) -> Channel:
    return Channel(
        source="s",
        label="x",
        quantity=quantity,
        scope=EnergyScope.BOARD,
        update_period_seconds=period,
        averaging_seconds=seen,
    )


def test_sensors_that_do_not_see_all_of_the_time() -> None:
    channels = [
        channel(Quantity.POWER, 0.1),
        channel(Quantity.POWER, 0.1, 0.025),
        channel(Quantity.POWER, 0.2, 1.0),
        channel(Quantity.ENERGY, 0.3),
        channel(Quantity.ENERGY, 0.4, 0.1),
        channel(Quantity.POWER, None),
    ]
    assert looks_every(channels) == (0.1, 0.4)
