"""How much latencies in a row repeat each other."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.signal import lfilter

from profiler.autocorrelation import (
    Correlation,
    Series,
    correlation,
    covariances,
    of_percentile,
    quantile,
)
from tests.benchmarks.coverage.traces import (
    AR_05,
    AR_08,
    AR_095,
    DWELL,
    INDEPENDENT,
    SLOW_SHARE,
    SWITCHING,
    Trace,
    Values,
)


def by_definition(centred: Values) -> Values:
    n = len(centred)
    return np.correlate(centred, centred, "full")[n - 1 :] / n


@pytest.mark.parametrize("n", [4, 63, 64, 65, 1000, 9000, 20_001])
@pytest.mark.parametrize("lags", [1, 2, 7, 64, 65, 700])
def test_covariances_are_those_of_the_definition(n: int, lags: int) -> None:
    # Lengths on both sides of a block's and of what is transformed at a time.
    values = np.random.default_rng(n).standard_normal(n)
    lags = min(lags, n)
    found = covariances(values - values.mean(), lags)
    assert found == pytest.approx(by_definition(values - values.mean())[:lags], abs=1e-12)


def initial_monotone_sequence(values: Values) -> Correlation:
    """Geyer's estimator, written from its definition."""
    n = len(values)
    rho = by_definition(values - values.mean())
    rho = rho / rho[0]
    total, lag, smallest = 0.0, 0, math.inf
    while lag + 1 < n and rho[lag] + rho[lag + 1] > 0:
        smallest = min(smallest, rho[lag] + rho[lag + 1])
        total += smallest
        lag += 2
    window = max(0, lag - 1)
    return Correlation(n, max(1.0, (2 * total - 1) * (1 + (2 * window + 1) / n)), window)


@pytest.mark.parametrize("trace", [INDEPENDENT, AR_05, AR_08, AR_095, SWITCHING])
@pytest.mark.parametrize("n", [5, 40, 333, 4000])
def test_a_window_is_found_directly_and_by_transforms_alike(trace: Trace, n: int) -> None:
    for seed in range(5):
        values = trace.make(np.random.default_rng(seed), n).values
        expected = initial_monotone_sequence(values)
        found = correlation(values)
        assert found.window == expected.window
        assert found.time == pytest.approx(min(n, expected.time))


@pytest.mark.parametrize(
    ("trace", "phi"), [(INDEPENDENT, 0.0), (AR_05, 0.5), (AR_08, 0.8), (AR_095, 0.95)]
)
def test_the_time_of_the_median_is_that_of_theory(trace: Trace, phi: float) -> None:
    # Of the sign of a Gaussian process: its autocorrelation is (2 / pi) arcsin(phi ** lag).
    expected = 1 + 2 * sum(2 / math.pi * math.asin(phi**lag) for lag in range(1, 400))
    rng = np.random.default_rng(1)
    times = [of_percentile(trace.make(rng, 20_000).values, 0.5).time for _ in range(12)]
    assert float(np.mean(times)) == pytest.approx(expected, rel=0.08)


def test_a_tail_shows_the_correlation_that_drowns_in_its_own_noise() -> None:
    """Slow iterations come fifty in a row, and p99 is among them."""
    forgets = 1 - 1 / (2 * DWELL * SLOW_SHARE) - 1 / (2 * DWELL * (1 - SLOW_SHARE))
    # One in a hundred of all is one in forty of the slow ones.
    above = 0.01 / SLOW_SHARE
    share = SLOW_SHARE * (1 - SLOW_SHARE) * above**2 / (0.01 * 0.99)
    expected = 1 + 2 * share * forgets / (1 - forgets)
    rng = np.random.default_rng(2)
    histories = [SWITCHING.make(rng, 10_000).values for _ in range(60)]
    found = [of_percentile(values, 0.99).time for values in histories]
    alone = [correlation((v <= np.quantile(v, 0.99)).astype(float)).time for v in histories]
    assert float(np.mean(found)) == pytest.approx(expected, rel=0.12)
    # What the median's window is for.
    assert float(np.mean(alone)) < 0.85 * expected


def test_a_tails_window_is_never_shorter_than_the_medians() -> None:
    for seed in range(10):
        series = Series(AR_08.make(np.random.default_rng(seed), 600).values)
        for level in (0.9, 0.95, 0.99):
            assert series.correlation(level).window >= series.correlation(0.5).window
            assert series.correlation(level).freedom <= series.correlation(0.5).freedom


def test_values_that_alternate_are_worth_no_more_than_independent_ones() -> None:
    found = correlation(np.array([0.0, 1.0] * 50))
    assert found.time == 1.0
    assert found.effective == 100


def test_a_drift_leaves_next_to_nothing_independent() -> None:
    found = of_percentile(np.linspace(1.0, 1.1, 2000), 0.5)
    assert found.effective < 10
    assert found.freedom < 2


def test_equal_values_are_not_correlated() -> None:
    assert correlation(np.full(50, 0.1)) == Correlation(n=50, time=1.0, window=0)
    assert of_percentile(np.full(50, 0.1), 0.99) == Correlation(n=50, time=1.0, window=0)


def test_freedom_is_what_the_window_leaves() -> None:
    assert Correlation(n=700, time=3.5, window=3).freedom == 100
    assert Correlation(n=700, time=3.5, window=3).effective == 200


def test_a_short_window_of_a_long_series_takes_no_transform(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What a look costs between blocks grows with the iterations, and not faster."""
    lengths: list[int] = []
    original = np.fft.rfft

    def recording(values: Values, n: int, axis: int) -> object:
        lengths.append(n)
        return original(values, n, axis=axis)

    monkeypatch.setattr(np.fft, "rfft", recording)
    rng = np.random.default_rng(4)
    of_percentile(INDEPENDENT.make(rng, 100_000).values, 0.5)
    assert lengths == []
    of_percentile(AR_095.make(rng, 100_000).values, 0.5)
    assert 0 < max(lengths) <= 1024


def test_calls_of_microseconds_tell_no_more_than_the_speeds_that_the_device_had_meanwhile() -> None:
    """A quarter of a million calls in a second, and the clock wanders within a hundredth of it.

    The effective number is small, and right: the indicator of the median of two Gaussian parts, a
    share of whose variance is an AR(1), has the autocorrelation (2/pi) asin(share phi^k) (Sheppard
    1899, "On the application of the theory of error to cases of normal distribution and normal
    correlation").
    """
    n, phi, wander, noise = 60_000, math.exp(-1 / 2000), 0.015, 0.02
    share = wander**2 / (wander**2 + noise**2)
    truth = 1 + 4 / math.pi * float(np.arcsin(share * phi ** np.arange(1.0, n)).sum())
    assert n / truth < 100
    rng = np.random.default_rng(8)
    found = []
    for _ in range(40):
        steps = rng.standard_normal(n) * math.sqrt(1 - phi**2)
        steps[0] = rng.standard_normal()
        speed = wander * lfilter([1.0], [1.0, -phi], steps)
        latencies = 4.4e-6 * np.exp(speed + noise * rng.standard_normal(n))
        found.append(of_percentile(np.round(latencies, 9), 0.5).time)
    # Of estimates that are as uncertain as this, the middle; 1 would be "all are independent".
    assert np.median(found) == pytest.approx(truth, rel=0.4)


@given(
    st.lists(st.floats(0, 1e6, allow_nan=False), min_size=1, max_size=60),
    st.floats(0, 1),
)
def test_quantiles_are_those_of_numpy(values: list[float], level: float) -> None:
    found = quantile(np.sort(values), level)
    assert found == pytest.approx(float(np.quantile(values, level)), rel=1e-9, abs=1e-12)
    assert min(values) <= found <= max(values)
