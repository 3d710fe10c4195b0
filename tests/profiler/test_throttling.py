"""When the device throttled: cause, share of time, iterations tagged, figures without them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from profiler import flags, throttling
from profiler.samples import UNKNOWN, Iterations
from profiler.sensors.base import Channel, Quantity, ThrottleCause
from profiler.sensors.trace import Floats, Series, Trace
from profiler.spec import Scenario

# Two repetitions of a thousand calls of 10 ms each.
SPANS = [(10.0, 20.0), (30.0, 40.0)]
READ = np.arange(5.0, 45.0, 0.1)


def iterations() -> Iterations:
    parts = []
    for repetition, (start, _) in enumerate(SPANS):
        begins = int(start * 1e9) + np.arange(1000) * 10_000_000
        stamps = [(int(b), int(b) + 9_900_000) for b in begins]
        parts.append(Iterations.from_stamps(repetition, [], stamps))
    return Iterations.concatenate(parts)


def series(
    values: Floats,
    quantity: Quantity,
    cause: ThrottleCause | None = ThrottleCause.HEAT,
    label: str = "gpu0",
    seconds: Floats = READ,
) -> Series:
    channel = Channel(source="nvml", label=label, quantity=quantity, cause=cause)
    return Series(channel, seconds, values)


def trace(*found: Series) -> Trace:
    return Trace(series=found, absent=(), report=None)


def between(first: float, last: float, seconds: Floats = READ) -> Floats:
    return ((seconds >= first) & (seconds < last)).astype(np.float64)


COUNTED = np.clip(READ - 15.0, 0, 2.0)


def test_seconds_that_the_device_counts_give_cause_and_share() -> None:
    found, reason = throttling.summarise(
        trace(series(COUNTED, Quantity.THROTTLED)), iterations(), SPANS
    )
    assert reason is None
    assert found is not None
    assert found.share == pytest.approx(0.1, abs=0.002)
    assert found.iterations_share == pytest.approx(0.1, abs=0.01)
    assert [(c.cause, c.counted) for c in found.causes] == [("heat", True)]
    flag = flags.throttled(found)
    assert flag is not None
    assert "heat (nvml/gpu0) for 10 % of the time" in flag.detail
    assert "cool" in flag.advice


def test_a_flag_holds_around_its_reading() -> None:
    flagged = series(between(35, 40), Quantity.THROTTLED_NOW, ThrottleCause.POWER_LIMIT)
    found, _ = throttling.summarise(trace(flagged), iterations(), SPANS)
    assert found is not None
    assert found.share == pytest.approx(0.25, abs=0.01)
    assert not found.causes[0].counted
    flag = flags.throttled(found)
    assert flag is not None
    assert "power limit" in flag.advice


def test_events_tag_the_time_between_the_readings_that_saw_their_count_rise() -> None:
    events = np.where(READ > 15, 3.0, 1.0)
    found, _ = throttling.summarise(
        trace(series(events, Quantity.EVENTS, ThrottleCause.OVER_CURRENT)), iterations(), SPANS
    )
    assert found is not None
    assert found.iterations_share == pytest.approx(0.005, abs=0.001)


def test_where_the_time_is_counted_the_count_of_events_is_not_asked() -> None:
    both = trace(
        series(COUNTED, Quantity.THROTTLED), series(np.arange(len(READ)) * 1.0, Quantity.EVENTS)
    )
    found, _ = throttling.summarise(both, iterations(), SPANS)
    assert found is not None
    assert found.channels == 1
    assert found.share == pytest.approx(0.1, abs=0.002)


@pytest.mark.parametrize(
    ("label", "told"), [("Processor", True), ("cpufreq-cpu0", True), ("pwm-fan", False)]
)
def test_a_fan_is_no_throttling_and_a_cooling_processor_is(label: str, told: bool) -> None:
    cooling = series(between(15, 17), Quantity.COOLING, None, label)
    found, reason = throttling.summarise(trace(cooling), iterations(), SPANS)
    assert (found is not None) is told
    assert (reason == throttling.NOTHING_TELLS) is not told


def test_what_happens_outside_the_timed_parts_does_not_count() -> None:
    found, _ = throttling.summarise(
        trace(series(between(22, 28), Quantity.THROTTLED_NOW)), iterations(), SPANS
    )
    assert found is not None
    assert found.share == 0.0
    assert found.causes == ()
    assert flags.throttled(found) is None


def test_a_counter_that_went_back_throttled_nothing() -> None:
    reset = np.where(READ < 15, 100.0, 0.0)
    found, _ = throttling.summarise(trace(series(reset, Quantity.THROTTLED)), iterations(), SPANS)
    assert found is not None
    assert found.share == 0.0


def test_a_moment_below_a_percent_is_recorded_and_not_flagged() -> None:
    moment = np.clip(READ - 15.0, 0, 0.1)
    found, _ = throttling.summarise(trace(series(moment, Quantity.THROTTLED)), iterations(), SPANS)
    assert found is not None
    assert 0 < found.share < 0.01
    assert flags.throttled(found) is None


# Where nothing tells of it, the clock does.


def clock(values: Floats) -> Series:
    return series(values, Quantity.CLOCK, None, "cpu0")


def test_a_clock_that_fell_and_stayed_low_is_a_cause() -> None:
    found, _ = throttling.summarise(
        trace(clock(np.where((READ > 15) & (READ < 25), 1e9, 2e9))), iterations(), SPANS
    )
    assert found is not None
    assert [c.cause for c in found.causes] == [throttling.CLOCK_CAUSE]
    assert found.share == pytest.approx(0.25, abs=0.01)


@pytest.mark.parametrize(
    "hertz",
    [
        np.full(len(READ), 2e9),
        # A governor's short dip, and one that is slower all the time.
        np.where((READ > 14) & (READ < 15), 1e9, 2e9),
        np.where(READ < 25, 2e9, 1e9),
    ],
)
def test_a_clock_that_did_not_fall_for_good_in_a_repetition_is_none(hertz: Floats) -> None:
    found, _ = throttling.summarise(trace(clock(hertz)), iterations(), SPANS)
    assert found is not None
    assert found.causes == ()


def test_the_clock_is_not_asked_where_the_device_tells() -> None:
    low = clock(np.where(READ > 15, 1e9, 2e9))
    told = series(np.zeros(len(READ)), Quantity.THROTTLED)
    found, _ = throttling.summarise(trace(low, told), iterations(), SPANS)
    assert found is not None
    assert found.share == 0.0


# Tags, and statistics with and without.


def test_every_timed_iteration_is_tagged_in_the_raw_data(tmp_path: Path) -> None:
    made = iterations()
    made = replace(made, warmup=np.arange(len(made)) < 3)
    tagged = throttling.with_tags(made, trace(series(COUNTED, Quantity.THROTTLED)))
    inside = (made.start_ns > 15.1e9) & (made.start_ns < 16.8e9)
    outside = (made.start_ns < 14.8e9) | (made.start_ns > 17.2e9)
    assert set(tagged.throttled[inside].tolist()) == {1}
    assert set(tagged.throttled[outside & ~made.warmup].tolist()) == {0}
    assert tagged.throttled[:3].tolist() == [UNKNOWN] * 3
    tagged.save(tmp_path / "x.npz")
    again = Iterations.load(tmp_path / "x.npz")
    assert again.throttled.tolist() == tagged.throttled.tolist()
    assert again.throttled.dtype == np.int8


def test_where_nothing_tells_there_is_no_tag_and_no_column(tmp_path: Path) -> None:
    for nothing in (None, trace(series(READ, Quantity.TEMPERATURE, None))):
        made = throttling.with_tags(iterations(), nothing)
        assert set(made.throttled.tolist()) == {UNKNOWN}
        made.save(tmp_path / "x.npz")
        with np.load(tmp_path / "x.npz") as data:
            assert "throttled" not in data
    empty = throttling.with_tags(Iterations.empty(), trace(series(COUNTED, Quantity.THROTTLED)))
    assert len(empty) == 0


def test_latency_without_the_throttled_iterations() -> None:
    made = iterations()
    slow = made.latency_ns.copy()
    inside = (made.start_ns > 15e9) & (made.start_ns < 17e9)
    slow[inside] *= 3
    made = replace(made, latency_ns=slow)
    latency, reason = throttling.unthrottled(
        trace(series(COUNTED, Quantity.THROTTLED)), made, SPANS, Scenario.SINGLE_STREAM
    )
    assert reason is None
    assert latency is not None
    assert latency.n == pytest.approx(1800, abs=12)
    assert latency.maximum == pytest.approx(9.9e-3)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (np.zeros(len(READ)), "no iteration was throttled: the latency is that of all"),
        (np.ones(len(READ)), "every iteration was throttled"),
    ],
)
def test_none_or_all_of_them_give_no_second_statistic(values: Floats, reason: str) -> None:
    found = throttling.unthrottled(
        trace(series(values, Quantity.THROTTLED_NOW)), iterations(), SPANS, Scenario.SINGLE_STREAM
    )
    assert found == (None, reason)


def test_without_a_source_or_a_sampler_it_is_not_known_and_says_so() -> None:
    assert throttling.summarise(None, iterations(), SPANS) == (None, "the sampler was off")
    assert throttling.summarise(trace(), iterations(), SPANS) == (None, throttling.NOTHING_TELLS)
    unknown = throttling.unthrottled(trace(), iterations(), SPANS, Scenario.SINGLE_STREAM)
    assert unknown == (None, throttling.NOTHING_TELLS)


# A Raspberry Pi's supply.


def test_low_voltage_is_a_verdict_of_its_own() -> None:
    low = series(between(10, 15), Quantity.THROTTLED_NOW, ThrottleCause.LOW_VOLTAGE, "now")
    share = throttling.low_voltage(trace(low), SPANS)
    assert share == pytest.approx(0.25, abs=0.01)
    flag = flags.low_voltage(share)
    assert flag is not None
    assert flag.name == "low_voltage"
    assert "supply" in flag.advice
    assert throttling.summarise(trace(low), iterations(), SPANS)[0] is None


@pytest.mark.parametrize("share", [None, 0.0])
def test_enough_voltage_or_none_that_can_be_read_is_not_flagged(share: float | None) -> None:
    assert flags.low_voltage(share) is None
