"""The median at the device's usual speed: how strongly a model feels it, told by its runs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from profiler.among_others import among_others
from profiler.comparing.comparison import Basis, Verdict
from profiler.comparing.results import compare_results
from profiler.device.run_history import MOST_RUNS, Past, past_runs, remember
from profiler.display.headline import headline
from profiler.result import Interval, RunResult, Sentinel
from profiler.usual_speed import (
    ANOTHER_RUNS,
    LEAST_SD,
    PRIOR,
    SETTLING_RUNS,
    Seen,
    Within,
    at_usual_speed,
    fit,
)
from tests.builders import make_latency, make_report, make_result

NOON = datetime(2026, 1, 1, 12, tzinfo=timezone.utc)
TRUTH, SPEED = 0.003, 0.0035
Floats = NDArray[np.float64]


def history(
    rng: np.random.Generator, runs: int, exponent: float, moves: float = 0.05, rest: float = 0.01
) -> list[Seen]:
    """Of a device whose speed is another one in every run."""
    speed = moves * rng.standard_normal(runs)
    left = rest * rng.standard_normal(runs)
    return [
        Seen(TRUTH * float(np.exp(exponent * s + e)), SPEED * float(np.exp(s)))
        for s, e in zip(speed, left, strict=True)
    ]


@pytest.mark.parametrize("exponent", [0.0, 0.4, 1.0, 1.6])
def test_the_exponent_is_found(exponent: float) -> None:
    rng = np.random.default_rng(1)
    found = [fit(*np.log(history(rng, 20, exponent)).T).exponent for _ in range(200)]
    assert np.median(found) == pytest.approx(exponent, abs=0.1)
    assert np.std(found) < 0.12


@pytest.mark.parametrize("exponent", [0.2, 1.0, 1.5])
@pytest.mark.parametrize("runs", [4, 6, 10, 20])
def test_the_interval_holds_the_typical_median(exponent: float, runs: int) -> None:
    """Also with the few runs from which the exponent itself is hardly known."""
    rng = np.random.default_rng(2)
    held = 0
    for _ in range(1000):
        *past, this = history(rng, runs, exponent)
        found = at_usual_speed(this, past).found
        assert found is not None
        assert found.p50.low is not None
        assert found.p50.high is not None
        truth = TRUTH * (found.sentinel_seconds / SPEED) ** exponent
        held += found.p50.low <= truth <= found.p50.high
    assert 935 <= held <= 995


def test_it_is_steadier_than_seconds_and_than_units_of_the_sentinel() -> None:
    rng = np.random.default_rng(3)
    runs = history(rng, 40, exponent=0.4, moves=0.05, rest=0.005)
    usual = []
    for number in range(8, len(runs)):
        found = at_usual_speed(runs[number], runs[:number]).found
        assert found is not None
        usual.append(found.p50.value)
    spread = float(np.std(np.log(usual)))
    seconds, sentinels = np.log(runs[8:]).T
    assert spread < 0.6 * float(np.std(seconds))
    assert spread < 0.4 * float(np.std(seconds - sentinels))


def test_a_device_whose_speed_stands_still_leaves_the_figure_as_it_is() -> None:
    rng = np.random.default_rng(4)
    *past, this = history(rng, 12, exponent=1.0, moves=1e-4, rest=0.01)
    found = at_usual_speed(this, past).found
    assert found is not None
    assert found.exponent == pytest.approx(PRIOR, abs=0.05)
    assert found.p50.value == pytest.approx(this.p50_seconds, rel=1e-3)


def test_a_step_counts_once() -> None:
    """After an update every run is 10 % slower, and the sentinel is not."""
    rng = np.random.default_rng(5)
    runs = history(rng, 16, exponent=1.0, moves=0.03, rest=0.002)
    runs = [*runs[:8], *(each._replace(p50_seconds=1.1 * each.p50_seconds) for each in runs[8:])]
    fitted = fit(*np.log(runs).T)
    assert fitted.exponent == pytest.approx(1.0, abs=0.3)
    assert fitted.sd < 0.03


def test_far_from_the_usual_speed_the_interval_is_wider() -> None:
    """What the exponent is uncertain by counts for as much as the speed is another one."""
    rng = np.random.default_rng(10)
    *past, this = history(rng, 8, exponent=1.0, moves=0.02, rest=0.005)
    near = this._replace(sentinel_seconds=float(np.median([s.sentinel_seconds for s in past])))
    far = at_usual_speed(near, past, settled=near.sentinel_seconds / 1.5).found
    close = at_usual_speed(near, past, settled=near.sentinel_seconds).found
    assert far is not None
    assert close is not None
    widths = [each.p50.relative_half_width or 0.0 for each in (close, far)]
    assert widths[1] > 3 * widths[0]
    assert far.p50.value == pytest.approx(near.p50_seconds / 1.5**far.exponent)


def runs_at(speeds: Sequence[float]) -> list[Seen]:
    return [Seen(TRUTH * each, SPEED * each) for each in speeds]


def usual_after(directory: Path, speeds: Sequence[float]) -> list[float | None]:
    """What is usual after each of these runs."""
    found = [among_others(run(each), directory).at_usual_speed for each in runs_at(speeds)]
    return [None if each is None else each.sentinel_seconds / SPEED for each in found]


def test_what_is_usual_settles_and_stays(tmp_path: Path) -> None:
    """Else the figures of two runs would be of two speeds."""
    jitter = np.random.default_rng(11).normal(1.0, 0.01, 60)
    found = usual_after(tmp_path, [*jitter[:20], *(1.05 * jitter[20:])])
    assert found[:3] == [None] * 3
    middle = float(np.median(jitter[:SETTLING_RUNS]))
    # More runs than the history keeps of one configuration are over by the end.
    assert len(found) > MOST_RUNS
    assert found[SETTLING_RUNS - 1 :] == pytest.approx([middle] * (61 - SETTLING_RUNS), rel=1e-4)


def test_a_device_that_became_another_one_has_another_usual_speed(tmp_path: Path) -> None:
    """Its governor was changed for good: not for a run, nor for a few."""
    jitter = np.random.default_rng(12).normal(1.0, 0.01, 40)
    found = usual_after(tmp_path, [*jitter[:14], *(0.6 * jitter[14:])])
    assert found[14 + ANOTHER_RUNS - 2] == pytest.approx(1.0, abs=0.02)
    assert found[-1] == pytest.approx(0.6, abs=0.02)
    assert len({round(each, 3) for each in found[-10:] if each is not None}) == 1


def test_no_run_is_known_better_than_it_tells_by_itself() -> None:
    """Four that agree by chance bound nothing that one of them leaves open."""
    runs = [Seen(0.01, 0.001)] * 5
    found = at_usual_speed(runs[0], runs[1:], within=Within(0.03, 0.04)).found
    assert found is not None
    assert found.p50.relative_half_width == pytest.approx(0.05, rel=0.01)


def test_equal_runs_are_no_certainty() -> None:
    found = at_usual_speed(Seen(0.01, 0.001), [Seen(0.01, 0.001)] * 5).found
    assert found is not None
    assert found.relative_sd == LEAST_SD


@pytest.mark.parametrize("count", range(3))
def test_few_runs_tell_nothing_and_say_so(count: int) -> None:
    found, reason = at_usual_speed(Seen(0.01, 0.001), [Seen(0.01, 0.001)] * count)
    assert found is None
    assert reason is not None
    assert reason.startswith(f"{count + 1} run(s)")


def test_a_clock_that_is_too_coarse_says_so() -> None:
    found, reason = at_usual_speed(Seen(0.0, 0.001), [Seen(0.01, 0.001)] * 5)
    assert (found, reason) == (None, "the clock is too coarse for this model")


# --- in a result ------------------------------------------------------------------------------


def run(seen: Seen, kind: str = "layers-3/numpy-2") -> RunResult:
    unit = Interval(value=seen.sentinel_seconds, low=None, high=None)
    sentinel = Sentinel(kind=kind, slices=9, seconds=unit, drift=0.0, relative_p50=None)
    return make_result(latency=make_latency(seen.p50_seconds, 0.001), sentinel=sentinel)


def test_a_run_among_those_before_it(tmp_path: Path) -> None:
    runs = history(np.random.default_rng(6), 6, exponent=1.0, rest=0.001)
    found = [among_others(run(each), tmp_path) for each in runs]
    assert [each.at_usual_speed is not None for each in found] == [False] * 3 + [True] * 3
    assert all((r.at_usual_speed is None) == (r.at_usual_speed_reason is not None) for r in found)
    last = found[-1].at_usual_speed
    assert last is not None
    assert last.runs == 6
    assert last.p50.value == pytest.approx(TRUTH * last.sentinel_seconds / SPEED, rel=0.02)
    # People see it once it is there.
    names = [[row.name for row in headline(each)] for each in found]
    assert ["p50 at the device's usual speed" in each for each in names] == [False] * 3 + [True] * 3
    (row,) = (row for row in headline(found[-1]) if "usual" in row.name)
    assert row.note.endswith("] of 6 runs")
    # A run that alone would promise too much says what to quote.
    (flag,) = (flag for flag in found[-1].flags if flag.name == "wanders")
    assert f"at the device's usual speed, {row.value} [" in flag.advice


def test_only_runs_with_the_same_sentinel_count(tmp_path: Path) -> None:
    runs = history(np.random.default_rng(7), 6, exponent=1.0)
    for each in runs[:4]:
        among_others(run(each, kind="layers-1/numpy-2"), tmp_path)
    found = among_others(run(runs[4]), tmp_path)
    assert found.at_usual_speed is None
    assert (found.at_usual_speed_reason or "").startswith("1 run(s)")
    # From run to run the latency alone counts, whatever the sentinel was.
    assert found.over_runs is not None


def test_without_a_sentinel_there_is_none(tmp_path: Path) -> None:
    bare = run(Seen(0.01, 0.001)).model_copy(
        update={"sentinel": None, "sentinel_reason": "it was turned off"}
    )
    for _ in range(5):
        found = among_others(bare, tmp_path)
    assert found.at_usual_speed is None
    assert found.at_usual_speed_reason == "no sentinel was timed: it was turned off"


def test_a_history_of_before_has_no_sentinel(tmp_path: Path) -> None:
    """Its file had two keys for each run."""
    remember(tmp_path, "c", Past(finished_at=NOON, p50_seconds=0.01))
    path = tmp_path / "runs.json"
    text = path.read_text()
    path.write_text(
        text.replace(',"sentinel_kind":null,"sentinel_seconds":null,"usual_seconds":null', "")
    )
    assert path.read_text() != text
    (past,) = past_runs(tmp_path, "c")
    assert (past.sentinel_kind, past.sentinel_seconds) == (None, None)
    assert MOST_RUNS >= 20


# --- in a comparison --------------------------------------------------------------------------


def measured(number: int, seen: Seen, kind: str = "layers-3/numpy-2") -> RunResult:
    """A run of that time, with processes that agree to a tenth of a percent."""
    found = run(seen, kind)
    processes = [make_report(index).figures for index in range(5)]
    started = NOON + timedelta(minutes=number)
    return found.model_copy(
        update={
            "repetitions": tuple(
                each.model_copy(
                    update={"median_seconds": seen.p50_seconds * (1 + 0.001 * (index - 2))}
                )
                for index, each in enumerate(processes)
            ),
            "started_at": started,
            "finished_at": started + timedelta(seconds=10),
        }
    )


def wandering(directory: Path, slower: float, exponent: float = 1.0) -> list[RunResult]:
    """Ten runs of a device whose speed wanders by 5 %; the last one is a regression."""
    runs = history(np.random.default_rng(8), 10, exponent, moves=0.05, rest=0.002)
    runs[-1] = Seen(runs[-1].p50_seconds * slower, runs[-1].sentinel_seconds)
    return [among_others(measured(i, each), directory) for i, each in enumerate(runs)]


@pytest.mark.parametrize("exponent", [0.5, 1.0, 1.4])
def test_a_regression_is_told_from_the_device_s_own_wandering(
    tmp_path: Path, exponent: float
) -> None:
    """Of 6 %: less than two runs there differ by in seconds, and more than beside the speed."""
    runs = wandering(tmp_path, 1.06, exponent)
    found = compare_results(runs[-2], runs[-1])
    assert found.verdict is Verdict.SLOWER
    assert found.basis is Basis.USUAL_SPEED
    assert found.ratio is not None
    assert found.ratio.value == pytest.approx(1.06, abs=0.015)
    assert "at the device's usual speed (5 and 5 processes)" in found.sentence
    assert "Of the seconds as measured the ratio is" in found.sentence
    # By seconds alone it could not be told, or would be a guess.
    bare = [each.model_copy(update={"at_usual_speed": None}) for each in runs]
    assert compare_results(bare[-2], bare[-1]).verdict is Verdict.INCONCLUSIVE


def test_without_a_regression_there_is_none(tmp_path: Path) -> None:
    runs = wandering(tmp_path, 1.0)
    for earlier in runs[4:-1]:
        found = compare_results(earlier, runs[-1])
        assert not found.verdict.winner, found.sentence


def test_two_models_of_one_device_are_brought_to_one_speed(tmp_path: Path) -> None:
    """The second one, 20 % slower, was measured when the device was 10 % slower than usual."""
    rng = np.random.default_rng(9)
    first = [
        among_others(measured(i, s), tmp_path)
        for i, s in enumerate(history(rng, 9, 1.0, rest=0.002))
    ]
    others = [
        Seen(1.2 * each.p50_seconds, each.sentinel_seconds)
        for each in history(rng, 9, 0.3, rest=0.002)
    ]
    slow = SPEED * 1.1
    others.append(Seen(1.2 * TRUTH * 1.1**0.3, slow))
    second = [
        among_others(measured(20 + i, s).model_copy(update={"seed": 1}), tmp_path)
        for i, s in enumerate(others)
    ]
    found = compare_results(first[-1], second[-1], across=("seed",))
    assert found.basis is Basis.USUAL_SPEED
    assert found.ratio is not None
    assert found.ratio.value == pytest.approx(1.2, rel=0.02)


@pytest.mark.parametrize("case", ["device", "kind", "turns", "few"])
def test_where_the_speed_tells_nothing_the_seconds_stand(tmp_path: Path, case: str) -> None:
    runs = wandering(tmp_path, 1.06)
    old, new = runs[-2:]
    if case == "device":
        new = new.model_copy(update={"device": "another"})
    elif case == "kind":
        assert new.sentinel is not None
        other = new.sentinel.model_copy(update={"kind": "layers-2/numpy-2"})
        new = new.model_copy(update={"sentinel": other})
    elif case == "turns":
        new = new.model_copy(update={"started_at": old.started_at, "finished_at": old.finished_at})
    else:
        old = old.model_copy(update={"at_usual_speed": None})
    found = compare_results(old, new, across=("device",))
    assert found.basis is Basis.WALL_CLOCK


def test_far_apart_in_speed_an_uncertain_exponent_makes_no_regression(tmp_path: Path) -> None:
    pair = wandering(tmp_path, 1.06)[-2:]
    assert compare_results(*pair).verdict is Verdict.SLOWER
    unsure = []
    for each in pair:
        assert each.at_usual_speed is not None
        usual = each.at_usual_speed.model_copy(update={"exponent_sd": 2.0})
        unsure.append(each.model_copy(update={"at_usual_speed": usual}))
    assert not compare_results(*unsure).verdict.winner


def test_a_sentinel_that_is_not_sure_of_itself_makes_no_regression(tmp_path: Path) -> None:
    old, new = wandering(tmp_path, 1.06)[-2:]
    assert new.sentinel is not None
    seconds = new.sentinel.seconds.value
    unsure = Interval(value=seconds, low=0.9 * seconds, high=1.1 * seconds)
    new = new.model_copy(update={"sentinel": new.sentinel.model_copy(update={"seconds": unsure})})
    assert not compare_results(old, new).verdict.winner


def test_units_of_the_sentinel_are_still_to_be_had(tmp_path: Path) -> None:
    runs = wandering(tmp_path, 1.06)
    found = compare_results(runs[-2], runs[-1], basis=Basis.SENTINEL)
    assert found.basis is Basis.SENTINEL
