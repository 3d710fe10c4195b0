"""Mistakes found in existing tools, one regression test or more for each; none is made here."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from profiler.energy.counter import counter_energy, counter_period
from profiler.energy.figures import Work, measure
from profiler.energy.polled import polled_period, power_energy
from profiler.energy.summary import summarise_energy
from profiler.energy.window import WindowEnergy
from profiler.result import (
    AbsentSource,
    EnergyFigure,
    EnergyQuality,
    EnergyScope,
    SamplerReport,
)
from profiler.scenarios.offline import offline_block
from profiler.sensors.base import Channel, Quantity, Reading
from profiler.sensors.counts import EnergyCounter
from profiler.sensors.rapl import parse_modulus
from profiler.sensors.recorder import Recorder, decode, encode
from profiler.sensors.trace import Series, Trace
from profiler.stamps import Stamps
from profiler.timing import timed_block
from tests.profiler.test_energy_counter import found
from tests.simulated_sensors import (
    LONG_AGO,
    Load,
    SimulatedSensor,
    calls,
    constant,
    polls,
    series_of,
    within,
)

READ = polls(20)
TEN = calls(5.0, 10.0, 0.7)
RANGE = 65_536.0
RAPL = SimulatedSensor(Quantity.ENERGY, 0.001, wraps_at=RANGE, scope=EnergyScope.PACKAGE)


def trace(*series: Series, absent: tuple[AbsentSource, ...] = ()) -> Trace:
    return Trace(series=series, absent=absent, report=None)


def counted(series: Series) -> WindowEnergy:
    return found(counter_energy(series, TEN, period=counter_period(series)))


# 1. Deduplicated samples inside the window only: constant power integrates to 0 J.


def test_1_equal_readings_are_readings_so_constant_power_is_not_zero() -> None:
    series = series_of(constant(42.0), SimulatedSensor(Quantity.POWER, 0.1), READ)
    assert len(np.unique(series.values)) == 1
    got = found(power_energy(series, TEN, period=polled_period(series)))
    assert got.joules == pytest.approx(42.0 * got.seconds)


# 2. A rectangle loop that returns a stale accumulator; the window closed before the GPU was
#    synchronised.


def test_2_the_last_readings_of_the_window_count() -> None:
    # All of the work is in its last second.
    load = within(TEN, [(TEN.start, 5.0), (TEN.end - 1.0, 300.0)])
    for sensor in (SimulatedSensor(Quantity.POWER, 0.1), RAPL):
        series = series_of(load, sensor, READ)
        if sensor.quantity is Quantity.POWER:
            got = found(power_energy(series, TEN, period=polled_period(series)))
        else:
            got = counted(series)
        assert abs(got.joules - load.between(got.span)) <= got.uncertainty_joules
        assert got.joules > 300.0


class _Gpu:
    """Calls return at once; the work is done when it was waited for."""

    def __init__(self) -> None:
        self.now = 0
        self.queued = 0

    def clock(self) -> int:
        return self.now

    def call(self) -> None:
        self.now += 1_000
        self.queued += 5_000_000

    def synchronize(self) -> None:
        self.now += self.queued
        self.queued = 0


def test_2_a_window_ends_when_the_work_is_done_and_not_when_it_was_launched() -> None:
    gpu = _Gpu()
    stamps = Stamps()
    timed_block(gpu.call, gpu.synchronize, 20_000_000, stamps, gpu.clock)
    assert gpu.queued == 0
    assert stamps[-1][1] == gpu.now
    gpu = _Gpu()
    block = offline_block(gpu.call, gpu.synchronize, 20_000_000, gpu.clock, 100)
    assert gpu.queued == 0
    assert block.end_ns == gpu.now


# 3. Rails mapped to cpu, gpu and total by substring: VDD_CPU_GPU_CV becomes "cpu", a board without
#    VDD_IN has no total, rails sharing a key overwrite each other.


def rail(label: str, watts: float, scope: EnergyScope | None = None) -> Series:
    channel = Channel(
        source="ina3221",
        label=label,
        quantity=Quantity.POWER,
        scope=scope,
        update_period_seconds=0.007,
    )
    return Series(channel, READ, np.full(len(READ), watts))


JITTERED = Work([calls(5.0, 10.0, 0.013, np.random.default_rng(0).uniform(-0.2, 0.2, 999))], 1)


def test_3_the_module_input_stands_for_the_module_and_rails_below_it_are_not_added() -> None:
    rails = trace(
        rail("VDD_CPU_GPU_CV", 8.0),
        rail("VDD_SOC", 3.0),
        rail("VDD_IN", 15.0, EnergyScope.MODULE),
    )
    energy = summarise_energy(rails, JITTERED).energy
    assert energy is not None
    assert energy.headline.provenance.channel == "VDD_IN"
    assert energy.headline.mean_power_watts == pytest.approx(15.0)
    assert energy.others == ()


def test_3_without_the_module_input_there_is_no_total_and_no_guess() -> None:
    summary = summarise_energy(trace(rail("VDD_CPU_GPU_CV", 8.0), rail("VDD_SOC", 3.0)), JITTERED)
    assert summary.energy is None
    assert summary.reason


def test_3_two_of_one_kind_remain_two() -> None:
    both = trace(
        rail("VDD_GPU-a", 8.0, EnergyScope.ACCELERATOR),
        rail("VDD_GPU-b", 5.0, EnergyScope.ACCELERATOR),
    )
    energy = summarise_energy(both, JITTERED).energy
    assert energy is not None
    watts = [figure.mean_power_watts for figure in (energy.headline, *energy.others)]
    assert watts == [pytest.approx(8.0), pytest.approx(5.0)]


# 4. Wraps counted in another process: a race worth a whole counter range.


@pytest.mark.parametrize("ahead", np.linspace(1900.0, 2600.0, 57).tolist())
def test_4_wherever_a_wrap_falls_between_two_readings_it_costs_nothing(ahead: float) -> None:
    # It falls into the window, a few milliseconds further each time.
    series = series_of(constant(200.0), replace(RAPL, starts_at=RANGE - ahead), READ)
    assert (np.diff(series.values) < 0).sum() == 1
    got = counted(series)
    assert abs(got.joules - 200.0 * got.seconds) <= got.uncertainty_joules


def test_4_the_range_is_one_step_more_than_the_largest_value() -> None:
    assert parse_modulus("262143328850") == pytest.approx(262_143.328851, abs=1e-9)


# 5. A read failure taken as 0, then as a wrap: a whole range added. A missing counter as 0 kWh.


def test_5_a_failed_read_is_no_zero_and_adds_no_range() -> None:
    truth = series_of(constant(100.0), replace(RAPL, starts_at=3000.0), READ)
    recorder = Recorder([RAPL.channel])
    for number, (seconds, value) in enumerate(
        zip(truth.seconds.tolist(), truth.values.tolist(), strict=True)
    ):
        failed = number % 7 == 0
        reading = Reading(
            channel=RAPL.channel.key,
            seconds=seconds,
            value=None if failed else value,
            error="OSError: [Errno 11] EAGAIN" if failed else None,
        )
        recorder.add([reading])
    report = SamplerReport(
        readings=recorder.readings,
        failed_readings=recorder.failed,
        missed_ticks=0,
        largest_gap_seconds=0.1,
        cpu_seconds=0.0,
        cpu_affinity=(),
        sources=(),
    )
    series = decode(encode([recorder], (), report)).series[0]
    assert series.failed == len(READ[::7])
    assert series.values.min() >= 3000.0
    got = counted(series)
    assert got.joules == pytest.approx(100.0 * got.seconds, rel=1e-3)


def test_5_a_missing_counter_is_null_with_a_reason_and_never_0_joules() -> None:
    refused = AbsentSource(source="rapl", reason="may not be read by this user")
    summary = summarise_energy(trace(absent=(refused,)), JITTERED)
    assert summary.energy is None
    assert summary.reason == "no energy was measured: rapl: may not be read by this user"


# 6. The raw wrapping counter exported: rate() takes the wrap for a reset.


def test_6_the_counter_of_joules_that_is_exported_does_not_wrap() -> None:
    """``rate()`` takes a step back for a reset: what Prometheus gets has none."""
    counter = EnergyCounter(RAPL.channel.model_copy(update={"wraps_at": 1000.0}))
    shown = []
    for number in range(400):
        seconds = 0.1 * number
        value = (950.0 + 100.0 * seconds) % 1000.0
        counter.add(Reading(channel=RAPL.channel.key, seconds=seconds, value=value))
        shown.append(counter.total)
    assert np.diff(shown).min() >= 0
    assert shown[-1] - shown[0] == pytest.approx(100.0 * 39.9)


# 7. Silent fallback from a sensor to a constant.


def test_7_a_sensor_that_dies_leaves_a_hole_and_no_constant() -> None:
    load = Load(np.array([LONG_AGO, 8.0]), np.array([50.0, 200.0]))
    dead_after = READ[READ < 7.95]
    gpu = series_of(load, SimulatedSensor(Quantity.POWER, 0.1), dead_after)
    outcome = measure(gpu, JITTERED, limit=200.0)
    # Most of the window is not known, and that is what it says.
    if isinstance(outcome, EnergyFigure):
        assert outcome.coverage is not None
        assert outcome.coverage < 0.4
        assert outcome.provenance.uncertainty > 0.6
    counter = measure(series_of(load, RAPL, dead_after), JITTERED)
    assert isinstance(counter, EnergyFigure)
    assert counter.window_seconds < 3.0
    assert counter.coverage is not None
    assert counter.coverage < 0.3
    assert counter.mean_power_watts == pytest.approx(50.0, rel=1e-2)


def test_7_an_estimate_is_called_one_and_comes_last() -> None:
    guess = rail("total", 15.0, EnergyScope.BOARD)
    guess = Series(
        guess.channel.model_copy(update={"quality": EnergyQuality.ESTIMATE}),
        guess.seconds,
        guess.values,
    )
    meter = rail("plug", 12.0, EnergyScope.BOARD)
    energy = summarise_energy(trace(guess, meter), JITTERED).energy
    assert energy is not None
    assert energy.headline.provenance.quality is EnergyQuality.INTEGRATED
    assert energy.others[0].provenance.quality is EnergyQuality.ESTIMATE
