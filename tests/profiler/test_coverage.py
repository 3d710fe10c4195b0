"""How often intervals hold: the short version of ``tests/benchmarks/coverage``.

Histories with known truth go through the real stop rule. Each correction is also taken away once,
to see that the simulation would tell.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from profiler import autocorrelation, stats
from profiler.autocorrelation import Correlation
from profiler.spec import StopSpec
from tests.benchmarks.coverage import rules, tables
from tests.benchmarks.coverage.cost import GOALS, LENGTHS, PERCENTILES, TRACES
from tests.benchmarks.coverage.repetitions import BETWEEN, study_repetitions, true_percentile
from tests.benchmarks.coverage.rules import FLEETMARK, RULES, Timed
from tests.benchmarks.coverage.simulate import Share, Statement, Tally, follow, of_interval
from tests.benchmarks.coverage.study import CAP, Found, generator, study
from tests.benchmarks.coverage.traces import (
    AR_05,
    AR_08,
    AR_095,
    BIMODAL,
    DRIFTING,
    HEAVY,
    INDEPENDENT,
    MOVING,
    PERIODIC,
    STATIONARY,
    SWITCHING,
    WALKING,
    Trace,
)

SEED = 7


def through_the_rule(trace: Trace, percentile: str, histories: int, first: int = 100) -> Tally:
    rng, tally = generator(SEED, trace), Tally()
    truth = trace.percentile(stats.PERCENTILES[percentile])
    for _ in range(histories):
        values = trace.make(rng, CAP).values
        tally.add(follow(values, StopSpec(percentile=percentile), first), truth)
    return tally


def of_length(trace: Trace, n: int, histories: int) -> Tally:
    rng, tally = generator(SEED, trace), Tally()
    for _ in range(histories):
        values = trace.make(rng, n).values
        said = of_interval(values, 0.5, stats.percentile([values], 0.5).interval)
        tally.add(said, trace.percentile(0.5))
    return tally


def value(share: Share) -> float:
    assert share.value is not None
    return share.value


# --- one process -----------------------------------------------------------------------------


def nominal(count: int) -> float:
    """95 %, less what chance may take from so many histories."""
    return 0.95 - 2.5 * math.sqrt(0.95 * 0.05 / count)


@pytest.mark.parametrize(
    ("trace", "percentile", "histories"),
    [
        (INDEPENDENT, "p50", 400),
        (INDEPENDENT, "p90", 300),
        (AR_05, "p50", 300),
        (AR_05, "p99", 150),
        (AR_08, "p50", 250),
        (AR_08, "p90", 100),
        (BIMODAL, "p50", 300),
        (HEAVY, "p90", 200),
        (PERIODIC, "p99", 150),
    ],
    ids=lambda value: getattr(value, "label", None),
)
def test_an_interval_that_is_enough_holds(trace: Trace, percentile: str, histories: int) -> None:
    found = through_the_rule(trace, percentile, histories)
    assert value(found.coverage_of_converged()) >= nominal(histories)
    assert all(found.converged)
    assert max(found.half) <= 0.01


@pytest.mark.parametrize(
    ("trace", "percentile"),
    [(AR_095, "p50"), (SWITCHING, "p50"), (SWITCHING, "p90")],
    ids=lambda value: getattr(value, "label", None),
)
def test_what_is_too_slow_to_be_known_is_flagged_and_not_false(
    trace: Trace, percentile: str
) -> None:
    found = through_the_rule(trace, percentile, 40)
    assert value(found.coverage_of_converged()) >= 0.88
    assert not all(found.converged)


def test_a_tail_that_nobody_can_know_in_time_is_flagged() -> None:
    found = through_the_rule(HEAVY, "p99", 20)
    assert not any(found.converged)
    assert value(found.coverage()) >= 0.85


def test_without_correction_for_correlation_the_simulation_would_tell(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def uncorrelated(values: autocorrelation.Values, least_window: int = 0) -> Correlation:
        return Correlation(len(values), 1.0, 0)

    monkeypatch.setattr(autocorrelation, "correlation", uncorrelated)
    found = through_the_rule(AR_08, "p50", 200)
    assert value(found.coverage_of_converged()) < 0.75


def test_intervals_of_short_runs_are_rarely_false() -> None:
    """Most have none; that one is given and does not hold is as rare as it should be."""
    for trace, n in ((AR_095, 100), (AR_08, 60), (AR_05, 30)):
        assert value(of_length(trace, n, 500).false()) <= 0.08


def test_without_students_quantile_the_simulation_would_tell(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stats, "student", lambda _: stats.NORMAL)
    assert value(of_length(AR_095, 100, 500).false()) > 0.10


# --- several processes -----------------------------------------------------------------------


def between_processes(percentile: str, runs: int = 500) -> Share:
    """Five processes that differ by 2 %, of 200 iterations each."""
    rng, tally = generator(SEED, INDEPENDENT), Tally()
    level, between = stats.PERCENTILES[percentile], BETWEEN[2]
    for _ in range(runs):
        groups = [INDEPENDENT.make(rng, 200).values * factor for factor in between.draw(rng)]
        interval = stats.percentile(groups, level).interval
        said = of_interval(np.concatenate(groups), level, interval)
        tally.add(said, true_percentile(INDEPENDENT, between, level))
    return tally.coverage()


@pytest.mark.parametrize("percentile", ["p50", "p90", "p95"])
def test_an_interval_over_processes_holds_for_processes_to_come(percentile: str) -> None:
    assert value(between_processes(percentile)) >= nominal(500)


def test_what_slows_a_process_slows_its_tail_by_the_same_factor() -> None:
    """Every tenth iteration takes three times as long, and p95 is in the midst of those."""
    rng, tally = generator(SEED, INDEPENDENT), Tally()
    for _ in range(300):
        slow = np.arange(400) % 10 == 0
        groups = [
            np.where(slow, 3.0, 1.0) * factor * np.exp(0.002 * rng.standard_normal(400))
            for factor in BETWEEN[2].draw(rng)
        ]
        interval = stats.percentile(groups, 0.95).interval
        tally.add(of_interval(np.concatenate(groups), 0.95, interval), 3.0)
    assert value(tally.coverage()) >= nominal(300)


def test_without_the_variance_between_processes_the_simulation_would_tell(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stats.Measured, "between", 0.0)
    assert value(between_processes("p50", 200)) < 0.75


def test_with_the_normal_quantile_between_processes_the_simulation_would_tell(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stats, "student", lambda _: stats.NORMAL)
    assert value(between_processes("p50")) < 0.91


# --- the simulation itself -------------------------------------------------------------------


@pytest.mark.parametrize("trace", [*STATIONARY, *MOVING], ids=lambda trace: trace.label)
def test_the_truth_of_a_trace_is_that_of_what_it_makes(trace: Trace) -> None:
    rng = generator(SEED, trace)
    histories = [trace.make(rng, CAP) for _ in range(25)]
    values = np.concatenate([history.values for history in histories])
    levels = None
    if histories[0].levels is not None:
        levels = np.concatenate([h.levels for h in histories if h.levels is not None])
    for level in (0.5, 0.9, 0.99):
        truth = trace.percentile(level, levels)
        assert float(np.quantile(values, level)) == pytest.approx(truth, rel=0.01 + 0.02 * level)
        below = float(np.mean(values <= truth))
        assert below == pytest.approx(level, abs=0.012)
    if trace is not HEAVY:  # of infinite variance
        assert float(values.mean()) == pytest.approx(trace.true_mean(levels), rel=0.003)


def test_a_dwell_in_a_mode_lasts_fifty_iterations() -> None:
    values = SWITCHING.make(generator(SEED, SWITCHING), 400_000).values
    slow = values > 1.1
    changes = int(np.count_nonzero(slow[1:] != slow[:-1]))
    assert len(values) / changes == pytest.approx(50, rel=0.05)
    assert float(slow.mean()) == pytest.approx(0.4, abs=0.03)


def test_shares_have_their_binomial_error() -> None:
    assert str(Share.of([True] * 95 + [False] * 5)) == "95.0 ± 2.2"
    assert str(Share.of([])) == "—"


# --- the rules of others ---------------------------------------------------------------------

EVEN = Timed(np.full(CAP, 1.0))


@pytest.mark.parametrize(
    ("label", "figure", "iterations"),
    [
        ("torch adaptive", "p50", 10),
        ("torch blocked", "p50", 200),
        ("criterion", "mean", 5050),
        ("criterion, 50 ms", "mean", 100),
        ("nvbench", "mean", 500),
        ("optimum-benchmark", "p99", 10_000),
        ("LoadGen", "p90", 10_000),
        ("independent ±1 %", "p50", 100),
        ("fleetmark", "p50", 500),
    ],
)
def test_how_long_a_rule_takes_with_equal_iterations(
    label: str, figure: str, iterations: int
) -> None:
    (rule,) = [rule for rule in RULES if (rule.label, rule.figure) == (label, figure)]
    said = rule.apply(EVEN)
    # Rounding of the sum may make it one more.
    assert said.end - said.start in (iterations, iterations + 1)
    assert said.value == pytest.approx(1.0)


@pytest.mark.parametrize("queries", [64, 130, 662])
def test_loadgens_bound_needs_as_many_queries_as_it_says(queries: int) -> None:
    """Its documentation's table for p90, p95 and p99 at 99 % confidence."""
    level = {64: 0.9, 130: 0.95, 662: 0.99}[queries]
    odds = [level**n + n * (1 - level) * level ** (n - 1) for n in (queries - 1, queries)]
    assert odds[0] > 0.01 >= odds[1]
    if level == rules.LOADGEN_LEVEL:
        assert rules._most_above(queries) == 1


def test_loadgens_bound_is_from_above_and_nearly_certain_of_independent_queries() -> None:
    rng = generator(SEED, INDEPENDENT)
    truth = INDEPENDENT.percentile(0.9)
    said = [rules.loadgen(Timed(INDEPENDENT.make(rng, CAP).values)) for _ in range(200)]
    assert np.mean([each.holds(truth) for each in said]) >= 0.97
    assert {each.low for each in said} == {-math.inf}


def test_the_textbook_interval_holds_for_independent_iterations_only() -> None:
    found = {}
    for trace in (INDEPENDENT, AR_08):
        rng, tally = generator(SEED, trace), Tally()
        for _ in range(200):
            tally.add(rules.independent(Timed(trace.make(rng, CAP).values)), trace.percentile(0.5))
        found[trace.label] = value(tally.coverage())
    assert found[INDEPENDENT.label] >= 0.89
    assert found[AR_08.label] < 0.65


def test_p99_of_ten_is_between_the_two_slowest() -> None:
    values = np.arange(1.0, 21.0)
    assert rules.p99_of_ten(Timed(values)).value == pytest.approx(np.percentile(values[:10], 99))


def test_criterions_figure_is_the_slope_through_the_origin() -> None:
    rng = generator(SEED, INDEPENDENT)
    timed = Timed(INDEPENDENT.make(rng, CAP).values)
    said = rules.criterion(timed)
    counts = np.arange(1, 101)
    ends = said.start + np.cumsum(counts)
    samples = [timed.values[end - n : end].sum() for n, end in zip(counts, ends, strict=True)]
    slope, *_ = np.linalg.lstsq(counts[:, None].astype(float), np.array(samples), rcond=None)
    assert said.value == pytest.approx(float(slope[0]))
    assert said.low is not None
    assert said.high is not None
    assert said.low < said.value < said.high


# --- the tables ------------------------------------------------------------------------------


def test_a_history_fills_every_table() -> None:
    found = Found()
    for trace in (*STATIONARY, *MOVING):
        study(trace, 1, SEED, found)
    runs = study_repetitions(1, SEED)
    cost = {
        (trace.label, look, name, n): 1e-3
        for trace in TRACES
        for look in GOALS
        for name in PERCENTILES
        for n in LENGTHS
    }
    made = [*tables.ours(found), tables.repetitions(runs), *tables.rules(found), tables.cost(cost)]
    for table in made:
        assert table.rows
        assert all(len(row) == len(table.headers) for row in table.rows)
    assert tables.data(found, runs, cost)["ours"][0]["histories"] == 1
    # Where the level moves the time measured has one truth, and all of it another.
    drift = [row[0] for row in made[0].rows if row[0].startswith(DRIFTING.label)]
    assert len(set(drift)) == 2
    assert found.rules[WALKING.label + f", of all {CAP:,}", FLEETMARK.label, "p50"].n


def test_a_statement_without_bounds_holds_nothing() -> None:
    assert not Statement(0, 10, 1.0).holds(1.0)
    assert Statement(0, 10, 1.0, -math.inf, 1.0).holds(0.5)
