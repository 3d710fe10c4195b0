"""Intervals of a ratio that cover it, verdicts that follow from them, and what is refused."""

from __future__ import annotations

import math
import tracemalloc
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydantic import ValidationError
from scipy.signal import lfilter
from scipy.stats import ttest_ind

from profiler.autocorrelation import of_percentile
from profiler.comparing import bootstrap, log_ratio
from profiler.comparing.bootstrap import describe, resampled_medians
from profiler.comparing.compare import (
    Basis,
    Comparison,
    Method,
    Names,
    Round,
    Verdict,
    compare,
    compare_medians,
    compare_paired,
    control_false_discoveries,
    judge,
)
from profiler.errors import InputError
from profiler.result import Interval

Groups = list[NDArray[np.float64]]

MODELS = Names("before", "mobilenet_v3_large")


def correlated(rng: np.random.Generator, shape: tuple[int, int], phi: float) -> NDArray[np.float64]:
    """Rows of a Gaussian AR(1) of unit variance, each from its stationary distribution."""
    noise = rng.standard_normal(shape) * math.sqrt(1 - phi * phi)
    noise[:, 0] /= math.sqrt(1 - phi * phi)
    return np.asarray(lfilter([1], [1, -phi], noise, axis=1), dtype=np.float64)


def processes(
    rng: np.random.Generator,
    median: float = 0.016,
    *,
    count: int = 5,
    n: int = 200,
    between: float = 0.02,
    within: float = 0.05,
    phi: float = 0.5,
) -> Groups:
    """Latencies of ``count`` processes: lognormal between them, lognormal AR(1) inside."""
    apart = between * rng.standard_normal((count, 1))
    return list(median * np.exp(apart + within * correlated(rng, (count, n), phi)))


# --- coverage ---------------------------------------------------------------------------------

HISTORIES = 300
DRAWS = 600


def plain(baseline: Groups, candidate: Groups, rng: np.random.Generator) -> tuple[float, float]:
    """The hierarchical bootstrap of the textbooks: both levels drawn at once, no correction."""
    total = np.zeros(DRAWS)
    for sign, groups in ((-1, baseline), (1, candidate)):
        inside = np.array([resampled_medians(describe(g), DRAWS, rng) for g in groups])
        drawn = rng.integers(len(groups), size=(DRAWS, len(groups)))
        columns = rng.integers(DRAWS, size=(DRAWS, len(groups)))
        total += sign * inside[drawn, columns].mean(axis=1)
    low, high = np.quantile(total, [0.025, 0.975])
    return float(low), float(high)


@pytest.mark.parametrize(("phi", "within", "ratio"), [(0.5, 0.01, 1.0), (0.8, 0.05, 1.05)])
def test_the_interval_covers_where_processes_differ(
    phi: float, within: float, ratio: float
) -> None:
    rng = np.random.default_rng(20260203)
    true = math.log(ratio)
    covered = covered_plainly = 0
    for history in range(HISTORIES):
        old = processes(rng, phi=phi, within=within)
        new = processes(rng, 0.016 * ratio, phi=phi, within=within)
        found = bootstrap.log_ratio(old, new, resamples=DRAWS, seed=history)
        assert found.low is not None
        assert found.high is not None
        covered += found.low <= true <= found.high
        if phi == 0.5:
            low, high = plain(old, new, rng)
            covered_plainly += low <= true <= high
    assert covered / HISTORIES >= 0.93
    if phi == 0.5:
        # What the correction is for: without it, one interval in ten misses, not one in twenty.
        assert covered_plainly / HISTORIES < 0.92


@pytest.mark.parametrize("count", [2, 3, 5])
def test_without_noise_inside_the_bootstrap_is_as_wide_as_welchs_interval(count: int) -> None:
    rng = np.random.default_rng(11)
    widths = []
    for seed in range(60):
        old, new = (processes(rng, count=count, n=20, within=0.0) for _ in range(2))
        found = bootstrap.log_ratio(old, new, resamples=4000, seed=seed)
        exact = log_ratio.of_medians([g[0] for g in old], [g[0] for g in new])
        assert found.value == pytest.approx(exact.value)
        widths.append((found.high - found.low) / (exact.high - exact.low))
    # A draw of two or three has few values to take, and its quantiles are theirs.
    assert np.mean(widths) == pytest.approx(1.0, abs=0.03 if count == 5 else 0.15)


def test_the_spread_of_resampled_medians_is_that_of_medians() -> None:
    rng = np.random.default_rng(12)
    series = np.exp(0.1 * correlated(rng, (300, 2000), 0.8))
    true = np.log(np.median(series, axis=1)).std()
    found = [resampled_medians(describe(row), 500, rng).std() for row in series[:60]]
    assert np.mean(found) == pytest.approx(true, rel=0.12)


def test_few_blocks_are_not_too_narrow() -> None:
    rng = np.random.default_rng(23)
    series = np.exp(0.1 * rng.standard_normal((400, 1000)))
    true = np.log(np.median(series, axis=1)).var()
    found = [resampled_medians(describe(row, most_blocks=4), 300, rng).var() for row in series]
    # Three quarters of it without the correction for four blocks.
    assert np.mean(found) == pytest.approx(true, rel=0.15)


def test_a_block_is_longer_than_the_correlation() -> None:
    rng = np.random.default_rng(13)
    for phi in (0.0, 0.5, 0.8, 0.95):
        values = np.exp(0.1 * correlated(rng, (1, 4000), phi)[0])
        length = len(values) / len(describe(values).shares)
        assert length >= 4.9 * of_percentile(values, 0.5).time


def test_processes_that_happen_to_agree_promise_no_more_than_their_iterations() -> None:
    rng = np.random.default_rng(14)
    values = np.exp(0.1 * correlated(rng, (1, 1000), 0.9)[0])
    agreeing = [values, values, values]
    assert log_ratio.of_medians([1.0] * 3, [1.0] * 3).high == 0
    found = compare(agreeing, agreeing).ratio
    shuffled = [rng.permutation(values) for _ in range(3)]
    independent = compare(shuffled, shuffled).ratio
    assert found is not None
    assert independent is not None
    assert independent.high - independent.low > 0
    # The same numbers in another order: blocks are what tells them apart.
    assert found.high - found.low > 2 * (independent.high - independent.low)


def test_the_same_data_give_the_same_answer() -> None:
    rng = np.random.default_rng(15)
    old, new = processes(rng), processes(rng)
    assert compare(old, new) == compare(old, new)
    assert compare(old, new) != compare(old, new, seed=1)


# --- Welch's interval -------------------------------------------------------------------------

Medians = st.lists(st.floats(1e-6, 1e2), min_size=2, max_size=8)


def test_medians_alone_are_compared_by_welchs_test() -> None:
    rng = np.random.default_rng(16)
    for sizes in ((5, 5), (2, 9), (7, 3)):
        old, new = (np.exp(0.02 * rng.standard_normal(size)) for size in sizes)
        found = compare_medians(list(old), list(new))
        assert found.method is Method.MEDIANS
        expected = ttest_ind(np.log(new), np.log(old), equal_var=False).pvalue
        assert found.p_value == pytest.approx(expected)


@given(Medians, Medians)
def test_swapping_the_sides_mirrors_the_answer(old: list[float], new: list[float]) -> None:
    there, back = compare_medians(old, new), compare_medians(new, old)
    mirrored = {Verdict.FASTER: Verdict.SLOWER, Verdict.SLOWER: Verdict.FASTER}
    assert back.ratio.value == pytest.approx(1 / there.ratio.value)
    assert back.ratio.low == pytest.approx(1 / there.ratio.high)
    if all(
        abs(b - e) > 1e-9 for b in (there.ratio.low, there.ratio.high) for e in (1, 1.01, 1 / 1.01)
    ):
        assert back.verdict is mirrored.get(there.verdict, there.verdict)


@given(Medians, Medians, st.floats(1e-3, 1e3))
def test_the_unit_does_not_matter(old: list[float], new: list[float], unit: float) -> None:
    found = compare_medians(old, new)
    other = compare_medians([unit * v for v in old], [unit * v for v in new])
    assert other.ratio.value == pytest.approx(found.ratio.value)
    assert found.ratio.low <= found.ratio.value <= found.ratio.high


@given(Medians, Medians)
def test_a_p_value_below_the_risk_is_an_interval_that_excludes_one(
    old: list[float], new: list[float]
) -> None:
    found = log_ratio.of_medians(old, new)
    if found.p_value == pytest.approx(0.05, abs=1e-6) or max(found.high - found.low, 0) < 1e-12:
        return
    assert (found.p_value < 0.05) == (found.low > 0 or found.high < 0)


def test_figures_with_intervals_of_their_own_have_a_ratio() -> None:
    old = Interval(value=2.0, low=1.9, high=2.1)
    new = Interval(value=3.0, low=2.8, high=3.3)
    found = log_ratio.of_intervals(old, new, 4)
    assert found.value == pytest.approx(math.log(1.5))
    assert found.high == pytest.approx(math.log(1.5) + math.hypot(math.log(1.1), math.log(2 / 1.9)))
    exact = Interval(value=2.0, low=2.0, high=2.0)
    own = log_ratio.of_intervals(exact, new, 4).interval()
    assert (own.value, own.low, own.high) == pytest.approx((1.5, 1.4, 1.65))
    unbounded = Interval(value=2.0, low=None, high=None)
    assert log_ratio.of_intervals(unbounded, new, 4).reason is not None


# --- verdicts ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (0.995, 1.005, Verdict.SAME),
        (1.002, 1.006, Verdict.SAME),
        (1.002, 1.02, Verdict.SLOWER),
        (1.02, 1.03, Verdict.SLOWER),
        (0.90, 0.95, Verdict.FASTER),
        (0.90, 0.999, Verdict.FASTER),
        (0.98, 1.005, Verdict.INCONCLUSIVE),
        (0.5, 2.0, Verdict.INCONCLUSIVE),
        (1.0, 1.02, Verdict.INCONCLUSIVE),
        (1 / 1.01, 1.01, Verdict.SAME),
        (None, None, Verdict.INCONCLUSIVE),
    ],
)
def test_a_verdict_follows_from_the_interval(
    low: float | None, high: float | None, verdict: Verdict
) -> None:
    assert judge(Interval(value=1.0, low=low, high=high)) is verdict


def test_the_margin_is_the_users() -> None:
    interval = Interval(value=1.03, low=1.02, high=1.04)
    assert judge(interval, 0.01) is Verdict.SLOWER
    assert judge(interval, 0.05) is Verdict.SAME


def test_a_slower_candidate_is_said_in_words() -> None:
    rng = np.random.default_rng(5)
    old = processes(rng, between=0.005, within=0.02)
    new = processes(rng, 0.016 * 1.032, between=0.005, within=0.02)
    found = compare(old, new, names=MODELS)
    assert found.verdict is Verdict.SLOWER
    assert found.p_value < 0.001
    low, high = f"{found.ratio.low:.3f}", f"{found.ratio.high:.3f}"
    percent = f"{100 * (found.ratio.value - 1):.1f}"
    assert found.sentence == (
        f"mobilenet_v3_large is {percent} % slower than before: "
        f"ratio {found.ratio.value:.3f} [{low}, {high}] (5 and 5 processes)."
    )


EXACT = [1.0, 1.0, 1.0]


@pytest.mark.parametrize(
    ("factor", "words"),
    [
        (1.0, "mobilenet_v3_large is as fast as before, within ±1 %: ratio 1.000 [1.000, 1.000]"),
        (1.25, "mobilenet_v3_large is 25 % slower than before: ratio 1.250"),
        (0.75, "mobilenet_v3_large is 25 % faster than before: ratio 0.750"),
        (3.0, "mobilenet_v3_large takes 3.00 times as long as before: ratio 3.000"),
        (0.25, "mobilenet_v3_large is 4.00 times as fast as before: ratio 0.250"),
        (0.001, "mobilenet_v3_large is 1000 times as fast as before: ratio 0.001"),
    ],
)
def test_words_for_any_size_of_difference(factor: float, words: str) -> None:
    found = compare_medians(EXACT, [factor * v for v in EXACT], names=MODELS)
    assert found.sentence.startswith(words)
    assert found.sentence.endswith("(3 and 3 processes).")


def test_a_certain_difference_that_may_not_matter_is_said_so() -> None:
    found = compare_medians([1.0, 1.0001], [1.005, 1.0051, 1.005, 1.02], names=MODELS)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "the interval includes 1 and reaches beyond ±1 %" in found.sentence
    found = compare_medians([1.0, 1.001, 0.999] * 3, [1.011, 1.012, 1.008] * 3, names=MODELS)
    assert found.verdict is Verdict.SLOWER
    assert found.ratio.low < 1.01
    assert "may be smaller than 1 %" in found.sentence


def test_units_of_the_sentinel_are_said() -> None:
    found = compare_medians(EXACT, EXACT, basis=Basis.SENTINEL)
    assert found.basis is Basis.SENTINEL
    assert "in units of the sentinel" in found.sentence


def test_a_comparison_is_what_its_json_says() -> None:
    found = compare_medians([1.0, 1.1], [1.2, 1.3])
    assert Comparison.model_validate_json(found.model_dump_json()) == found


# --- rounds -----------------------------------------------------------------------------------


def rounds(count: int, ratio: float, seed: int = 1) -> list[Round]:
    """ABBA rounds on a device whose speed changes by a third from round to round, and drifts."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        speed, drift = math.exp(0.3 * rng.standard_normal()), 0.05 * rng.standard_normal()
        base = [speed * math.exp(place * drift) for place in range(4)]
        noise = np.exp(0.002 * rng.standard_normal(4))
        a1, b1, b2, a2 = (b * n for b, n in zip(base, noise, strict=True))
        found.append(Round(baseline=(a1, a2), candidate=(ratio * b1, ratio * b2)))
    return found


def test_what_slows_a_whole_round_cancels() -> None:
    measured = rounds(8, 1.03)
    found = compare_paired(measured, names=MODELS)
    assert found.verdict is Verdict.SLOWER
    assert found.ratio.low < 1.03 < found.ratio.high
    assert found.ratio.high - found.ratio.low < 0.01
    assert (found.rounds, found.baseline_processes, found.candidate_processes) == (8, 16, 16)
    assert "(8 rounds, 16 and 16 processes)" in found.sentence
    apart = compare_medians(
        [v for each in measured for v in each.baseline],
        [v for each in measured for v in each.candidate],
    )
    assert apart.verdict is Verdict.INCONCLUSIVE


def test_equals_in_rounds_are_the_same() -> None:
    assert compare_paired(rounds(8, 1.0)).verdict is Verdict.SAME


def test_too_few_rounds_bound_nothing() -> None:
    for count in (1, 2, 3):
        found = compare_paired(rounds(count, 2.0))
        assert found.verdict is Verdict.INCONCLUSIVE
        assert found.ratio.low is None
        assert f"{count} round(s) bound nothing; 4 or more do" in found.sentence
    assert compare_paired(rounds(4, 2.0)).verdict is Verdict.SLOWER


def test_rounds_without_figures_are_refused() -> None:
    with pytest.raises(InputError, match="rounds"):
        compare_paired([])
    with pytest.raises(InputError, match="candidate of round 2"):
        compare_paired([*rounds(1, 1.0), Round(baseline=(1.0,), candidate=(0.0,))])
    with pytest.raises(ValidationError):
        Round(baseline=(), candidate=(1.0,))
    with pytest.raises(ValidationError):
        Round(baseline=(float("nan"),), candidate=(1.0,))


# --- several comparisons ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given_values", "expected"),
    [
        ([0.01, 0.02, 0.03, 0.04, 0.05], [0.05] * 5),
        ([0.005, 0.04, 0.03, 0.5], [0.02, 0.04 * 4 / 3, 0.04 * 4 / 3, 0.5]),
        ([0.9, 0.8], [0.9, 0.9]),
        ([0.0], [0.0]),
    ],
)
def test_p_values_are_adjusted_for_their_number(
    given_values: list[float], expected: list[float]
) -> None:
    assert log_ratio.false_discovery_adjusted(given_values) == pytest.approx(expected)


def equals(rng: np.random.Generator) -> Comparison:
    old, new = (list(np.exp(0.02 * rng.standard_normal(5))) for _ in range(2))
    return compare_medians(old, new)


def test_chance_names_no_winners_in_a_suite() -> None:
    rng = np.random.default_rng(17)
    suites = [[equals(rng) for _ in range(20)] for _ in range(100)]
    wrong = [any(each.verdict.winner for each in suite) for suite in suites]
    controlled = [
        any(each.verdict.winner for each in control_false_discoveries(suite)) for suite in suites
    ]
    assert np.mean(wrong) > 0.4
    assert np.mean(controlled) <= 0.08


def test_a_winner_that_does_not_survive_says_so() -> None:
    lucky = compare_medians([1.0, 1.01, 1.02], [1.05, 1.03, 1.06], names=MODELS)
    assert lucky.verdict is Verdict.SLOWER
    clear = compare_medians([1.0, 1.01, 1.02], [2.0, 2.01, 2.02])
    dull = [compare_medians([1.0, 1.1, 0.9], [1.0, 1.12, 0.91])] * 8
    found = control_false_discoveries([lucky, clear, *dull])
    assert found[0].verdict is Verdict.INCONCLUSIVE
    assert found[0].adjusted_p_value > 0.05 > found[0].p_value
    assert "as one of 10 comparisons it does not survive" in found[0].sentence
    assert found[1].verdict is Verdict.SLOWER
    assert found[1].adjusted_p_value is not None


def test_what_claims_nothing_is_not_counted() -> None:
    unbounded = compare_medians([1.0], [1.0])
    one = compare_medians([1.0, 1.01, 1.02], [1.05, 1.03, 1.06])
    found = control_false_discoveries([unbounded, one, unbounded])
    assert found == (unbounded, one, unbounded)


# --- edges ------------------------------------------------------------------------------------


def test_one_process_bounds_nothing() -> None:
    rng = np.random.default_rng(18)
    for old, new in ((1, 5), (5, 1), (1, 1)):
        found = compare(processes(rng, count=old), processes(rng, 0.032, count=new))
        assert found.verdict is Verdict.INCONCLUSIVE
        assert (found.ratio.low, found.ratio.high, found.p_value) == (None, None, None)
        assert f"{old} and {new} processes: how much processes differ" in found.sentence
        assert "fewer than 2" in found.reason


def test_constant_latencies_are_known_exactly() -> None:
    old = [np.full(50, 0.1)] * 3
    found = compare(old, old)
    assert found.verdict is Verdict.SAME
    assert found.ratio.low == pytest.approx(1)
    assert found.ratio.high == pytest.approx(1)
    assert compare(old, [np.full(50, 0.12)] * 3).verdict is Verdict.SLOWER
    mixed = compare(old, processes(np.random.default_rng(19), 0.2))
    assert mixed.verdict is Verdict.SLOWER
    assert mixed.ratio.high > mixed.ratio.low


def test_a_clock_that_reads_zero_at_times_leaves_bounds_above_zero() -> None:
    rng = np.random.default_rng(20)
    coarse = [rng.choice([0.0, 1e-6, 2e-6], p=[0.4, 0.4, 0.2], size=500) for _ in range(3)]
    found = compare(coarse, coarse)
    assert found.ratio.low > 0
    assert math.isfinite(found.ratio.high)


def test_hugely_different_numbers_of_iterations_and_processes() -> None:
    rng = np.random.default_rng(21)
    old = processes(rng, count=3, n=100_000, between=0.001)
    new = processes(rng, 0.032, count=20, n=1, between=0.001, within=0.01)
    found = compare(old, new)
    assert found.verdict is Verdict.SLOWER
    assert found.ratio.low < 2 < found.ratio.high
    assert (found.baseline_processes, found.candidate_processes) == (3, 20)


def test_a_million_iterations_fit_into_little_memory() -> None:
    rng = np.random.default_rng(22)
    sides = [list(np.exp(0.1 * rng.standard_normal((2, 250_000)))) for _ in range(2)]
    tracemalloc.start()
    try:
        found = compare(*sides)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert found.ratio.low is not None
    assert peak < 200e6


OK = [np.array([1.0, 1.1, 1.2])] * 2


@pytest.mark.parametrize(
    ("groups", "words"),
    [
        ([], "no process"),
        ([np.array([])], "process 1"),
        ([OK[0], np.array([])], "process 2"),
        ([OK[0], np.array([1.0, np.nan])], "process 2"),
        ([OK[0], np.array([1.0, np.inf])], "process 2"),
        ([OK[0], np.array([1.0, -1.0])], "process 2"),
        ([OK[0], np.zeros(5)], "above 0"),
        ([OK[0], np.array([0.0, 0.0, 1.0])], "above 0"),
        ([np.ones((2, 2))], "process 1"),
    ],
    ids=["none", "empty", "second", "nan", "infinite", "negative", "zeros", "median", "matrix"],
)
def test_what_is_no_latency_is_refused_by_name(groups: Sequence[Groups], words: str) -> None:
    for old, new, side in ((groups, OK, "baseline"), (OK, groups, "candidate")):
        with pytest.raises(InputError) as caught:
            compare(old, new)
        assert caught.value.field == side
        assert words in str(caught.value)


@pytest.mark.parametrize("medians", [[], [0.0, 1.0], [1.0, float("nan")], [1.0, -1.0]])
def test_medians_that_are_none_are_refused(medians: list[float]) -> None:
    with pytest.raises(InputError, match="candidate"):
        compare_medians([1.0, 1.0], medians)


@pytest.mark.parametrize("margin", [0.0, -0.01, 1.0, float("nan"), float("inf")])
def test_a_margin_that_is_none_is_refused(margin: float) -> None:
    with pytest.raises(InputError, match="margin"):
        compare_medians([1.0], [1.0], margin=margin)
