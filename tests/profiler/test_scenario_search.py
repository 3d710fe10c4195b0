"""The search finds the rate that theory gives for M/D/1, and says why where there is none."""

from __future__ import annotations

import numpy as np
import pytest

from profiler.result import Met, ServerReport
from profiler.scenarios.bracket import Bracket
from profiler.scenarios.rate_search import TOLERANCE, Goal, search
from profiler.scenarios.served import Served
from profiler.scenarios.server import Server
from tests.queueing import SimulatedDevice, wait_percentile

MILLISECOND = 1_000_000


def find(
    bound: float,
    *,
    percentile: str = "p99",
    seconds: float = 300.0,
    seed: int = 0,
    device: SimulatedDevice | None = None,
    service: float = 0.001,
) -> tuple[ServerReport, Served | None, SimulatedDevice]:
    device = device or SimulatedDevice(MILLISECOND)
    server = Server(device.call, None, seed=seed, clock=device.clock, wait_until=device.wait_until)
    goal = Goal(percentile=percentile, bound_seconds=bound, seconds=seconds)
    found = search(server.offer, np.full(100, service), goal, device.clock)
    return found.report, found.served, device


def bound_at(load: float, level: float) -> float:
    """The latency that M/D/1 with calls of 1 ms has at a load."""
    return 0.001 * (1 + wait_percentile(load, level))


@pytest.mark.parametrize(
    ("load", "percentile", "level"),
    [(0.5, "p99", 0.99), (0.7, "p99", 0.99), (0.8, "p90", 0.9), (0.7, "p50", 0.5)],
)
def test_it_finds_the_rate_of_the_theory(load: float, percentile: str, level: float) -> None:
    truth = 1000 * load
    held = 0
    for seed in range(3):
        report, _, _ = find(bound_at(load, level), percentile=percentile, seed=seed)
        highest, failing = report.highest_rate_per_second, report.failing_rate_per_second
        assert highest is not None
        held += highest <= truth * 1.001 and (failing is None or failing >= truth * 0.999)
        # One division of the first bracket lies between what is shown to meet and the truth.
        assert highest == pytest.approx(truth, rel=2 * TOLERANCE)
        assert report.highest_rate_reason is None
    assert held == 3


def test_a_wrong_idea_of_the_service_time_only_costs_time() -> None:
    truth = 700.0
    for believed in (0.0004, 0.003):
        report, _, _ = find(bound_at(0.7, 0.9), percentile="p90", service=believed)
        assert report.highest_rate_per_second == pytest.approx(truth, rel=0.12)


def test_the_answer_is_what_was_served_and_every_trial_is_told() -> None:
    report, served, _ = find(bound_at(0.7, 0.9), percentile="p90")
    assert served is not None
    assert report.rate_per_second == report.highest_rate_per_second
    chosen = next(
        trial for trial in report.trials if trial.rate_per_second == report.rate_per_second
    )
    assert chosen.met is Met.MEETS
    assert chosen.queries == len(served.end_ns)
    assert chosen.latency_seconds is not None
    assert chosen.latency_seconds.high is not None
    assert chosen.latency_seconds.high <= bound_at(0.7, 0.9)
    for trial in report.trials:
        assert trial.met is not None
        if trial.met is Met.MEETS:
            assert trial.rate_per_second <= chosen.rate_per_second


def test_it_keeps_to_its_time() -> None:
    for seconds in (1.0, 10.0, 60.0):
        _, _, device = find(bound_at(0.8, 0.99), seconds=seconds)
        assert device.now / 1e9 <= 1.25 * seconds + 0.1


def test_what_cannot_be_shown_in_the_time_that_is_left_is_not_tried() -> None:
    report, _, device = find(bound_at(0.8, 0.99), seconds=60.0)
    assert report.highest_rate_per_second is not None
    assert report.failing_rate_per_second is None
    assert all(trial.latency_seconds is not None for trial in report.trials)
    assert device.now / 1e9 < 60


def test_a_bound_below_the_service_time_is_told_without_a_single_call() -> None:
    report, served, device = find(0.0009)
    assert served is None
    assert device.calls == 0
    assert report.trials == ()
    assert report.rate_per_second is report.highest_rate_per_second is None
    assert report.highest_rate_reason is not None
    assert "without any queue" in report.highest_rate_reason


def test_a_handful_of_calls_that_are_all_too_slow_is_enough_to_say_so() -> None:
    """On a busy device the warm-up may be five calls, of which no percentile has an interval."""
    device = SimulatedDevice(MILLISECOND)
    server = Server(device.call, None, seed=0, clock=device.clock, wait_until=device.wait_until)
    service = np.array([0.004, 0.001, 0.02, 0.009, 0.003])
    goal = Goal(percentile="p50", bound_seconds=0.0009, seconds=10)
    found = search(server.offer, service, goal, device.clock)
    assert found.served is None
    assert found.report.highest_rate_reason is not None
    assert "the fastest of 5 calls alone, without any queue" in found.report.highest_rate_reason


def test_a_bound_that_not_even_a_lonely_call_meets_gives_a_reason() -> None:
    """Calls in a row looked fast enough, but each one after a pause is slow."""

    class Sleepy(SimulatedDevice):
        slow = False

        def wait_until(self, when_ns: int) -> None:
            super().wait_until(when_ns)
            self.slow = True

        def call(self) -> None:
            super().call()
            self.now += 5 * MILLISECOND * self.slow
            self.slow = False

    report, _, _ = find(0.0025, percentile="p90", device=Sleepy(MILLISECOND), seconds=1e5)
    assert report.highest_rate_per_second is None
    assert report.highest_rate_reason is not None
    assert "even at 20.0 calls per second" in report.highest_rate_reason
    assert "faster runtime" in report.highest_rate_reason
    assert all(trial.met is Met.FAILS for trial in report.trials)
    assert report.failing_rate_per_second == pytest.approx(20)


def test_a_load_generator_that_is_late_is_not_blamed_on_the_model() -> None:
    class Late(SimulatedDevice):
        def wait_until(self, when_ns: int) -> None:
            super().wait_until(when_ns + 5 * MILLISECOND)

    report, _, _ = find(0.0025, percentile="p90", device=Late(MILLISECOND), seconds=1e5)
    assert report.highest_rate_per_second is None
    assert report.highest_rate_reason is not None
    assert "5 ms late" in report.highest_rate_reason
    assert "something else had the CPU" in report.highest_rate_reason


def test_too_little_time_gives_a_reason_and_the_latencies_that_there_are() -> None:
    report, served, _ = find(bound_at(0.7, 0.99), seconds=1.0)
    assert report.highest_rate_per_second is None
    assert report.highest_rate_reason is not None
    assert "--max-time" in report.highest_rate_reason
    assert "come in bunches" in report.highest_rate_reason
    assert [trial.met for trial in report.trials] == [Met.UNDECIDED]
    assert served is not None
    assert len(served.end_ns) > 100


def test_a_model_that_breaks_down_under_load_is_not_believed() -> None:
    """It serves 300 calls and is ten times slower from then on."""
    device = SimulatedDevice([MILLISECOND] * 300 + [10 * MILLISECOND] * 400_000)
    report, _, _ = find(bound_at(0.7, 0.9), percentile="p90", device=device, seconds=400.0)
    assert report.trials[0].overloaded
    assert report.trials[0].met is Met.FAILS
    assert report.highest_rate_per_second is None
    assert report.highest_rate_reason is not None


def test_a_bracket_grows_until_it_holds_the_answer_and_is_then_divided() -> None:
    bracket = Bracket(first=100.0, least=1.0, tolerance=0.05)
    rates = []
    while (rate := bracket.next()) is not None:
        rates.append(rate)
        bracket.note(rate, Met.MEETS if rate <= 333.0 else Met.FAILS)
    assert rates[:4] == pytest.approx([100, 121, 121 * 1.4641, 121 * 1.4641 * 1.1**8])
    assert bracket.met is not None
    assert bracket.not_shown is not None
    assert bracket.met <= 333 < bracket.not_shown <= 1.05 * bracket.met
    assert len(rates) < 16


def test_a_bracket_goes_down_to_the_least_rate_and_no_further() -> None:
    bracket = Bracket(first=100.0, least=30.0, tolerance=0.05)
    rates = []
    while (rate := bracket.next()) is not None:
        rates.append(rate)
        bracket.note(rate, Met.UNDECIDED)
    assert rates[0] == 100
    assert rates[-1] == 30
    assert bracket.met is None


def test_calls_that_are_shorter_than_the_looks_at_them_give_a_rate_all_the_same() -> None:
    """Microseconds: a trial has hundreds of thousands of calls, and judging them takes time too."""
    device = SimulatedDevice(5_000)
    server = Server(device.call, None, seed=0, clock=device.clock, wait_until=device.wait_until)
    seen = 0

    def offer(rate: float, enough: int, seconds: float) -> Served:
        nonlocal seen
        served = server.offer(rate, enough, seconds)
        seen += len(served.end_ns)
        # Each look sorts all calls so far.
        device.now += 500 * seen
        return served

    service = np.full(2000, 5e-6)
    goal = Goal(percentile="p99", bound_seconds=0.001, seconds=2.5)
    report = search(offer, service, goal, device.clock).report
    assert report.highest_rate_per_second is not None
    assert report.highest_rate_per_second > 50_000
