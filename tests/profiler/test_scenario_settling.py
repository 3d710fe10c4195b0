"""Whether clocks and temperatures still move."""

from __future__ import annotations

import numpy as np
import pytest

from profiler.scenarios import settling as module
from profiler.scenarios.settling import (
    settled_since,
    settling,
    slope,
    window_seconds,
)
from profiler.sensors.base import Channel, Quantity
from profiler.sensors.trace import Floats, Series

HERTZ = 10


def series(
    values: Floats, quantity: Quantity = Quantity.TEMPERATURE, *, begin: float = 0.0
) -> Series:
    seconds = begin + np.arange(len(values)) / HERTZ
    return Series(Channel(source="s", label="l", quantity=quantity), seconds, values)


def heating(celsius_per_second: float, seconds: float = 60.0, step: float = 0.0) -> Series:
    values = 50 + celsius_per_second * np.arange(int(seconds * HERTZ)) / HERTZ
    return series(np.round(values / step) * step if step else values)


@pytest.mark.parametrize(
    ("pace", "settled"), [(0.0, True), (0.04, True), (0.06, False), (-0.06, False), (1.0, False)]
)
def test_half_a_degree_in_ten_seconds(pace: float, settled: bool) -> None:
    found = settling([heating(pace)], now=60.0, since=0.0)
    assert found.settled is settled
    assert bool(found.waiting_for) is not settled


@pytest.mark.parametrize(
    ("change", "settled"), [(0.0, True), (0.019, True), (0.021, False), (-0.3, False)]
)
def test_two_percent_of_a_clock(change: float, settled: bool) -> None:
    values = 2e9 * np.concatenate([np.ones(500), np.linspace(1, 1 + change, 100)])
    found = settling([series(values, Quantity.CLOCK)], now=60.0, since=0.0)
    # The percentage is of the mean, which a falling clock has below where it began.
    assert found.settled is settled


def test_only_the_last_ten_seconds_count() -> None:
    values = np.concatenate([np.linspace(40, 70, 400), np.full(110, 70.0)])
    assert settling([series(values)], now=51.0, since=0.0).settled
    assert not settling([series(values[:450])], now=45.0, since=0.0).settled


def test_a_governor_that_moves_around_one_clock_has_settled() -> None:
    values = 2e9 + 2e8 * np.sign(np.sin(np.arange(600)))
    assert settling([series(values, Quantity.CLOCK)], now=60.0, since=0.0).settled


def test_a_coarse_thermometer_is_looked_at_for_longer() -> None:
    assert window_seconds(heating(0.01)) == 10
    coarse = heating(0.03, step=1.0)
    assert window_seconds(coarse) == 31
    assert settling([coarse], now=60.0, since=0.0).settled
    assert not settling([heating(0.1, step=1.0)], now=60.0, since=0.0).settled


@pytest.mark.parametrize("offset", range(0, 200, 7))
def test_a_coarse_thermometer_does_not_hide_a_rise(offset: int) -> None:
    trace = heating(0.1, seconds=80.0, step=1.0)
    found = settling([trace], now=60 + offset / HERTZ, since=0.0)
    assert not found.settled


def test_a_thermometer_that_flickers_has_settled() -> None:
    values = 60.0 + (np.random.default_rng(1).random(600) < 0.5)
    assert settling([series(values)], now=60.0, since=0.0).settled


def test_all_of_them_must_have_settled_and_the_moving_one_is_named() -> None:
    still = series(np.full(600, 2e9), Quantity.CLOCK)
    found = settling([still, heating(0.2)], now=60.0, since=0.0)
    assert found.waiting_for == ("s/l/temperature_celsius changes by +2.00 °C in 10 s",)


def test_it_waits_until_the_load_has_lasted_for_a_window() -> None:
    trace = series(np.full(600, 50.0))
    assert not settling([trace], now=60.0, since=55.0).settled
    assert settling([trace], now=60.0, since=49.0).settled


def test_other_quantities_and_silent_sensors_do_not_count() -> None:
    power = series(np.linspace(0, 100, 600), Quantity.POWER)
    silent = series(np.linspace(40, 90, 300))
    found = settling([power, silent], now=60.0, since=0.0)
    assert found.settled
    assert found.unknown is not None


def test_it_settled_for_good_when_the_rise_had_left_the_window() -> None:
    values = np.concatenate([np.linspace(40, 70, 400), np.full(600, 70.0)])
    found = settled_since([series(values)], begin=5.0, end=99.0, since=0.0)
    # The rise ends at 40 s; what is left of it in the window is below the tolerance a little before
    # all of it is.
    assert found is not None
    assert 47 <= found <= 51


def test_a_lull_is_not_the_end() -> None:
    values = np.concatenate([np.full(300, 50.0), np.linspace(50, 60, 100), np.full(300, 60.0)])
    assert settling([series(values)], now=25.0, since=0.0).settled
    found = settled_since([series(values)], begin=0.0, end=69.0, since=0.0)
    assert found is not None
    assert 45 <= found <= 51


def test_what_moves_at_the_end_never_settled() -> None:
    assert settled_since([heating(0.2)], begin=0.0, end=59.0, since=0.0) is None


def test_what_was_settled_all_along_was_so_from_the_begin() -> None:
    assert settled_since([heating(0.0)], begin=15.0, end=59.0, since=0.0) == 15.0


def test_without_clocks_and_thermometers_nothing_ever_settles() -> None:
    power = series(np.full(600, 5.0), Quantity.POWER)
    assert settled_since([power], begin=0.0, end=59.0, since=0.0) is None


def test_a_day_is_judged_at_a_few_hundred_moments(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[float] = []
    judge = module.settling

    def counted(traces: list[Series], now: float, since: float) -> module.Settling:
        asked.append(now)
        return judge(traces, now, since)

    monkeypatch.setattr(module, "settling", counted)
    day = heating(0.0, seconds=86_400.0, step=1.0)
    assert settled_since([day], begin=100.0, end=86_399.0, since=0.0) == 100.0
    assert len(asked) <= 600


def test_a_line_has_its_slope() -> None:
    seconds = np.array([1.0, 2.0, 4.0])
    assert slope(seconds, 3 * seconds + 7) == pytest.approx(3)
    assert slope(np.array([1.0]), np.array([5.0])) == 0
