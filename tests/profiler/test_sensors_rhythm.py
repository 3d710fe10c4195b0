"""How often a sensor has a new value: measured where it can be seen, and said where it cannot."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from time import perf_counter

import numpy as np
import pytest

from profiler.result import PeriodBasis
from profiler.sensors.base import Channel, Quantity, Reading
from profiler.sensors.beat import rhythm_of
from profiler.sensors.rapl_perf import RAPL_PERF
from profiler.sensors.rates import MAX_HERTZ, period_seconds
from profiler.sensors.rhythm import METERED, Rhythm, listen, with_rhythms
from profiler.sensors.sampler import Sampler, sample
from profiler.sensors.sampling import Opener
from profiler.sensors.trace import Trace
from profiler.sensors.trace_file import listened as with_periods
from tests.simulated_sensors import SimulatedSensor, bursts, calls, constant, listened

ENERGY, POWER = Quantity.ENERGY, Quantity.POWER


class Sensor:
    """Its value and what a read takes are given. Time passes by reads and pauses."""

    name = "s"

    def __init__(
        self,
        value: Callable[[float], float | None],
        *,
        nominal: float | None = 0.1,
        quantity: Quantity = ENERGY,
        cost: float = 10e-6,
    ) -> None:
        self.channels = (
            Channel(source="s", label="r", quantity=quantity, update_period_seconds=nominal),
            Channel(source="s", label="r", quantity=Quantity.TEMPERATURE),
        )
        self.now = 100.0
        self.reads = 0
        self.asked: set[frozenset[Quantity] | None] = set()
        self._value = value
        self._cost = cost

    def read(self, only: Collection[Quantity] | None = None) -> list[Reading]:
        self.reads += 1
        self.asked.add(frozenset(only) if only is not None else None)
        self.now += self._cost
        value = self._value(self.now)
        error = None if value is not None else "OSError"
        key = self.channels[0].key
        return [Reading(channel=key, seconds=self.now, value=value, error=error)]

    def close(self) -> None: ...

    def pause(self, seconds: float) -> None:
        self.now += seconds


def heard(sensor: Sensor, most_seconds: float = 1.0) -> Rhythm:
    (found,) = listen(
        sensor, clock=lambda: sensor.now, pause=sensor.pause, most_seconds=most_seconds
    )
    assert found.channel == "s/r/" + sensor.channels[0].quantity.value
    return found


def every(period: float) -> Callable[[float], float]:
    return lambda now: float(np.floor(now / period + 1e-9))


@pytest.mark.parametrize("period", [0.001, 0.007, 0.02, 0.1, 0.15])
def test_a_period_is_measured_whatever_is_stated(period: float) -> None:
    for nominal in (0.001, 0.1, None):
        found = heard(Sensor(every(period), nominal=nominal))
        assert found.seconds == pytest.approx(period, rel=0.02)
        assert found.jitter_seconds == pytest.approx(0, abs=0.001)
        assert found.reason is None


def test_nothing_but_energy_and_power_is_read_and_no_longer_than_it_takes() -> None:
    sensor = Sensor(every(0.001))
    heard(sensor)
    assert sensor.asked == {METERED}
    # Of a counter of a millisecond a few milliseconds are enough.
    assert sensor.now - 100 < 0.02
    slow = Sensor(every(0.1))
    heard(slow)
    assert 0.6 < slow.now - 100 < 1.0
    # As fast as it goes at first only: not for all of the time.
    assert slow.reads < 5000


@pytest.mark.parametrize("value", [lambda _: 42.0, lambda _: None])
def test_a_value_that_stays_or_fails_keeps_the_nominal_period_and_says_why(
    value: Callable[[float], float | None],
) -> None:
    sensor = Sensor(value, quantity=POWER)
    found = heard(sensor)
    assert found.seconds is None
    assert (found.reason or "").startswith("its value changed 0 times in the")
    (channel, _) = with_rhythms(sensor.channels, [found])
    assert channel.update_period_seconds == 0.1
    assert channel.period_basis is PeriodBasis.NOMINAL
    assert channel.period_reason == found.reason


def test_a_value_that_is_new_at_every_reading_tells_only_how_often_it_was_read() -> None:
    found = heard(Sensor(lambda now: now, quantity=POWER, nominal=0.007))
    assert found.seconds is None
    assert "at nearly every reading, 10.0 µs apart" in (found.reason or "")


def test_a_sensor_that_is_slower_than_the_watch_is_not_waited_for() -> None:
    sensor = Sensor(every(1.0), nominal=1.0)
    found = heard(sensor)
    assert sensor.reads == 0
    assert found.reason == "a new value every 1.00 s is too seldom to be watched for"


def test_equal_values_in_a_row_are_seen_through() -> None:
    values = np.random.default_rng(3).integers(0, 6, 5000).astype(float)
    found = heard(Sensor(lambda now: float(values[int(now / 0.02 + 1e-9) % 5000]), quantity=POWER))
    assert found.seconds == pytest.approx(0.02, rel=0.05)


def test_a_beat_that_is_kept_badly_has_jitter_and_none_at_all_has_no_beat() -> None:
    load = constant(200.0)
    shaky = SimulatedSensor(ENERGY, 0.1, resolution=0.001, jitter=0.008)
    channel = listened(load, shaky)
    assert channel.update_period_seconds == pytest.approx(0.1, rel=0.03)
    assert 0.002 < (channel.jitter_seconds or 0) < 0.02
    moments = np.cumsum([0.02, 0.11, 0.03, 0.15, 0.02, 0.09, 0.2, 0.02, 0.13, 0.05])
    found = heard(Sensor(lambda now: float(np.searchsorted(moments, now - 100))))
    assert found.jitter_seconds is None
    # The longest time that passed: none is known to be longer.
    assert found.seconds == pytest.approx(0.2, abs=0.01)


def test_the_last_answer_given_again_is_no_reading() -> None:
    old = Reading(channel="s/r/power_watts", seconds=1.0, value=5.0)
    new = [
        old.model_copy(update={"seconds": 1.0 + 0.001 * n, "value": n // 20}) for n in range(200)
    ]
    power = Channel(source="s", label="r", quantity=POWER)
    assert rhythm_of(power, new).seconds == pytest.approx(0.02, rel=0.01)

    class Repeating(Sensor):
        def read(self, only: Collection[Quantity] | None = None) -> list[Reading]:
            self.now += 0.001
            return [old]

    assert heard(Repeating(lambda _: None, quantity=POWER)).seconds is None


# --- in the sampler ----------------------------------------------------------------------------


class _Ticking:
    """A counter of 20 ms on the real clock, that states 100 ms."""

    name = "ticking"
    channels = (Channel(source="ticking", label="c", quantity=ENERGY, update_period_seconds=0.1),)

    def read(self, only: Collection[Quantity] | None = None) -> list[Reading]:
        now = perf_counter()
        return [Reading(channel=self.channels[0].key, seconds=now, value=now // 0.02)]

    def close(self) -> None: ...


class _Raising(_Ticking):
    name = "raising"
    channels = (_Ticking.channels[0].model_copy(update={"source": "raising"}),)

    def read(self, only: Collection[Quantity] | None = None) -> list[Reading]:
        raise RuntimeError("boom")


def test_the_sampler_listens_before_it_reads_and_hands_over_what_it_heard() -> None:
    openers = [
        Opener("ticking", lambda: ([_Ticking()], ()), may_block=True, listen=True),
        Opener("raising", lambda: ([_Raising()], ()), may_block=False, listen=True),
    ]
    sampler = Sampler.fork(lambda result: sample(openers, 100.0, (), None, result))
    assert sampler.wait_ready(60)
    trace = sampler.stop(60)
    heard_of = {rhythm.channel: rhythm for rhythm in trace.rhythms}
    ticking = heard_of["ticking/c/energy_joules"]
    assert ticking.seconds == pytest.approx(0.02, rel=0.2)
    raising = heard_of["raising/c/energy_joules"]
    assert raising.seconds is None
    assert raising.reason == "listening to it failed: RuntimeError: boom"
    known = with_periods(trace, trace.rhythms)
    assert known.series[0].channel.update_period_seconds == ticking.seconds
    assert known.series[0].channel.period_basis is PeriodBasis.MEASURED
    assert known.series[1].channel.period_basis is PeriodBasis.NOMINAL
    assert isinstance(known, Trace)


def test_without_being_asked_to_it_does_not_listen() -> None:
    openers = [Opener("ticking", lambda: ([_Ticking()], ()))]
    sampler = Sampler.fork(lambda result: sample(openers, 100.0, (), None, result))
    sampler.wait_ready(60)
    assert sampler.stop(60).rhythms == ()


# --- read off the beat -------------------------------------------------------------------------


def counter(source: str, period: float | None) -> tuple[Channel, ...]:
    return (Channel(source=source, label="c", quantity=ENERGY, update_period_seconds=period),)


def test_a_counter_is_not_read_in_step_with_its_own_beat() -> None:
    channels = counter("nvml", 0.1)
    read_every = period_seconds("nvml", channels, 10.0)
    phases = np.sort((np.arange(20) * read_every / 0.1) % 1.0)
    gaps = np.diff(np.concatenate([phases, phases[:1] + 1]))
    # Twenty readings fall on all parts of the counter's period; in step they would on one.
    assert gaps.max() < 0.15
    assert read_every <= 0.1
    # Not more often than the source may be asked.
    fastest = period_seconds("nvml", channels, 100.0)
    assert 1 / MAX_HERTZ["nvml"] <= fastest < 1.2 / MAX_HERTZ["nvml"]


def test_where_there_is_no_slow_counter_the_rate_is_what_was_asked_for() -> None:
    assert period_seconds(RAPL_PERF, counter(RAPL_PERF, 0.001), 10.0) == 0.1
    assert period_seconds("x", counter("x", None), 10.0) == 0.1
    power = (counter("x", 0.1)[0].model_copy(update={"quantity": POWER}),)
    assert period_seconds("x", power, 10.0) == 0.1


def test_a_load_that_comes_and_goes_does_not_hide_the_beat() -> None:
    window = calls(-2.0, 1.0, 0.01)
    load = bursts(window, 20.0, 300.0, [(0.15, 0.2), (0.1, 0.15)])
    for sensor in (
        SimulatedSensor(ENERGY, 0.1, resolution=0.001),
        SimulatedSensor(POWER, 0.1, averaging=0.025, resolution=0.001),
    ):
        channel = listened(load, replace(sensor, phase=0.03))
        if sensor.quantity is ENERGY:
            assert channel.update_period_seconds == pytest.approx(0.1, rel=0.02)
        else:
            # Two values that repeat: it may not be seen, and is never taken for faster.
            assert (channel.update_period_seconds or 0) >= 0.09
