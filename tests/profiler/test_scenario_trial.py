"""What is said about one offered rate: overload, percentiles that hold, verdicts."""

from __future__ import annotations

import numpy as np
import pytest

from profiler.result import Interval, Met, ServerReport, ServerTrial
from profiler.scenario_figures import concluded
from profiler.scenarios.served import Served
from profiler.scenarios.server import Server
from profiler.scenarios.trial import describe, judge, late, latency, overloaded
from tests.queueing import SimulatedDevice, wait_percentile

MILLISECOND = 1_000_000
EVER = 1e6


def load(
    device: SimulatedDevice, rate: float, calls: int, seconds: float = EVER, seed: int = 0
) -> Served:
    server = Server(device.call, None, seed=seed, clock=device.clock, wait_until=device.wait_until)
    return server.offer(rate, calls, seconds)


def noisy(seed: int, calls: int, mean_ns: int = MILLISECOND) -> SimulatedDevice:
    """Exponential service times: the queue M/M/1."""
    rng = np.random.default_rng([seed, 77])
    return SimulatedDevice(rng.exponential(mean_ns, calls).astype(int).tolist())


@pytest.mark.parametrize("calls", [100, 400, 3000])
def test_an_overload_is_seen(calls: int) -> None:
    found = [
        overloaded(load(SimulatedDevice(MILLISECOND), 1200.0, calls, seed=seed), 1200.0)
        for seed in range(50)
    ]
    assert sum(found) >= (35 if calls == 100 else 49)


@pytest.mark.parametrize("calls", [20, 100, 400, 3000])
@pytest.mark.parametrize("rate", [500.0, 900.0, 970.0])
def test_a_busy_server_is_not_overloaded(calls: int, rate: float) -> None:
    for seed in range(50):
        assert not overloaded(load(SimulatedDevice(MILLISECOND), rate, calls, seed=seed), rate)


def test_service_times_that_vary_are_no_overload_by_chance() -> None:
    # Their mean alone is above the gap between arrivals in a tenth of so short trials.
    at_90 = [overloaded(load(noisy(s, 2000), 900.0, 40, seed=s), 900.0) for s in range(200)]
    at_130 = [overloaded(load(noisy(s, 9000), 1300.0, 3000, seed=s), 1300.0) for s in range(40)]
    assert sum(at_90) <= 4
    assert sum(at_130) >= 38


def test_a_stall_that_is_being_worked_off_is_no_overload() -> None:
    services = [MILLISECOND] * 9000
    services[500] = 2_000 * MILLISECOND
    served = load(SimulatedDevice(services), 700.0, 2000)
    trial = describe(700.0, "p99", [served])
    # The backlog had not emptied when the last call came, yet it was shrinking all the time.
    assert trial.backlog_peak > 1000
    assert not served.found_idle()[len(served.end_ns) // 2 :][:300].any()
    assert not trial.overloaded


def test_a_model_that_slows_down_until_it_cannot_follow_is_overloaded() -> None:
    services = [MILLISECOND] * 1000 + [2 * MILLISECOND] * 9000
    assert overloaded(load(SimulatedDevice(services), 800.0, 5000), 800.0)


def test_an_overload_has_no_percentile_and_says_why() -> None:
    trial = describe(1500.0, "p99", [load(SimulatedDevice(MILLISECOND), 1500.0, 10**6, 8.0)])
    assert trial.overloaded
    assert trial.latency_seconds is None
    assert trial.latency_reason is not None
    assert "overloaded" in trial.latency_reason
    assert trial.achieved_per_second == pytest.approx(1000, rel=0.01)
    assert trial.utilization == pytest.approx(1, rel=0.01)
    assert trial.backlog_peak == pytest.approx(4000, rel=0.1)
    assert trial.backlog_end == pytest.approx(4000, rel=0.1)
    assert trial.abandoned == pytest.approx(4000, rel=0.1)
    assert trial.queries == pytest.approx(12_000, rel=0.05)


def test_a_rate_that_is_borne_has_a_percentile_that_holds() -> None:
    trial = describe(500.0, "p99", [load(SimulatedDevice(MILLISECOND), 500.0, 20_000)])
    truth = 0.001 * (1 + wait_percentile(0.5, 0.99))
    assert not trial.overloaded
    assert trial.latency_seconds is not None
    assert trial.latency_seconds.low is not None
    assert trial.latency_seconds.high is not None
    assert trial.latency_seconds.low <= truth <= trial.latency_seconds.high
    assert trial.achieved_per_second == pytest.approx(500, rel=0.03)
    assert trial.utilization == pytest.approx(0.5, rel=0.03)
    assert trial.abandoned == 0
    assert trial.lateness_seconds == 0
    assert trial.met is None


def test_a_short_trial_has_none_and_says_how_many_calls_it_takes() -> None:
    found = [
        describe(700.0, "p99", [load(SimulatedDevice(MILLISECOND), 700.0, 1000, seed=seed)])
        for seed in range(12)
    ]
    assert all(trial.latency_seconds is None for trial in found)
    reason = found[0].latency_reason
    assert reason is not None
    assert "come in bunches" in reason
    assert "--max-time" in reason


def test_several_processes_are_described_together() -> None:
    runs = [load(SimulatedDevice(MILLISECOND), 500.0, 4000, seed=seed) for seed in range(3)]
    trial = describe(500.0, "p99", runs)
    assert trial.queries == sum(len(run.end_ns) for run in runs)
    # None of them has enough calls alone.
    assert describe(500.0, "p99", runs[:1]).latency_seconds is None
    assert trial.latency_seconds is not None


def test_one_overloaded_process_is_an_overload() -> None:
    fine = load(SimulatedDevice(MILLISECOND), 800.0, 1000)
    slow = load(SimulatedDevice(2 * MILLISECOND), 800.0, 1000)
    assert describe(800.0, "p50", [fine, slow]).overloaded
    assert not describe(800.0, "p50", [fine, fine]).overloaded


def test_no_call_gives_no_figures() -> None:
    trial = describe(0.01, "p99", [load(SimulatedDevice(MILLISECOND), 0.01, 1, 5.0)])
    assert trial.queries == 0
    assert trial.latency_seconds is None
    assert trial.latency_reason is not None
    assert "no call arrived" in trial.latency_reason
    assert trial.lateness_seconds is None


def test_a_server_that_never_rests_has_no_interval() -> None:
    trial = describe(990.0, "p90", [load(SimulatedDevice(MILLISECOND), 990.0, 5000)])
    assert trial.latency_seconds is None
    assert trial.latency_reason is not None
    assert "busy nearly all of the time" in trial.latency_reason


def test_all_latencies_are_given_with_those_percentiles_that_hold() -> None:
    found = latency([load(SimulatedDevice(MILLISECOND), 700.0, 3000)], 700.0)
    assert found.p50 is not None
    assert found.p50.low is not None
    assert found.p90 is not None
    assert found.p99 is None
    assert found.p99_reason is not None
    assert "come in bunches" in found.p99_reason
    assert found.p999 is None


def test_the_median_of_an_overload_has_no_bounds() -> None:
    found = latency([load(SimulatedDevice(MILLISECOND), 1500.0, 3000)], 1500.0)
    assert found.p50 is not None
    assert found.p50.low is found.p50.high is None
    assert found.p50_reason is not None
    assert "overloaded" in found.p50_reason
    assert found.p90 is None


def trial_with(
    interval: Interval | None, *, over: bool = False, lateness: float | None = 0.0
) -> ServerTrial:
    return ServerTrial(
        rate_per_second=1.0,
        achieved_per_second=1.0,
        queries=1,
        abandoned=0,
        utilization=0.5,
        latency_seconds=interval,
        lateness_seconds=lateness,
        backlog_peak=0,
        backlog_end=0,
        overloaded=over,
    )


@pytest.mark.parametrize(
    ("low", "high", "met"),
    [
        (0.8, 0.9, Met.MEETS),
        (0.8, 1.0, Met.MEETS),
        (0.8, 1.1, Met.UNDECIDED),
        (1.0, 1.1, Met.UNDECIDED),
        (1.05, 1.1, Met.FAILS),
        (None, None, Met.UNDECIDED),
    ],
)
def test_the_whole_interval_decides(low: float | None, high: float | None, met: Met) -> None:
    assert judge(trial_with(Interval(value=0.9, low=low, high=high)), 1.0) is met


def test_an_overload_fails_whatever_was_seen_and_no_interval_is_undecided() -> None:
    assert judge(trial_with(None, over=True), 1.0) is Met.FAILS
    assert judge(trial_with(None), 1.0) is Met.UNDECIDED


@pytest.mark.parametrize(
    ("lateness", "told"), [(None, False), (0.0, False), (0.09, False), (0.11, True)]
)
def test_lateness_is_told_where_it_weighs(lateness: float | None, told: bool) -> None:
    interval = Interval(value=1.0, low=0.9, high=1.1)
    assert (late(trial_with(interval, lateness=lateness)) is not None) is told
    assert late(trial_with(None, lateness=lateness)) is None


# --- the search was one process's, the answer is all processes' ---------------------------------


def searched(highest: float | None) -> ServerReport:
    return ServerReport(
        percentile="p99",
        rate_per_second=100.0,
        latency_bound_seconds=1.0,
        highest_rate_per_second=highest,
        highest_rate_reason=None if highest else "it was too short",
        trials=(),
    )


def together(met: Met) -> ServerTrial:
    return trial_with(None).model_copy(update={"met": met, "rate_per_second": 100.0})


def test_what_a_short_search_could_not_show_all_processes_may() -> None:
    found = concluded(searched(None), together(Met.MEETS))
    assert (found.highest_rate_per_second, found.highest_rate_reason) == (100.0, None)
    assert len(found.trials) == 1


@pytest.mark.parametrize("met", [Met.UNDECIDED, Met.FAILS])
def test_what_nobody_showed_stays_so(met: Met) -> None:
    found = concluded(searched(None), together(met))
    assert (found.highest_rate_per_second, found.highest_rate_reason) == (None, "it was too short")


def test_what_fails_in_all_processes_is_no_rate_that_meets() -> None:
    found = concluded(searched(100.0), together(Met.FAILS))
    assert found.highest_rate_per_second is None
    assert found.highest_rate_reason is not None
    assert "all of them together did not" in found.highest_rate_reason
    assert found.failing_rate_per_second == 100.0


@pytest.mark.parametrize("met", [Met.MEETS, Met.UNDECIDED])
def test_what_was_shown_stays_shown(met: Met) -> None:
    found = concluded(searched(100.0), together(met))
    assert (found.highest_rate_per_second, found.highest_rate_reason) == (100.0, None)
