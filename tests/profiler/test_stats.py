"""Percentiles with intervals that hold, also where latencies in a row are correlated."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import accumulate

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from profiler import stats
from profiler.autocorrelation import autocorrelation, of_percentile

Trace = NDArray[np.float64]


def cumulative(n: int, level: float) -> list[float]:
    """P(B <= k) for k = 0 … n, from the definition of the binomial distribution."""
    return list(
        accumulate(math.comb(n, k) * level**k * (1 - level) ** (n - k) for k in range(n + 1))
    )


def ranks_by_search(n: int, level: float) -> tuple[int, int] | None:
    tail = 0.025
    below = cumulative(n, level)
    lower = [rank for rank in range(1, n + 1) if below[rank - 1] <= tail]
    upper = [rank for rank in range(1, n + 1) if 1 - below[rank - 1] <= tail]
    if not lower or not upper:
        return None
    return lower[-1], upper[0]


@pytest.mark.parametrize("level", [0.5, 0.9, 0.95])
def test_ranks_are_those_of_the_binomial_distribution(level: float) -> None:
    for n in [*range(1, 130), 200, 333]:
        assert stats.ranks(n, level) == ranks_by_search(n, level), n


@pytest.mark.parametrize("level", [0.5, 0.9, 0.99])
def test_an_interval_between_the_ranks_covers_at_least_the_confidence(level: float) -> None:
    for n in (6, 40, 400, 700):
        found = stats.ranks(n, level)
        if found is None:
            continue
        lower, upper = found
        below = cumulative(n, level)
        assert below[upper - 1] - below[lower - 1] >= 0.95


@pytest.mark.parametrize(
    ("level", "n"), [(0.5, 6), (0.9, 36), (0.95, 72), (0.99, 368), (0.999, 3688)]
)
def test_the_number_that_is_needed_is_the_smallest_that_suffices(level: float, n: int) -> None:
    assert stats.needed(level) == n
    assert stats.ranks(n, level) is not None
    assert stats.ranks(n - 1, level) is None


def independent(rng: np.random.Generator, n: int) -> Trace:
    return np.exp(0.1 * rng.standard_normal(n))


def correlated(rng: np.random.Generator, n: int, phi: float = 0.8) -> Trace:
    """AR(1) lognormal, from its stationary distribution."""
    noise = rng.standard_normal(n)
    state = np.empty(n)
    state[0] = noise[0]
    step = math.sqrt(1 - phi * phi)
    for i in range(1, n):
        state[i] = phi * state[i - 1] + step * noise[i]
    return np.exp(0.1 * state)


def coverage(make: Callable[[np.random.Generator, int], Trace]) -> tuple[float, float]:
    """Share of histories whose interval holds the true median 1: corrected, and uncorrected."""
    rng = np.random.default_rng(20260102)
    histories, n = 400, 500
    corrected = uncorrected = 0
    ranks = stats.ranks(n, 0.5)
    assert ranks is not None
    for _ in range(histories):
        values = make(rng, n)
        found = stats.percentile([values], 0.5).interval
        assert found is not None
        corrected += found.low <= 1.0 <= found.high
        ordered = np.sort(values)
        uncorrected += bool(ordered[ranks[0] - 1] <= 1.0 <= ordered[ranks[1] - 1])
    return corrected / histories, uncorrected / histories


def test_the_interval_of_the_median_covers_where_latencies_are_independent() -> None:
    corrected, uncorrected = coverage(independent)
    assert corrected >= 0.93
    assert uncorrected >= 0.92  # the simulation itself is sound


def test_the_interval_of_the_median_covers_where_latencies_are_correlated() -> None:
    corrected, uncorrected = coverage(correlated)
    assert corrected >= 0.90
    # What the correction is for: the usual interval misses far more often than one time in twenty.
    assert uncorrected < 0.70


def test_the_effective_number_is_that_of_the_correlation() -> None:
    rng = np.random.default_rng(7)
    n = 20_000
    assert of_percentile(independent(rng, n), 0.5).effective > 0.9 * n
    found = of_percentile(correlated(rng, n), 0.5).effective
    # tau of the sign of a Gaussian AR(1): 1 + 2 sum of (2/pi) asin(phi^k)
    tau = 1 + 2 * sum(2 / math.pi * math.asin(0.8**k) for k in range(1, 200))
    assert found == pytest.approx(n / tau, rel=0.25)


def test_a_tail_that_is_not_known_is_null_with_its_reason() -> None:
    rng = np.random.default_rng(3)
    found = stats.summarise([independent(rng, 300)])
    assert found.p95 is not None
    assert found.p95_reason is None
    assert found.p99 is None
    assert found.p99_reason is not None
    assert "368" in found.p99_reason
    assert found.p99_reason.startswith("300 iterations are worth ")
    assert found.p999 is None
    assert found.p999_reason is not None
    assert "3688" in found.p999_reason


def test_a_tail_that_is_known_is_given() -> None:
    rng = np.random.default_rng(3)
    found = stats.summarise([independent(rng, 6000)])
    assert found.p999 is not None
    assert found.p999_reason is None
    assert found.p99 is not None
    true = math.exp(0.1 * 2.3263)
    assert found.p99.low <= true <= found.p99.high


def test_a_median_of_too_few_has_no_bounds_and_says_so() -> None:
    found = stats.summarise([np.array([3.0, 1.0, 2.0])])
    assert found.p50 is not None
    assert (found.p50.value, found.p50.low, found.p50.high) == (2.0, None, None)
    assert found.p50_reason is not None
    assert "needs 6" in found.p50_reason


def test_one_iteration_is_enough_for_a_latency() -> None:
    found = stats.summarise([np.array([0.25])])
    assert found.n == 1
    assert found.p50 is not None
    assert found.p50.value == 0.25
    assert found.p90 is None


def test_outliers_are_counted_and_stay() -> None:
    values = np.concatenate([np.linspace(1.0, 1.1, 200), [5.0, 9.0]])
    found = stats.summarise([values])
    assert found.outliers == 2
    assert found.n == 202
    assert found.maximum == 9.0
    assert found.mean == pytest.approx(values.mean())


@pytest.mark.parametrize("value", [0.0, 0.1, 1 / 3, 1e-9, 12.5])
@pytest.mark.parametrize("n", [20, 100, 1001])
def test_a_constant_series_is_known_exactly(value: float, n: int) -> None:
    found = stats.summarise([np.full(n, value)])
    assert found.n_effective == n
    assert found.p50 is not None
    assert found.p50.low == found.p50.value == found.p50.high
    assert found.outliers == 0
    assert found.median_absolute_deviation == 0
    rho = autocorrelation(np.full(n, value))
    assert rho[0] == 1
    assert not rho[1:].any()


def test_autocorrelation_is_that_of_its_definition() -> None:
    rng = np.random.default_rng(1)
    values = correlated(rng, 257)
    centred = values - values.mean()
    expected = [float(centred[: 257 - k] @ centred[k:]) for k in range(257)]
    assert autocorrelation(values) == pytest.approx(np.array(expected) / expected[0])


@given(
    arrays(
        np.float64,
        st.integers(1, 400),
        elements=st.floats(0, 1e3, allow_nan=False, allow_subnormal=False),
    )
)
def test_low_value_and_high_are_in_order(values: Trace) -> None:
    found = stats.summarise([values])
    for interval in (found.p50, found.p90, found.p95, found.p99, found.p999):
        if interval is not None and interval.low is not None:
            assert interval.low <= interval.value <= interval.high
            assert values.min() <= interval.low
            assert interval.high <= values.max()
    assert 0 < found.n_effective <= found.n
    if found.n_effective < 6:
        assert found.p50.low is None
    for name in stats.PERCENTILES:
        assert getattr(found, name) is not None or getattr(found, f"{name}_reason")


def test_processes_far_apart_give_a_wide_interval_above_zero() -> None:
    rng = np.random.default_rng(2)
    groups = [level * independent(rng, 500) for level in (0.010, 0.021, 0.019)]
    found = stats.summarise(groups)
    assert found.p50 is not None
    assert found.p50.low is not None
    assert found.p50.high is not None
    assert 0 < found.p50.low < 0.010
    assert found.p50.high > 0.021
    # By a factor, and so as far up as down.
    assert found.p50.high / found.p50.value == pytest.approx(
        found.p50.value / found.p50.low, rel=1e-6
    )


def test_processes_of_one_call_each_still_bound_their_median() -> None:
    found = stats.summarise([np.array([value]) for value in (1.00, 1.01, 0.99, 1.02, 0.98)])
    assert found.p50 is not None
    assert found.p50.low is not None
    assert found.p50.high is not None
    assert 0.97 < found.p50.low < 1.0 < found.p50.high < 1.03
    assert found.p90 is None
