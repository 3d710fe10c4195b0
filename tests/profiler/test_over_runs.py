"""How runs differ from one to the next: what no single run can show."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest

from profiler.among_others import among_others
from profiler.comparing.comparison import Verdict
from profiler.comparing.results import compare_results
from profiler.device import run_history
from profiler.over_runs import LEAST_PAST, over_runs, variation
from profiler.result import Experience, RunResult
from tests.builders import make_latency, make_report, make_result

NOON = datetime(2026, 1, 1, 12, tzinfo=timezone.utc)


def test_the_interval_holds_the_device_s_typical_median() -> None:
    rng = np.random.default_rng(4)
    held = 0
    for _ in range(1000):
        medians = 0.003 * np.exp(0.03 * rng.standard_normal(12))
        found = over_runs(medians[-1], list(medians[:-1])).found
        assert found is not None
        assert found.p50.low is not None
        assert found.p50.high is not None
        held += found.p50.low <= 0.003 <= found.p50.high
    assert 930 <= held <= 970


def test_a_step_counts_once() -> None:
    """After an update every run is 10 % slower: that is no wandering."""
    calm = [1.0, 1.001, 0.999, 1.0, 1.001, 0.999, 1.0, 1.001]
    medians = [*calm, *(1.1 * each for each in calm)]
    found = over_runs(medians[-1], medians[:-1]).found
    assert found is not None
    assert found.relative_sd < 0.4 * float(np.std(np.log(medians), ddof=1))


@pytest.mark.parametrize("count", range(LEAST_PAST))
def test_few_runs_tell_nothing_and_say_so(count: int) -> None:
    found, reason = over_runs(0.01, [0.01] * count)
    assert found is None
    assert reason is not None
    assert reason.startswith(f"{count + 1} run(s)")


def later(minutes: float, p50: float, width: float = 0.005) -> RunResult:
    started = NOON + timedelta(minutes=minutes)
    processes = [make_report(index).figures for index in range(5)]
    return make_result(
        repetitions=tuple(
            each.model_copy(update={"median_seconds": p50 * (1 + 0.001 * (index - 2))})
            for index, each in enumerate(processes)
        ),
        latency=make_latency(p50, width),
        started_at=started,
        finished_at=started + timedelta(seconds=10),
    )


def series(directory: Path, medians: list[float]) -> list[RunResult]:
    return [among_others(later(i, p50), directory) for i, p50 in enumerate(medians)]


def test_a_device_that_wanders_is_flagged_once_that_is_known(tmp_path: Path) -> None:
    runs = series(tmp_path, [0.0100, 0.0103, 0.0099, 0.0104, 0.0100])
    assert [r.over_runs is not None for r in runs] == [False, False, False, True, True]
    assert [{f.name for f in r.flags} >= {"wanders"} for r in runs] == [False] * 3 + [True] * 2
    assert runs[0].over_runs_reason is not None
    assert runs[4].over_runs is not None
    assert runs[4].over_runs.runs == 5


def test_a_device_that_nobody_knows_yet_is_flagged(tmp_path: Path) -> None:
    """Its first runs have an interval of their own, and nothing tells what the next hour brings."""
    runs = series(tmp_path, [0.01] * (LEAST_PAST + 1))
    assert [{f.name for f in r.flags} >= {"few_runs"} for r in runs] == [True] * 3 + [False]
    (flag,) = (f for f in runs[1].flags if f.name == "few_runs")
    assert flag.detail.startswith("2 run(s) of this configuration are known on this device, and 4")
    other = among_others(later(9, 0.2).model_copy(update={"batch_size": 8}), tmp_path)
    assert not any(f.name == "few_runs" for f in other.flags)


def test_first_runs_are_compared_with_later_ones(tmp_path: Path) -> None:
    first, *_, last = series(tmp_path, [0.01] * (LEAST_PAST + 1))
    found = compare_results(first, last)
    assert (found.refusals, found.verdict) == ((), Verdict.SAME)


def test_a_device_that_does_not_is_not(tmp_path: Path) -> None:
    runs = series(tmp_path, [0.0100, 0.01001, 0.01, 0.01002, 0.01])
    assert runs[-1].over_runs is not None
    assert not any(f.name == "wanders" for f in runs[-1].flags)


def test_a_new_configuration_is_judged_by_what_the_device_does_to_others(tmp_path: Path) -> None:
    series(tmp_path, [0.0100, 0.0103, 0.0099, 0.0104, 0.0100])
    other = among_others(later(9, 0.2).model_copy(update={"batch_size": 8}), tmp_path)
    assert other.over_runs is not None
    assert other.over_runs.of is Experience.DEVICE
    assert other.over_runs.p50.value == 0.2
    (flag,) = (f for f in other.flags if f.name == "wanders")
    assert "5 runs of other configurations" in flag.detail
    assert flag.advice.startswith("quote over_runs.p50;")


def test_another_configuration_of_too_few_runs_tells_nothing(tmp_path: Path) -> None:
    series(tmp_path, [0.01] * LEAST_PAST)
    other = among_others(later(9, 0.01).model_copy(update={"batch_size": 8}), tmp_path)
    assert other.over_runs is None


def test_a_configuration_s_own_runs_come_before_those_of_others(tmp_path: Path) -> None:
    series(tmp_path, [0.010, 0.012, 0.009, 0.011, 0.010])
    calm = [
        among_others(later(9 + i, 0.2).model_copy(update={"batch_size": 8}), tmp_path)
        for i in range(LEAST_PAST + 1)
    ]
    last = calm[-1].over_runs
    assert last is not None
    assert (last.of, last.runs, last.relative_sd) == (Experience.CONFIGURATION, 4, 0.0)


def test_one_nervous_configuration_does_not_speak_for_the_device() -> None:
    calm = [1.0, 1.01, 1.0, 1.01, 1.0]
    nervous = [1.0, 2.0, 1.0, 2.0, 1.0, 2.0, 1.0]
    found = over_runs(5.0, [], [calm, nervous, calm]).found
    assert found is not None
    assert found.relative_sd == pytest.approx(variation(calm).sd)
    assert found.freedom == variation(calm).freedom


def test_what_time_alone_makes_is_no_regression(tmp_path: Path) -> None:
    """Two runs 4 % apart with intervals of half a percent: slower, but for what is known of it."""
    runs = series(tmp_path, [0.0100, 0.0103, 0.0099, 0.0104, 0.0100, 0.0104])
    bare = [r.model_copy(update={"over_runs": None}) for r in runs[-2:]]
    assert compare_results(bare[0], bare[1]).verdict is Verdict.SLOWER
    found = compare_results(runs[-2], runs[-1])
    assert found.verdict is Verdict.INCONCLUSIVE
    assert found.ratio is not None
    assert found.ratio.low is not None
    assert found.ratio.low < 1
    # It says why it is so wide.
    assert "as its last 5 runs tell" in found.sentence
    # A change that is larger than that is still told.
    worse = among_others(later(30, 0.0135), tmp_path / "other")
    worse = worse.model_copy(update={"over_runs": runs[-1].over_runs})
    assert compare_results(runs[-2], worse).verdict is Verdict.SLOWER


def test_what_was_measured_in_turns_shares_its_time(tmp_path: Path) -> None:
    runs = series(tmp_path, [0.0100, 0.0103, 0.0099, 0.0104, 0.0100, 0.0104])
    together = runs[-1].model_copy(
        update={"started_at": runs[-2].started_at, "finished_at": runs[-2].finished_at}
    )
    assert compare_results(runs[-2], together).verdict is Verdict.SLOWER


def test_a_file_that_is_none_of_ours_is_no_history(tmp_path: Path) -> None:
    (tmp_path / "runs.json").write_text("<html>")
    assert run_history.past_runs(tmp_path, "c") == ()
    for _ in range(run_history.MOST_RUNS + 5):
        run_history.remember(tmp_path, "c", run_history.Past(finished_at=NOON, p50_seconds=0.01))
    assert len(run_history.past_runs(tmp_path, "c")) == run_history.MOST_RUNS


def test_a_directory_that_cannot_be_written_costs_the_history_only(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    found = among_others(later(0, 0.01), blocked)
    assert found.latency is not None
    assert "not kept" in (found.over_runs_reason or "")
