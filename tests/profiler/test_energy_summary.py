"""The energy of a run: provenance, headline, interval, idle and net, and what is flagged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from profiler.energy.figures import ONE_REPETITION, Work, interval, measure
from profiler.energy.idle import IdlePower, IdleSpan
from profiler.energy.summary import EnergySummary, summarise_energy
from profiler.energy.window import Missing
from profiler.result import AbsentSource, Energy, EnergyFigure, EnergyQuality, EnergyScope
from profiler.sensors.base import Channel, Quantity
from profiler.sensors.trace import Floats, Series, Trace
from tests.simulated_sensors import (
    LONG_AGO,
    Load,
    SimulatedSensor,
    calls,
    constant,
    polls,
    series_of,
)

STEADY = constant(50.0)
READ = polls(40)
WORK = Work([calls(2.0, 10.0, 0.01), calls(15.0, 10.0, 0.01)], items_per_call=1)
PACKAGE = SimulatedSensor(Quantity.ENERGY, 0.001, scope=EnergyScope.PACKAGE, source="rapl")
GPU = SimulatedSensor(Quantity.POWER, 0.1, scope=EnergyScope.ACCELERATOR, source="nvml")
GPU_COUNTER = replace(GPU, quantity=Quantity.ENERGY, resolution=0.001)
# Calls whose length has nothing to do with the sensor's update.
JITTER = np.random.default_rng(0).uniform(-0.2, 0.2, 999)
JITTERED = Work([calls(2.0, 10.0, 0.01, JITTER), calls(15.0, 10.0, 0.01, JITTER)], 1)


def rapl(load: Load = STEADY, **changes: object) -> Series:
    return relabelled(series_of(load, PACKAGE, READ), **{"label": "package-0", **changes})


def gpu(load: Load = STEADY, sensor: SimulatedSensor = GPU, **changes: object) -> Series:
    return relabelled(series_of(load, sensor, READ), **{"label": "gpu0", **changes})


def relabelled(series: Series, **changes: object) -> Series:
    channel = series.channel.model_copy(update=changes)
    return Series(channel, series.seconds, series.values, series.failed, series.error)


def scaled(series: Series, factor: float) -> Series:
    return Series(series.channel, series.seconds, series.values * factor)


def trace(*series: Series, absent: Sequence[AbsentSource] = (), lost: str | None = None) -> Trace:
    return Trace(series=tuple(series), absent=tuple(absent), report=None, lost=lost)


def energy(summary: EnergySummary) -> Energy:
    assert summary.energy is not None, summary.reason
    return summary.energy


def figure(outcome: EnergyFigure | Missing) -> EnergyFigure:
    assert isinstance(outcome, EnergyFigure), outcome
    return outcome


def missing(outcome: object) -> str:
    assert isinstance(outcome, Missing), outcome
    return outcome.reason


def flags(summary: EnergySummary) -> list[str]:
    return [flag.name for flag in summary.flags]


def test_a_figure_says_all_that_is_known_about_it() -> None:
    summary = summarise_energy(trace(rapl()), WORK)
    assert summary.reason is None
    head = energy(summary).headline
    assert head.energy_joules == pytest.approx(50.0 * head.window_seconds, rel=1e-3)
    assert head.joules_per_item == pytest.approx(0.5, rel=1e-3)
    assert head.mean_power_watts == pytest.approx(50.0, rel=1e-3)
    assert head.window_seconds == pytest.approx(20.0, abs=0.9)
    assert head.items == pytest.approx(head.window_seconds * 100, abs=1)
    assert head.coverage == pytest.approx(head.window_seconds / 20)
    source = head.provenance
    assert (source.source, source.channel) == ("rapl", "package-0")
    assert source.quality is EnergyQuality.COUNTER
    assert source.scope is EnergyScope.PACKAGE
    assert source.update_period_seconds == 0.001
    assert 0 < source.uncertainty < 0.01


def test_joules_per_item_are_of_the_calls_completed_between_the_ticks() -> None:
    # The second half of the work costs twice as much, and all of it has eight items a call.
    load = Load(np.array([LONG_AGO, 15.0]), np.array([50.0, 100.0]))
    head = energy(summarise_energy(trace(rapl(load)), Work(WORK.windows, 8))).headline
    assert head.joules_per_item == pytest.approx(0.75 / 8, rel=0.01)


def test_the_interval_is_the_spread_over_repetitions_and_what_is_off_in_all() -> None:
    load = Load(np.array([LONG_AGO, 15.0]), np.array([50.0, 60.0]))
    head = energy(summarise_energy(trace(rapl(load)), WORK)).headline
    found = head.joules_per_item_interval
    assert found is not None
    assert found.low is not None
    assert found.high is not None
    # Two values 0.1 apart: Student's 12.7 times 0.05.
    assert found.high - found.value == pytest.approx(12.706 * 0.05, rel=0.02)
    assert found.low == 0.0
    alike = interval(2.0, [2.0, 2.0, 2.0], 0.13)
    assert alike is not None
    assert alike.high == pytest.approx(2.26)


def test_one_repetition_has_no_interval_and_says_why() -> None:
    head = energy(summarise_energy(trace(rapl()), Work(WORK.windows[:1], 1))).headline
    assert head.joules_per_item_interval is None
    assert head.joules_per_item_reason == ONE_REPETITION


def test_the_time_between_the_windows_does_not_count() -> None:
    load = Load(np.array([LONG_AGO, 13.0, 14.0]), np.array([50.0, 500.0, 50.0]))
    head = energy(summarise_energy(trace(rapl(load)), WORK)).headline
    assert head.mean_power_watts == pytest.approx(50.0, rel=1e-3)


def test_the_headline_is_the_widest_scope_and_nothing_is_added() -> None:
    board = scaled(rapl(label="psys", scope=EnergyScope.BOARD), 1.5)
    found = energy(summarise_energy(trace(gpu(), rapl(), board), JITTERED))
    assert found.headline.provenance.channel == "psys"
    assert found.headline.mean_power_watts == pytest.approx(75.0, rel=1e-3)
    assert [o.provenance.channel for o in found.others] == ["package-0", "gpu0"]


@pytest.mark.parametrize(
    ("accelerator", "leads"), [(None, "package-0"), ("cpu", "package-0"), ("cuda:0", "gpu0")]
)
def test_of_a_processor_and_a_gpu_the_one_that_worked_leads(
    accelerator: str | None, leads: str
) -> None:
    found = energy(summarise_energy(trace(rapl(), gpu()), JITTERED, accelerator=accelerator))
    assert found.headline.provenance.channel == leads
    assert len(found.others) == 1


def test_an_idle_gpu_does_not_stand_for_a_run_on_the_cpu() -> None:
    absent = [AbsentSource(source="rapl", reason="hidden")]
    summary = summarise_energy(trace(gpu(), absent=absent), JITTERED, accelerator="cpu")
    assert summary.energy is None
    assert summary.reason is not None
    assert "says nothing about a run on the CPU" in summary.reason
    assert "rapl: hidden" in summary.reason


def test_of_two_processors_the_busier_one_leads_and_both_are_kept() -> None:
    found = energy(summarise_energy(trace(rapl(), scaled(rapl(label="package-1"), 3)), WORK))
    assert found.headline.provenance.channel == "package-1"
    assert found.headline.mean_power_watts == pytest.approx(150.0, rel=1e-3)
    assert [o.mean_power_watts for o in found.others] == [pytest.approx(50.0, rel=1e-3)]


def test_a_part_that_no_scope_names_never_stands_for_the_run() -> None:
    summary = summarise_energy(trace(rapl(label="package-0:core", scope=None)), WORK)
    assert summary.energy is None
    assert summary.reason


def test_a_channel_that_is_an_estimate_gives_no_better_figure() -> None:
    estimate = gpu(quality=EnergyQuality.ESTIMATE)
    found = figure(measure(estimate, JITTERED))
    assert found.provenance.quality is EnergyQuality.ESTIMATE


def test_what_is_known_of_the_sensor_itself_is_added_to_the_uncertainty() -> None:
    plain = figure(measure(gpu(), JITTERED)).provenance.uncertainty
    known = figure(measure(gpu(calibration_error=0.13), JITTERED)).provenance.uncertainty
    assert known - plain == pytest.approx(0.13)


def test_a_power_limit_beside_the_channel_bounds_what_it_cannot_see() -> None:
    in_step = Work([calls(2.0, 10.0, 0.1), calls(15.0, 10.0, 0.1)], 1)
    limit = Series(
        Channel(source="nvml", label="gpu0", quantity=Quantity.POWER_LIMIT),
        READ,
        np.full(len(READ), 60.0),
    )
    assert summarise_energy(trace(gpu()), in_step).energy is None
    head = energy(summarise_energy(trace(gpu(), limit), in_step)).headline
    assert head.provenance.uncertainty == pytest.approx(0.2, abs=0.05)


# Counter and power of one sensor.


def test_counter_and_power_of_one_sensor_are_both_there_and_agree() -> None:
    summary = summarise_energy(trace(gpu(), gpu(sensor=GPU_COUNTER)), JITTERED)
    qualities = [f.provenance.quality for f in (energy(summary).headline, *energy(summary).others)]
    assert qualities == [EnergyQuality.COUNTER, EnergyQuality.INTEGRATED]
    assert flags(summary) == []


@pytest.mark.parametrize(("factor", "raised"), [(1.04, []), (1.08, ["energy_disagree"])])
def test_more_than_5_percent_apart_is_flagged(factor: float, raised: list[str]) -> None:
    both = trace(
        scaled(gpu(calibration_error=0.13), factor),
        gpu(sensor=GPU_COUNTER, calibration_error=0.13),
    )
    summary = summarise_energy(both, JITTERED)
    assert flags(summary) == raised


def test_a_window_too_short_to_tell_5_percent_is_not_flagged() -> None:
    short = Work([calls(2.0, 1.0, 0.01, JITTER), calls(15.0, 1.0, 0.01, JITTER)], 1)
    both = trace(scaled(gpu(), 1.08), gpu(sensor=GPU_COUNTER))
    assert flags(summarise_energy(both, short)) == []


def test_two_sensors_that_differ_do_not_disagree() -> None:
    other = scaled(gpu(label="gpu1"), 2)
    assert flags(summarise_energy(trace(other, gpu(sensor=GPU_COUNTER)), JITTERED)) == []


# Idle power.


def with_idle(before: float, after: float, seconds: float = 1.0) -> Work:
    spans = [
        IdleSpan(when="before", start_seconds=0.0, end_seconds=seconds),
        IdleSpan(when="after", start_seconds=30.0, end_seconds=30.0 + seconds),
    ]
    return Work(WORK.windows, 1, spans)


def idling(before: float, after: float) -> Load:
    return Load(np.array([LONG_AGO, 1.5, 28.0]), np.array([before, 50.0, after]))


def test_net_energy_is_gross_less_idle_power_for_as_long() -> None:
    head = energy(summarise_energy(trace(rapl(idling(20, 20))), with_idle(20, 20))).headline
    assert head.idle is not None
    assert head.idle.watts == pytest.approx(20.0, rel=1e-2)
    assert head.net_energy_joules == pytest.approx(30 * head.window_seconds, rel=1e-2)
    assert head.energy_joules == pytest.approx(50 * head.window_seconds, rel=1e-2)
    assert head.net_uncertainty_joules is not None
    assert head.net_uncertainty_joules > head.provenance.uncertainty * head.energy_joules


@pytest.mark.parametrize(("after", "raised"), [(20.5, []), (22.0, ["idle_power_drift"])])
def test_idle_power_that_drifts_is_flagged(after: float, raised: list[str]) -> None:
    summary = summarise_energy(trace(rapl(idling(20, after))), with_idle(20, after))
    head = energy(summary).headline
    assert head.idle is not None
    assert head.idle.before_watts == pytest.approx(20.0, rel=1e-2)
    assert head.idle.after_watts == pytest.approx(after, rel=1e-2)
    assert flags(summary) == raised


def test_without_a_quiet_stretch_net_is_not_known_and_says_so() -> None:
    head = energy(summarise_energy(trace(rapl()), WORK)).headline
    assert head.idle is None
    assert head.net_energy_joules is None
    assert head.idle_reason is not None
    assert "idle_seconds" in head.idle_reason


def test_one_side_alone_gives_idle_power_and_no_drift() -> None:
    work = with_idle(20, 20)
    head = energy(
        summarise_energy(trace(rapl(idling(20, 99))), Work(work.windows, 1, work.idle[:1]))
    ).headline
    assert head.idle is not None
    assert head.idle.watts == pytest.approx(20.0, rel=1e-2)
    assert head.idle.after_watts is None
    assert head.idle.drift is None


def test_drift_is_relative_to_the_mean() -> None:
    idle = IdlePower(
        watts=20.0, uncertainty_watts=0.1, before_watts=19.0, after_watts=21.0, seconds=2.0
    )
    assert idle.drift == pytest.approx(0.1)


# Nothing to measure with.


def empty(series: Series, failed: int, error: str) -> Series:
    none: Floats = np.empty(0)
    return Series(series.channel, none, none, failed=failed, error=error)


def test_one_source_without_a_figure_is_named_beside_the_others() -> None:
    dead = empty(rapl(label="package-1"), 400, "OSError: [Errno 5]")
    summary = summarise_energy(trace(dead, gpu()), JITTERED)
    assert energy(summary).headline.provenance.channel == "gpu0"
    assert summary.reason == "rapl/package-1/energy_joules: every read failed (OSError: [Errno 5])"


def test_a_window_too_short_for_the_sensor_has_no_figure() -> None:
    short = Work([calls(5.0, 0.06, 0.001)], 1)
    reason = missing(measure(gpu(), short))
    assert "too short" in reason or "too seldom" in reason


def test_a_reset_in_one_window_takes_the_figure_of_the_run() -> None:
    reset = replace(PACKAGE, reset_at=20.0, starts_at=500.0)
    series = relabelled(series_of(STEADY, reset, READ), label="package-0")
    outcome = missing(measure(series, WORK))
    assert outcome.startswith("rapl/package-0/energy_joules: the counter was reset")


def test_without_any_source_one_sentence_names_each_and_why() -> None:
    absent = (
        AbsentSource(source="rapl", reason="may not be read by this user"),
        AbsentSource(source="nvml", reason="no NVIDIA driver"),
        AbsentSource(source="thermal", reason="no thermal zone"),
    )
    summary = summarise_energy(trace(absent=absent), WORK)
    assert summary.energy is None
    assert summary.reason == (
        "no energy was measured: rapl: may not be read by this user; nvml: no NVIDIA driver"
    )


def test_a_lost_sampler_and_no_choice_of_source_are_reasons_too() -> None:
    lost = summarise_energy(trace(lost="it was killed by signal 9"), WORK)
    assert lost.reason == (
        "no energy was measured because the sampler was lost: it was killed by signal 9"
    )
    unchosen = summarise_energy(trace(), WORK).reason
    assert unchosen == "no energy was measured because no source that measures it was chosen"


def test_without_calls_there_is_nothing_to_measure() -> None:
    summary = summarise_energy(trace(rapl()), Work([], 1))
    assert summary.energy is None
    assert summary.reason is not None
    assert "no iteration was timed" in summary.reason


def test_joules_per_item_need_an_item() -> None:
    with pytest.raises(ValueError, match="need an item"):
        summarise_energy(trace(), Work(WORK.windows, 0))
