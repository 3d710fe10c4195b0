"""Joules from counters and from polled power, against a simulated sensor whose truth is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from profiler.energy import measure, summarise_energy
from profiler.integrate import (
    Missing,
    WindowEnergy,
    counter_energy,
    observed_period,
    power_energy,
    unwrap,
)
from profiler.result import AbsentSource, EnergyFigure, EnergyQuality, EnergyScope
from profiler.sensors.base import Channel, Quantity
from profiler.sensors.trace import Floats, Series, Trace

WRAP = 262_143.328851


def floats(*values: float) -> Floats:
    return np.array(values, dtype=np.float64)


def found(outcome: WindowEnergy | Missing) -> WindowEnergy:
    assert isinstance(outcome, WindowEnergy), outcome
    return outcome


def figure(outcome: EnergyFigure | Missing) -> EnergyFigure:
    assert isinstance(outcome, EnergyFigure), outcome
    return outcome


def missing(outcome: object) -> str:
    assert isinstance(outcome, Missing), outcome
    return outcome.reason


@dataclass(frozen=True)
class Load:
    """True power as steps: ``watts[i]`` from ``starts[i]`` on."""

    starts: Floats
    watts: Floats

    def joules(self, at: Floats | float) -> Floats:
        """Energy since the first start."""
        knots = np.append(self.starts, self.starts[-1] + 1e6)
        energy = np.concatenate([[0.0], np.cumsum(self.watts * np.diff(knots))])
        return np.asarray(np.interp(at, knots, energy), dtype=np.float64)

    def between(self, start: float, end: float) -> float:
        return float(self.joules(end) - self.joules(start))


def held(seconds: Floats, period: float) -> Floats:
    """When a sensor that updates every ``period`` seconds last did so."""
    return np.asarray(np.floor(seconds / period) * period, dtype=np.float64)


def counter_series(
    load: Load, seconds: Floats, *, period: float = 0.001, wraps_at: float | None = None
) -> Series:
    joules = load.joules(held(seconds, period))
    return Series(
        Channel(
            source="rapl",
            label="package-0",
            quantity=Quantity.ENERGY,
            scope=EnergyScope.PACKAGE,
            update_period_seconds=period,
            wraps_at=wraps_at,
        ),
        seconds,
        joules if wraps_at is None else joules % wraps_at,
    )


def power_series(load: Load, seconds: Floats, *, period: float = 0.1) -> Series:
    at = held(seconds, period)
    watts = load.watts[np.searchsorted(load.starts, at, side="right") - 1]
    channel = Channel(
        source="nvml",
        label="gpu0",
        quantity=Quantity.POWER,
        scope=EnergyScope.ACCELERATOR,
        update_period_seconds=period,
    )
    return Series(channel, seconds, watts)


# Steps of at least half a second: slower than the sampler, as a workload's phases are.
LOADS = st.lists(
    st.tuples(st.floats(0.5, 3.0), st.floats(1.0, 300.0)), min_size=2, max_size=20
).map(
    lambda steps: Load(
        starts=np.concatenate([[-10.0], np.cumsum([width for width, _ in steps])[:-1]]),
        watts=np.array([watts for _, watts in steps]),
    )
)
JITTER = st.lists(st.floats(0.0, 0.04), min_size=250, max_size=250)


def ticks(jitter: Sequence[float]) -> Floats:
    return np.arange(250) * 0.1 + np.array(jitter)


# Counters.


@given(LOADS, JITTER, st.floats(1.0, 8.0), st.floats(2.0, 15.0))
def test_a_counters_joules_are_within_the_uncertainty_that_is_printed(
    load: Load, jitter: list[float], start: float, length: float
) -> None:
    series = counter_series(load, ticks(jitter))
    window = (start, start + length)
    got = found(counter_energy(series.seconds, series.values, window, update_period=0.001))
    assert abs(got.joules - load.between(*window)) <= got.uncertainty_joules + 1e-6


@given(LOADS, JITTER, st.floats(1.0, 8.0), st.floats(2.0, 15.0))
def test_so_are_those_of_a_counter_as_slow_as_the_sampler(
    load: Load, jitter: list[float], start: float, length: float
) -> None:
    series = counter_series(load, ticks(jitter), period=0.1)
    window = (start, start + length)
    got = found(counter_energy(series.seconds, series.values, window, update_period=0.1))
    assert abs(got.joules - load.between(*window)) <= got.uncertainty_joules + 1e-6


def test_a_step_of_the_load_between_two_readings_at_an_edge_is_covered() -> None:
    load = Load(floats(-10.0, 5.02), floats(10.0, 300.0))
    series = counter_series(load, np.arange(0, 20, 0.1))
    # From 5.0 to 5.1 the counter tells a mean of 242 W; from 5.02 on it was 300 W.
    window = (5.02, 6.0)
    got = found(counter_energy(series.seconds, series.values, window, update_period=0.001))
    error = abs(got.joules - load.between(*window))
    assert 4.0 < error <= got.uncertainty_joules


def test_a_reset_before_the_window_does_not_reach_into_it() -> None:
    every = np.arange(0, 20, 0.1) + 1e-6
    seconds = every[(every < 3) | (every > 5.25)]
    at = held(seconds, 0.5)
    values = np.where(seconds < 4, 1000 + 50 * at, 50 * (at - 5))
    got = found(counter_energy(seconds, values, (5.4, 15.4), update_period=0.5))
    assert got.joules == pytest.approx(500.0, rel=1e-4)


def test_at_steady_power_the_edges_cost_two_updates() -> None:
    load = Load(floats(-10.0), floats(50.0))
    series = counter_series(load, np.arange(0, 20, 0.1) + 1e-9, period=0.1)
    got = found(counter_energy(series.seconds, series.values, (5.0, 15.0), update_period=0.1))
    assert got.uncertainty_joules / got.joules == pytest.approx(0.02, rel=1e-3)


@given(
    st.lists(st.floats(0.0, 900.0), min_size=1, max_size=200),
    st.floats(0.0, WRAP - 1),
    st.floats(1000.0, WRAP),
)
@example([900.0] * 200, WRAP - 1, 1000.0)
def test_unwrapping_gives_back_the_line_that_was_wrapped(
    steps: list[float], begin: float, modulus: float
) -> None:
    line = begin + np.concatenate([[0.0], np.cumsum(steps)])
    seconds = np.arange(len(line)) * 0.1
    result = unwrap(seconds, line % modulus, modulus)
    assert not result.broken.any()
    np.testing.assert_allclose(result.joules, line - line[0], atol=1e-6)


def test_a_wrap_within_the_window_costs_no_joule() -> None:
    load = Load(floats(-10.0), floats(150.0))
    seconds = np.arange(0, 20, 0.1)
    values = (WRAP - 1500 + load.joules(seconds) - load.joules(0.0)) % WRAP
    assert (np.diff(values) < 0).sum() == 1
    got = found(counter_energy(seconds, values, (5.0, 15.0), update_period=0.001, wraps_at=WRAP))
    assert got.joules == pytest.approx(1500.0)


def test_a_failed_read_adds_no_range() -> None:
    # Taken as 0 it would be a step back and then a whole range; left out it is nothing.
    load = Load(floats(-10.0), floats(100.0))
    seconds = np.delete(np.arange(0, 20, 0.1), [70, 71, 99])
    values = (load.joules(seconds) + 5000.0) % WRAP
    got = found(counter_energy(seconds, values, (5.0, 15.0), update_period=0.001, wraps_at=WRAP))
    assert got.joules == pytest.approx(1000.0)
    assert got.largest_gap_seconds == pytest.approx(0.3)
    assert got.coverage == 1.0


@pytest.mark.parametrize("wraps_at", [None, WRAP])
def test_a_counter_that_is_reset_has_no_joules_in_that_window_alone(
    wraps_at: float | None,
) -> None:
    seconds = np.arange(0, 20, 0.1)
    values = np.where(seconds < 10.05, 1000 + 50 * seconds, 50 * (seconds - 10.0))
    reset = counter_energy(seconds, values, (5.0, 15.0), update_period=0.001, wraps_at=wraps_at)
    assert "the counter was reset" in missing(reset)
    later = counter_energy(seconds, values, (12.0, 18.0), update_period=0.001, wraps_at=wraps_at)
    assert found(later).joules == pytest.approx(300.0)


def test_a_counter_unread_for_longer_than_a_wrap_may_take_has_none() -> None:
    seconds = np.concatenate([np.arange(0, 5, 0.1), np.arange(100, 105, 0.1)])
    values = 50 * seconds
    broken = counter_energy(seconds, values, (1.0, 104.0), update_period=0.001, wraps_at=WRAP)
    assert "may have wrapped unseen" in missing(broken)
    whole = counter_energy(seconds, values, (1.0, 104.0), update_period=0.001)
    assert found(whole).joules == pytest.approx(5150.0)


def test_a_counter_that_stands_still_is_no_zero() -> None:
    seconds = np.arange(0, 20, 0.1)
    outcome = counter_energy(
        seconds, np.full(200, 7.0), (5.0, 15.0), update_period=0.001, wraps_at=WRAP
    )
    assert missing(outcome) == "the counter stood still at 7 J"


@pytest.mark.parametrize("window", [(-5.0, -1.0), (30.0, 40.0)])
def test_a_window_without_readings_has_none(window: tuple[float, float]) -> None:
    seconds = np.arange(0, 20, 0.1)
    values = 50 * seconds + 1
    assert "not read" in missing(counter_energy(seconds, values, window, update_period=0.1))
    watts = np.full(200, 5.0)
    assert "not read" in missing(power_energy(seconds, watts, window, update_period=0.1))


def test_one_reading_is_no_difference() -> None:
    outcome = counter_energy(floats(5.0), floats(1.0), (1.0, 9.0), update_period=0.1)
    assert "not read" in missing(outcome)


def test_a_counter_seen_to_move_once_has_no_rhythm() -> None:
    seconds = np.arange(0, 20, 0.1)
    values = np.where(seconds < 10.05, 5.0, 6.0)
    outcome = counter_energy(seconds, values, (5.0, 15.0), update_period=0.1)
    assert missing(outcome) == "the counter moved only once"


def test_a_window_that_begins_before_the_readings_is_extended_and_says_so() -> None:
    seconds = np.arange(1.0, 20, 0.1)
    got = found(counter_energy(seconds, 50 * seconds, (0.0, 10.0), update_period=0.001))
    assert got.joules == pytest.approx(500.0)
    assert got.coverage == pytest.approx(0.9)
    assert got.uncertainty_joules >= 50.0


# Polled power.


def test_constant_power_is_not_zero() -> None:
    # Readings that repeat are readings: 10 s at 42 W are 420 J.
    seconds = np.arange(0, 20, 0.1)
    got = found(power_energy(seconds, np.full(200, 42.0), (5.0, 15.0), update_period=0.1))
    assert got.joules == pytest.approx(420.0)
    assert got.uncertainty_joules / got.joules == pytest.approx(0.02)
    assert got.coverage == 1.0


@given(
    st.floats(0.5, 500.0),
    st.floats(0.0, 5.0),
    st.floats(0.5, 100.0),
    st.lists(st.floats(0.01, 30.0), min_size=2, max_size=60),
)
def test_constant_power_is_power_times_time_however_it_was_sampled(
    watts: float, start: float, length: float, pauses: list[float]
) -> None:
    seconds = np.cumsum(pauses)
    outcome = power_energy(
        seconds, np.full(len(seconds), watts), (start, start + length), update_period=0.1
    )
    if isinstance(outcome, Missing):
        assert not ((seconds > start) & (seconds < start + length)).any()
    else:
        assert outcome.joules == pytest.approx(watts * length)
        assert 0.0 <= outcome.coverage <= 1.0


@given(LOADS, JITTER, st.floats(1.0, 8.0), st.floats(5.0, 15.0))
def test_polled_joules_are_within_the_uncertainty_that_is_printed(
    load: Load, jitter: list[float], start: float, length: float
) -> None:
    series = power_series(load, ticks(jitter))
    window = (start, start + length)
    got = found(power_energy(series.seconds, series.values, window, update_period=0.1))
    assert abs(got.joules - load.between(*window)) <= got.uncertainty_joules + 1e-6


def test_a_step_is_held_until_the_next_reading() -> None:
    seconds, watts = floats(0, 1, 2, 3, 4), floats(10, 10, 30, 30, 30)
    got = found(power_energy(seconds, watts, (0.5, 3.5), update_period=1.0))
    assert got.joules == pytest.approx(10 * 1.5 + 30 * 1.5)


def test_a_mean_over_the_last_second_is_put_in_the_middle_of_it() -> None:
    seconds = np.arange(0, 20, 0.1)
    # True power is 10 t; its mean over the second before t is 10 (t - 0.5).
    values = 10 * (seconds - 0.5)
    got = found(power_energy(seconds, values, (5.0, 15.0), update_period=0.1, averaging=1.0))
    assert got.joules == pytest.approx(5 * (15**2 - 5**2))


def test_the_last_reading_counts() -> None:
    # A loop that forgets its last rectangle loses the only busy part.
    seconds, watts = np.arange(0, 10.0, 1.0), np.array([10.0] * 8 + [100.0] * 2)
    got = found(power_energy(seconds, watts, (0.0, 10.0), update_period=1.0))
    assert got.joules == pytest.approx(80 + 200)


def test_a_gap_is_reported_and_widens_the_uncertainty() -> None:
    every = np.arange(0, 20, 0.1)
    gapped = every[(every < 8) | (every > 11)]
    whole = found(power_energy(every, np.full(len(every), 50.0), (5.0, 15.0), update_period=0.1))
    holed = found(power_energy(gapped, np.full(len(gapped), 50.0), (5.0, 15.0), update_period=0.1))
    assert holed.joules == pytest.approx(whole.joules)
    assert holed.largest_gap_seconds == pytest.approx(3.2)
    assert holed.coverage == pytest.approx(0.69)
    assert holed.uncertainty_joules - whole.uncertainty_joules == pytest.approx(50 * 3.1)


def test_a_sensor_that_reads_nothing_but_zero_measures_nothing() -> None:
    seconds = np.arange(0, 20, 0.1)
    outcome = power_energy(seconds, np.zeros(200), (5.0, 15.0), update_period=0.1)
    assert missing(outcome) == "it read 0 W throughout the window"


def test_the_step_of_a_sensor_is_part_of_the_uncertainty() -> None:
    seconds, watts = np.arange(0, 20, 0.1), np.full(200, 3.0)
    fine = found(power_energy(seconds, watts, (5.0, 15.0), update_period=0.1))
    coarse = found(power_energy(seconds, watts, (5.0, 15.0), update_period=0.1, resolution=1.0))
    assert coarse.uncertainty_joules - fine.uncertainty_joules == pytest.approx(10.0)


def test_a_sensor_slower_than_the_sampler_is_found_out() -> None:
    seconds = np.arange(0, 20, 0.1) + 1e-6
    assert observed_period(seconds, held(seconds, 1.0)) == pytest.approx(1.0)
    assert observed_period(seconds, np.full(200, 5.0)) is None


# A run.


STEADY = Load(floats(-10.0), floats(50.0))
TICKS = np.arange(0, 40, 0.1)
WINDOWS = [(2.0, 12.0), (15.0, 25.0)]


def trace(*series: Series, absent: Sequence[AbsentSource] = (), lost: str | None = None) -> Trace:
    return Trace(series=tuple(series), absent=tuple(absent), report=None, lost=lost)


def relabelled(series: Series, **changes: object) -> Series:
    channel = series.channel.model_copy(update=changes)
    return Series(channel, series.seconds, series.values, series.failed, series.error)


def scaled(series: Series, factor: float) -> Series:
    return Series(series.channel, series.seconds, series.values * factor)


def test_a_figure_says_all_that_is_known_about_it() -> None:
    energy, reason = summarise_energy(trace(counter_series(STEADY, TICKS)), WINDOWS, items=2000)
    assert reason is None
    assert energy is not None
    head = energy.headline
    assert head.energy_joules == pytest.approx(1000.0, rel=1e-3)
    assert head.joules_per_item == pytest.approx(0.5, rel=1e-3)
    assert head.mean_power_watts == pytest.approx(50.0, rel=1e-3)
    assert head.window_seconds == pytest.approx(20.0)
    assert head.coverage == 1.0
    assert head.provenance.source == "rapl"
    assert head.provenance.channel == "package-0"
    assert head.provenance.quality is EnergyQuality.COUNTER
    assert head.provenance.scope is EnergyScope.PACKAGE


def test_the_time_between_the_windows_does_not_count() -> None:
    load = Load(floats(-10.0, 13.0, 14.0), floats(50.0, 500.0, 50.0))
    energy, _ = summarise_energy(trace(counter_series(load, TICKS)), WINDOWS, items=1)
    assert energy is not None
    assert energy.headline.energy_joules == pytest.approx(1000.0, rel=1e-3)


def test_each_window_has_edges_of_its_own() -> None:
    series = counter_series(STEADY, TICKS + 1e-9, period=0.1)
    one = figure(measure(series, [(2.0, 22.0)], 1)).provenance.uncertainty
    two = figure(measure(series, WINDOWS, 1)).provenance.uncertainty
    assert two == pytest.approx(2 * one, rel=1e-3)


def test_the_headline_is_the_widest_scope_and_nothing_is_added() -> None:
    package = counter_series(STEADY, TICKS)
    board = relabelled(package, label="psys", scope=EnergyScope.BOARD)
    gpu = power_series(STEADY, TICKS)
    energy, _ = summarise_energy(trace(gpu, package, scaled(board, 1.5)), WINDOWS, items=1)
    assert energy is not None
    assert energy.headline.provenance.channel == "psys"
    assert energy.headline.energy_joules == pytest.approx(1500.0, rel=1e-3)
    assert [o.provenance.channel for o in energy.others] == ["package-0", "gpu0"]


@pytest.mark.parametrize(
    ("accelerator", "leads"), [(None, "package-0"), ("cpu", "package-0"), ("cuda:0", "gpu0")]
)
def test_of_a_processor_and_a_gpu_the_one_that_worked_leads(
    accelerator: str | None, leads: str
) -> None:
    both = trace(counter_series(STEADY, TICKS), power_series(STEADY, TICKS))
    energy, _ = summarise_energy(both, WINDOWS, items=1, accelerator=accelerator)
    assert energy is not None
    assert energy.headline.provenance.channel == leads
    assert len(energy.others) == 1


def test_an_idle_gpu_does_not_stand_for_a_run_on_the_cpu() -> None:
    gpu = trace(power_series(STEADY, TICKS), absent=[AbsentSource(source="rapl", reason="hidden")])
    energy, reason = summarise_energy(gpu, WINDOWS, items=1, accelerator="cpu")
    assert energy is None
    assert reason is not None
    assert "says nothing about a run on the CPU" in reason
    assert "rapl: hidden" in reason


def test_within_a_scope_a_counter_comes_before_integrated_power() -> None:
    power = scaled(power_series(STEADY, TICKS), 2)
    counter = relabelled(
        counter_series(STEADY, TICKS, period=0.1), source="nvml", scope=EnergyScope.ACCELERATOR
    )
    energy, _ = summarise_energy(trace(power, counter), WINDOWS, items=1)
    assert energy is not None
    assert energy.headline.provenance.quality is EnergyQuality.COUNTER
    assert energy.others[0].provenance.quality is EnergyQuality.INTEGRATED
    assert energy.others[0].energy_joules == pytest.approx(2000.0)


def test_of_two_processors_the_busier_one_leads_and_both_are_kept() -> None:
    first = counter_series(STEADY, TICKS)
    second = scaled(relabelled(first, label="package-1"), 3)
    energy, _ = summarise_energy(trace(first, second), WINDOWS, items=1)
    assert energy is not None
    assert energy.headline.provenance.channel == "package-1"
    assert energy.headline.energy_joules == pytest.approx(3000.0, rel=1e-3)
    assert [o.energy_joules for o in energy.others] == [pytest.approx(1000.0, rel=1e-3)]


def test_a_part_that_no_scope_names_never_stands_for_the_run() -> None:
    core = relabelled(counter_series(STEADY, TICKS), label="package-0:core", scope=None)
    energy, reason = summarise_energy(trace(core), WINDOWS, items=1)
    assert energy is None
    assert reason


def test_what_is_known_of_the_sensor_itself_is_added_to_the_uncertainty() -> None:
    plain = power_series(STEADY, TICKS)
    known = relabelled(plain, calibration_error=0.13)
    difference = (
        figure(measure(known, WINDOWS, 1)).provenance.uncertainty
        - figure(measure(plain, WINDOWS, 1)).provenance.uncertainty
    )
    assert difference == pytest.approx(0.13)


def test_a_counter_that_is_slower_than_stated_is_seen_to_be() -> None:
    slow = relabelled(counter_series(STEADY, TICKS + 1e-6, period=1.0), update_period_seconds=0.01)
    got = figure(measure(slow, WINDOWS, 1))
    assert got.provenance.update_period_seconds == pytest.approx(1.0)
    # Cut at its ticks, each seen within 0.1 s, it is much better than its period.
    assert got.energy_joules == pytest.approx(1000.0, rel=0.02)
    assert got.provenance.uncertainty < 0.1


def test_one_source_without_a_figure_is_named_beside_the_others() -> None:
    dead = relabelled(counter_series(STEADY, TICKS), label="package-1")
    dead = Series(dead.channel, floats(), floats(), failed=400, error="OSError: [Errno 5]")
    energy, reason = summarise_energy(trace(dead, power_series(STEADY, TICKS)), WINDOWS, items=1)
    assert energy is not None
    assert energy.headline.provenance.channel == "gpu0"
    assert reason == "rapl/package-1/energy_joules: every read failed (OSError: [Errno 5])"


def test_a_window_too_short_for_the_sensor_has_no_figure() -> None:
    short = measure(power_series(STEADY, TICKS), [(5.0, 5.15)], 1)
    assert "too short" in missing(short)


def test_a_reset_in_one_window_takes_the_figure_of_the_run() -> None:
    series = counter_series(STEADY, TICKS)
    values = np.where(TICKS < 20, series.values, series.values - 1200)
    outcome = measure(Series(series.channel, TICKS, values), WINDOWS, 1)
    assert missing(outcome).startswith("rapl/package-0/energy_joules: the counter was reset")


def test_without_any_source_one_sentence_names_each_and_why() -> None:
    absent = (
        AbsentSource(source="rapl", reason="may not be read by this user"),
        AbsentSource(source="nvml", reason="no NVIDIA driver"),
        AbsentSource(source="thermal", reason="no thermal zone"),
    )
    energy, reason = summarise_energy(trace(absent=absent), WINDOWS, items=1)
    assert energy is None
    assert reason == (
        "no energy was measured: rapl: may not be read by this user; nvml: no NVIDIA driver"
    )


def test_a_lost_sampler_and_no_choice_of_source_are_reasons_too() -> None:
    lost = summarise_energy(trace(lost="it was killed by signal 9"), WINDOWS, items=1)
    assert lost == (
        None,
        "no energy was measured because the sampler was lost: it was killed by signal 9",
    )
    unchosen = summarise_energy(trace(), WINDOWS, items=1)[1]
    assert unchosen == "no energy was measured because no source that measures it was chosen"


def test_without_windows_there_is_nothing_to_measure() -> None:
    energy, reason = summarise_energy(trace(counter_series(STEADY, TICKS)), [], items=1)
    assert energy is None
    assert reason is not None
    assert "no iteration was timed" in reason


def test_joules_per_item_need_an_item() -> None:
    with pytest.raises(ValueError, match="need an item"):
        summarise_energy(trace(), WINDOWS, items=0)
