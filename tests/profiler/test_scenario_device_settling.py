"""``sustained``: when the device settled, and the latency from then on, from what is kept."""

from __future__ import annotations

import numpy as np
import pytest

from profiler.result import SustainedReport
from profiler.samples import Iterations
from profiler.scenarios.device_settling import describe
from profiler.sensors.base import Channel, Quantity
from profiler.sensors.trace import Floats, Series, Trace

BEGIN = 1000.0
# The warm-up is load too.
WARMUP_SECONDS = 5.0
STEP = 0.02


def iterations(seconds: float, hot: float = 1.0, *, from_: float = 0.0) -> Iterations:
    """One process: a warm-up, then timed calls, ``hot`` times slower from ``from_`` on."""
    stamps = []
    at = BEGIN
    while at < BEGIN + WARMUP_SECONDS + seconds:
        latency = STEP * (hot if at - BEGIN - WARMUP_SECONDS >= from_ else 1.0)
        stamps.append((int(at * 1e9), int((at + latency) * 1e9)))
        at += latency
    warm = [s for s in stamps if s[0] < (BEGIN + WARMUP_SECONDS) * 1e9]
    return Iterations.from_stamps(0, warm, stamps[len(warm) :])


def trace(celsius: Floats, quantity: Quantity = Quantity.TEMPERATURE) -> Trace:
    """One reading a second, from the begin of the load."""
    channel = Channel(source="s", label="l", quantity=quantity, resolution=0.01)
    seconds = BEGIN + np.arange(len(celsius), dtype=np.float64)
    return Trace(series=(Series(channel, seconds, celsius),), absent=(), report=None)


def rising_for(seconds: int, total: int = 120) -> Trace:
    rise = np.minimum(np.arange(total, dtype=np.float64), seconds)
    return trace(40 + rise)


def test_the_settled_part_is_told_beside_the_whole() -> None:
    found = describe(iterations(80.0, 1.5, from_=20.0), rising_for(40))
    assert found.device_settled
    assert found.device_settled_reason is None
    # It rises until 35 s of the timed part, and the window of 10 s must have left that behind.
    assert found.device_settled_after_seconds is not None
    assert 42 <= found.device_settled_after_seconds <= 47
    settled = found.settled_latency
    assert settled is not None
    assert settled.p50 is not None
    assert settled.p50.value == pytest.approx(1.5 * STEP, rel=1e-3)
    assert settled.n == pytest.approx((80 - found.device_settled_after_seconds) / 0.03, rel=0.05)
    assert found.slowdown is not None
    assert found.slowdown.value == pytest.approx(1.5, rel=1e-3)


def test_what_was_settled_from_the_start_is_settled_as_a_whole() -> None:
    # Judged when the load has lasted for a window, of which the warm-up was half.
    found = describe(iterations(60.0), rising_for(0))
    assert found.device_settled_after_seconds == pytest.approx(5, abs=1.5)
    assert found.settled_latency is not None


def check_unsettled(found: SustainedReport, reason: str) -> None:
    assert found.device_settled_after_seconds is None
    assert found.settled_latency is None
    assert found.settled_latency_reason is not None
    assert found.device_settled_reason is not None
    assert reason in found.device_settled_reason
    assert reason in found.settled_latency_reason


def test_a_device_that_still_heats_up_has_no_settled_latency() -> None:
    found = describe(iterations(80.0), rising_for(500, total=100))
    assert found.device_settled is False
    check_unsettled(found, "s/l/temperature_celsius changes by +10.00 °C in 10 s")


def test_without_sensors_it_is_as_if_nobody_had_asked() -> None:
    power = trace(np.full(100, 5.0), Quantity.POWER)
    for given, reason in (
        (power, "no clock and no temperature can be read here"),
        (None, "the sampler was off"),
        (Trace(series=(), absent=(), report=None, lost="killed"), "the sampler was lost: killed"),
    ):
        found = describe(iterations(30.0), given)
        assert found.device_settled is None
        check_unsettled(found, reason)
        assert len(found.windows) > 1
