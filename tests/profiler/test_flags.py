"""Each warning appears where it must, stays away where it must, and says what to do."""

from __future__ import annotations

import numpy as np
import pytest

from profiler import flags
from profiler.result import Flag, Interval
from profiler.scenario_figures import _processes_differ
from profiler.spec import StopSpec
from tests.builders import make_latency


def test_every_flag_has_a_detail_and_an_advice() -> None:
    found = [
        flags.single_repetition(),
        flags.few_runs("1 run(s) are known"),
        flags.not_steady(2, 0.8),
        flags.not_converged(make_latency(width=0.02)),
        flags.busy_device(0.5),
        flags.cpu_fallback("2 operators ran on the CPU"),
        flags.clock_overhead(1e-6, 1e-6),
        flags.sampler_lost("killed by signal 9"),
        flags.memory_pass_failed("crashed with SIGSEGV"),
    ]
    names = [flag.name for flag in found if flag]
    assert len(set(names)) == len(found)
    for flag in found:
        assert flag is not None
        assert flag.detail
        assert flag.advice


@pytest.mark.parametrize(("width", "flagged"), [(0.0, False), (0.0099, False), (0.0101, True)])
def test_not_converged_is_an_interval_wider_than_one_percent(width: float, flagged: bool) -> None:
    assert (flags.not_converged(make_latency(width=width)) is not None) is flagged


def test_not_converged_tells_the_width() -> None:
    flag = flags.not_converged(make_latency(width=0.034))
    assert flag is not None
    assert "±3.4 %" in flag.detail


@pytest.mark.parametrize("differ", [False, True])
def test_not_converged_tells_where_more_processes_help(differ: bool) -> None:
    flag = flags.not_converged(make_latency(width=0.034), processes_differ=differ)
    assert flag is not None
    assert ("processes that differ" in flag.detail) is differ
    narrow = flags.not_converged(make_latency(width=0.005), evident=False, processes_differ=differ)
    assert narrow is not None
    assert "processes that differ" not in narrow.detail


@pytest.mark.parametrize(
    ("iterations", "apart", "differ"), [(400, 0.05, True), (400, 0.0, False), (4, 0.05, False)]
)
def test_processes_differ_only_where_their_iterations_show_it(
    iterations: int, apart: float, differ: bool
) -> None:
    rng = np.random.default_rng(0)
    groups = [0.01 * (1 + apart * place) * rng.lognormal(0, 0.02, iterations) for place in range(5)]
    assert _processes_differ(groups) is differ


def test_a_median_without_an_interval_of_its_own_has_not_converged() -> None:
    reason = "3 iterations are worth 3 independent ones; a 95 % interval needs 6"
    unbounded = make_latency(p50_reason=reason).model_copy(
        update={"p50": Interval(value=0.01, low=None, high=None)}
    )
    flag = flags.not_converged(unbounded)
    assert flag is not None
    assert reason in flag.detail
    assert "wider than" not in flag.detail


def test_a_narrow_interval_of_one_short_process_is_not_believed() -> None:
    narrow = make_latency(width=0.005)
    assert flags.not_converged(narrow) is None
    found = flags.not_converged(narrow, evident=False)
    assert found is not None
    assert "too few iterations" in found.detail
    assert flags.not_converged(narrow, StopSpec(relative_half_width=0), evident=False) is None


def test_a_median_of_zero_cannot_be_judged() -> None:
    zero = Interval(value=0, low=0, high=0)
    assert flags.not_converged(make_latency(p50=1).model_copy(update={"p50": zero})) is None


@pytest.mark.parametrize(("share", "flagged"), [(0.0, False), (0.05, False), (0.051, True)])
def test_a_busy_device(share: float, flagged: bool) -> None:
    assert (flags.busy_device(share) is not None) is flagged


def test_a_busy_device_tells_the_share() -> None:
    flag = flags.busy_device(0.372)
    assert flag is not None
    assert "37 %" in flag.detail


@pytest.mark.parametrize(
    ("overhead", "median", "flagged"), [(1e-7, 1e-4, False), (1e-7, 9e-5, True), (0, 0, False)]
)
def test_the_clock_is_flagged_above_a_thousandth(
    overhead: float, median: float, flagged: bool
) -> None:
    found: Flag | None = flags.clock_overhead(overhead, median)
    assert (found is not None) is flagged
    if found is not None:
        assert "100 ns" in found.detail


def test_two_of_one_name_are_one_flag_with_both_details() -> None:
    found = flags.joined(
        [flags.busy_device(0.5), None, flags.single_repetition(), flags.busy_device(0.25)]
    )
    assert [flag.name for flag in found] == ["busy_device", "single_repetition"]
    assert "50 %" in found[0].detail
    assert "25 %" in found[0].detail
