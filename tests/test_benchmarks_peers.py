"""The parts of the benchmark against other tools that compute; what it measures is not asserted."""

from __future__ import annotations

import itertools
import json
import re
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agents.messages import RunList
from profiler import result
from profiler.result import Interval, RunStatus
from profiler.sentinel import Sentinel
from tests.benchmarks.peers import alternating, bench, tables
from tests.benchmarks.peers.command import Done, timed_run
from tests.benchmarks.peers.engines import Load, latencies_ns
from tests.benchmarks.peers.figures import (
    Coverage,
    Entry,
    coverage,
    half_widths,
    ratios,
    spread,
)
from tests.benchmarks.peers.models import MODELS, TINY
from tests.benchmarks.peers.reading import (
    AT_USUAL_SPEED,
    IN_SENTINELS,
    UNDISTURBED,
    Figure,
    Reading,
    ToolFailed,
    from_benchmark_app,
    from_fleetmark,
    from_loadgen,
    from_script,
)
from tests.benchmarks.peers.repeated import (
    Found,
    budgets_of,
    comparable,
    deviations,
    ratio,
)
from tests.benchmarks.peers.tools import (
    BARE,
    CACHE_VARIABLE,
    FLEETMARK,
    NOT_INSTALLED,
    SOONER_SECONDS,
    TOOLS,
    Task,
    Tool,
    for_as_long,
)
from tests.builders import make_latency, make_result

VARIABLES = {"PATH": "/usr/bin:/bin"}

# --- what the tools say ----------------------------------------------------------------------

APP = """\
[ INFO ]   INFERENCE_NUM_THREADS: 2
[ INFO ]   INFERENCE_PRECISION_HINT: <Type: '{precision}'>
[ INFO ] Count:            86 iterations
[ INFO ] Latency:
[ INFO ]    Median:        {median}
[ INFO ]    Average:       11.45 ms
"""


@pytest.mark.parametrize(("median", "seconds"), [("9.75 ms", 9.75e-3), ("84.50 us", 84.5e-6)])
def test_benchmark_app_in_either_unit(median: str, seconds: float) -> None:
    found = from_benchmark_app(APP.format(precision="float32", median=median), threads=2)
    assert found.figure.value == pytest.approx(seconds)
    assert found.n == 86


def test_another_precision_than_asked_for_is_no_reading() -> None:
    output = APP.format(precision="bfloat16", median="1.00 ms")
    with pytest.raises(ToolFailed, match="float32"):
        from_benchmark_app(output, threads=2)


def test_another_number_of_threads_than_asked_for_is_no_reading() -> None:
    # 2 is not 20, nor the beginning of it.
    output = APP.format(precision="float32", median="1.00 ms").replace("THREADS: 2", "THREADS: 20")
    with pytest.raises(ToolFailed, match="THREADS: 2"):
        from_benchmark_app(output, threads=2)


def test_benchmark_app_without_a_median() -> None:
    with pytest.raises(ToolFailed, match="no median"):
        from_benchmark_app("[ ERROR ] Could not load the model", threads=2)


def loadgen(**changes: Any) -> str:
    values = {
        "result_50.00_percentile_latency_ns": 27_434_503,
        "result_90.00_percentile_latency_ns": 31_383_493,
        "early_stopping_latency_ss": 33_000_000,
        "result_validity": "VALID",
        "result_query_count": 110,
    } | changes
    lines = [f":::MLLOG {json.dumps({'key': k, 'value': v})}" for k, v in values.items()]
    return "\n".join(["loaded", *lines])


def test_loadgen() -> None:
    found = from_loadgen(loadgen())
    assert found.figure == Figure(value=0.027434503)
    assert found.n == 110
    assert found.extra == {
        "p90_seconds": 0.031383493,
        "p90_bound_seconds": 0.033,
        "valid": 1.0,
    }


def test_a_bound_that_loadgen_could_not_give_is_no_zero() -> None:
    found = from_loadgen(loadgen(early_stopping_latency_ss=0, result_validity="INVALID"))
    assert "p90_bound_seconds" not in found.extra
    assert found.extra["valid"] == 0.0


def test_loadgen_that_did_not_end() -> None:
    with pytest.raises(ToolFailed, match="result_50"):
        from_loadgen(':::MLLOG {"key": "loadgen_version", "value": "6"}')


def test_a_script_may_print_before_its_answer() -> None:
    found = from_script('hello\n{"seconds": 0.5, "low": 0.4, "high": 0.7, "n": 3}\n')
    assert found == Reading(figure=Figure(value=0.5, low=0.4, high=0.7), n=3)


def test_a_script_that_says_nothing() -> None:
    with pytest.raises(ToolFailed, match="nothing"):
        from_script("\n")


def runs(**changes: Any) -> str:
    return RunList(runs=(make_result(**changes),)).model_dump_json()


def test_fleetmark_with_all_its_figures() -> None:
    sentinel = result.Sentinel(
        kind="x",
        slices=5,
        seconds=Interval(value=1e-3, low=None, high=None),
        drift=0.0,
        relative_p50=Interval(value=11.0, low=10.0, high=12.0),
    )
    output = runs(
        latency=make_latency(p50=0.02, width=0.5),
        latency_undisturbed=make_latency(p50=0.01, width=0.1),
        sentinel=sentinel,
        at_usual_speed=result.AtUsualSpeed(
            runs=9,
            exponent=0.8,
            exponent_sd=0.1,
            sentinel_seconds=1e-3,
            relative_sd=0.02,
            freedom=5.0,
            p50=Interval(value=0.019, low=0.018, high=0.020),
        ),
        phases_seconds={"start": 0.5},
    )
    found = from_fleetmark(output)
    assert found.figure == Figure(value=0.02, low=0.01, high=0.03)
    assert found.others[UNDISTURBED].value == 0.01
    assert found.others[IN_SENTINELS] == Figure(value=11.0, low=10.0, high=12.0)
    assert found.others[AT_USUAL_SPEED] == Figure(value=0.019, low=0.018, high=0.020)
    assert found.phases == {"start": 0.5}


def test_fleetmark_without_the_further_figures() -> None:
    assert from_fleetmark(runs()).others == {}


def test_a_failed_run_is_no_reading() -> None:
    with pytest.raises(ToolFailed):
        from_fleetmark(runs(status=RunStatus.FAILED, latency=None))


# --- what is computed of it ------------------------------------------------------------------


def entry(
    number: int = 1,
    tool: str = "tool",
    value: float | None = 1.0,
    bounds: tuple[float, float] | None = None,
    **changes: Any,
) -> Entry:
    low, high = bounds or (None, None)
    reading = None
    if value is not None:
        reading = Reading(figure=Figure(value=value, low=low, high=high), n=9)
    values: dict[str, Any] = {
        "round": number,
        "budget": 3,
        "model": "resnet18",
        "family": "torch",
        "tool": tool,
        "reading": reading,
        "failure": None if reading else "broke",
        "wall_seconds": 5.0 if reading else None,
        "before_seconds": 1.0,
        "after_seconds": 1.0,
    }
    return Entry.model_validate(values | changes)


def test_a_figure_is_compared_with_both_its_neighbours() -> None:
    assert ratios([entry(value=3.0, before_seconds=1.0, after_seconds=2.0)]) == [2.0]


def test_a_run_without_a_figure_has_no_ratio() -> None:
    assert ratios([entry(value=None), entry(value=2.0)]) == [2.0]


def test_a_further_figure_has_ratios_of_its_own() -> None:
    reading = Reading(figure=Figure(value=4.0), n=1, others={UNDISTURBED: Figure(value=2.0)})
    assert ratios([entry(reading=reading), entry()], UNDISTURBED) == [2.0]


def test_spread() -> None:
    found = spread([1.0, 2.0, 4.0])
    assert found is not None
    assert found.range == 1.5
    assert found.deviation == pytest.approx(0.6546537)


def test_one_figure_has_no_spread() -> None:
    assert spread([1.0]) is None


def test_coverage_of_the_same_round_and_of_all() -> None:
    """The machine is twice as slow in round 2, and the intervals know nothing of it."""
    mine = [entry(1, value=1.0, bounds=(0.9, 1.1)), entry(2, value=2.0, bounds=(1.9, 2.1))]
    others = [entry(number, tool, value=float(number)) for number in (1, 2) for tool in ("a", "b")]
    assert coverage(mine, others, same_round=True) == Coverage(2, 2)
    # Of all rounds the median is 1.5.
    assert coverage(mine, others, same_round=False) == Coverage(0, 2)


def test_without_bounds_or_others_nothing_is_counted() -> None:
    bounded = entry(value=1.0, bounds=(0.9, 1.1))
    assert coverage([entry()], [entry(tool="a")], same_round=True) == Coverage(0, 0)
    assert coverage([bounded], [], same_round=True) == Coverage(0, 0)
    assert coverage([bounded], [entry(tool="a", value=None)], same_round=True) == Coverage(0, 0)
    assert coverage([bounded], [entry(2, tool="a")], same_round=True) == Coverage(0, 0)


def test_half_widths() -> None:
    figures = [Figure(value=2.0, low=1.0, high=2.0), Figure(value=2.0)]
    assert half_widths(figures) == [0.25]


# --- blocks in turn --------------------------------------------------------------------------


def drifting(factor: float, state: Iterator[float]) -> alternating.Block:
    return lambda: factor * next(state)


@pytest.mark.parametrize("order", alternating.ORDERS)
def test_even_drift_cancels_over_four_blocks(order: str) -> None:
    state = iter([1.0, 1.1, 1.2, 1.3])
    same = alternating.quartet(order, drifting(1.0, state), drifting(1.0, state))
    assert same == pytest.approx(1.0)
    state = iter([1.0, 1.1, 1.2, 1.3])
    slower = alternating.quartet(order, drifting(1.005, state), drifting(1.0, state))
    assert slower == pytest.approx(1.005)


@pytest.mark.parametrize("block", [alternating.timed, alternating.bare])
def test_a_block_has_one_call_at_least(block: Any) -> None:
    calls: list[int] = []
    assert block(lambda: calls.append(1), -1)() > 0
    assert calls == [1]


class Slow:
    """A sentinel's work that is noted, and always due again: it takes no time at all."""

    kind = "x"

    def __init__(self, log: list[str]) -> None:
        self.log = log

    def __call__(self) -> None:
        self.log.append("slice")


def test_a_run_s_block_stands_between_two_pauses() -> None:
    log: list[str] = []
    sentinel = Sentinel(Slow(log), clock=itertools.count().__next__)
    sentinel._every_ns = 0.5  # two are due in every pause, of which the first is not kept
    log.clear()
    assert alternating.as_a_run(lambda: log.append("call"), -1, sentinel)() > 0
    assert log == ["slice", "slice", "call", "slice", "slice"]


def test_what_leads_in_is_not_timed() -> None:
    log: list[str] = []
    alternating.bare(lambda: log.append("call"), -1, lead_in=3)()
    assert len(log) == 4


def test_each_arm_has_its_control() -> None:
    found = alternating.in_turn("arm", lambda: 3.0, lambda: 2.0, seconds=0.0)
    assert found == {"arm": [1.5], "arm_control": [1.0]}


def test_the_loop_that_anyone_would_write() -> None:
    until = time.perf_counter_ns()
    assert len(latencies_ns(lambda: None, until)) == 1


# --- the tools -------------------------------------------------------------------------------


def task(directory: Path, family: str = "onnxruntime", model: Any = TINY) -> Task:
    return Task(
        model=model,
        family=family,
        budget=3,
        threads=2,
        near_seconds=0.01,
        directory=directory,
        scratch=directory,
        variables={"PATH": "/usr/bin:/bin"},
    )


def tool(name: str, family: str) -> Tool:
    (found,) = [t for t in TOOLS if (t.name, t.family) == (name, family)]
    return found


def test_every_row_is_told_apart() -> None:
    labels = [t.label for t in TOOLS]
    assert len(set(labels)) == len(labels)


def test_every_engine_has_its_own_bare_loop() -> None:
    assert {t.family for t in TOOLS} == {t.family for t in TOOLS if t.name == BARE}


def test_every_tool_is_told_the_same(tmp_path: Path) -> None:
    """The model's file, the threads and the budget are in every command."""
    for one in TOOLS:
        if one.absent is None:
            now = task(tmp_path, one.family)
            words = " ".join(one.command(now))
            if one.name == "benchmark_app":
                words += (tmp_path / "openvino.json").read_text(encoding="utf-8")
            assert str(TINY.file(tmp_path, one.family)) in words, one.label
            assert any(t in words for t in ('"threads": 2', "--threads 2", '_THREADS": "2"'))
            assert any(t in words for t in ('"seconds": 3', "--max-time 3", "-t 3"))


def test_benchmark_app_is_made_to_compute_what_the_others_do(tmp_path: Path) -> None:
    words = " ".join(tool("benchmark_app", "openvino").command(task(tmp_path, "openvino")))
    for option in ("-infer_precision f32", "-ip f32", "-hint latency", "-nireq 1", "-api sync"):
        assert option in words


def test_fleetmark_runs_the_same_weights(tmp_path: Path) -> None:
    assert MODELS[0].arguments(tmp_path, "torch") == [
        "torchvision:resnet18", "--runtime", "torch", "--seed", "0",
    ]  # fmt: skip
    assert TINY.arguments(tmp_path, "torch")[1:] == [
        "--runtime", "torchscript", "--input", "x:float32:1x3x32x32",
    ]  # fmt: skip


def test_what_a_script_is_told_survives_json(tmp_path: Path) -> None:
    load = TINY.load(tmp_path, "torch", 2)
    assert Load(**json.loads(json.dumps(load.words))) == load


@pytest.mark.parametrize("name", ["bare", "torch_timer", "models"])
def test_no_fleetmark_in_the_tools_processes(name: str, tmp_path: Path) -> None:
    script = (
        f"import sys, tests.benchmarks.peers.{name}; "
        "sys.exit([m for m in sys.modules if m.split('.')[0] in ('profiler', 'agents')] or 0)"
    )
    timed_run([sys.executable, "-c", script], VARIABLES, tmp_path, 60)


def test_a_tool_that_is_not_installed_says_how_to_get_it() -> None:
    missing = Tool("x", "torch", lambda _: [], lambda *_: Reading, package="no_such_package_here")  # type: ignore[arg-type, return-value]
    assert missing.why_not() == NOT_INSTALLED


# --- commands --------------------------------------------------------------------------------


def test_a_command_that_fails_tells_its_last_words(tmp_path: Path) -> None:
    argv = [sys.executable, "-c", f"import sys; sys.exit('no model in {tmp_path}')"]
    with pytest.raises(ToolFailed, match=r"exit status 1: no model in …"):
        timed_run(argv, VARIABLES, tmp_path, 60)


def test_a_command_that_hangs_ends_with_its_children(tmp_path: Path) -> None:
    # The child holds the pipe: if it lived on, reading to the end would take its 600 s.
    script = "import subprocess; subprocess.run(['sleep', '600'])"
    with pytest.raises(ToolFailed, match="not over after"):
        timed_run([sys.executable, "-c", script], VARIABLES, tmp_path, 0.5)


# --- rounds ----------------------------------------------------------------------------------


class Recorded:
    """A bench whose tools and slices are noted in order, and fail where they are told to."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch, stack: ExitStack) -> None:
        self.log: list[str] = []
        tools = [self.tool("a"), self.tool("b"), self.tool("broken")]
        self.bench = bench.Bench(directory, 1, tools, 0.0, stack, turn=self.turn)
        monkeypatch.setattr(bench, "MODELS", (TINY,))
        monkeypatch.setattr(bench, "ALTERNATING", ())
        monkeypatch.setattr(bench.Bench, "slice", self.slice)

    @contextmanager
    def turn(self) -> Iterator[None]:
        self.log.append("turn")
        yield
        self.log.append("over")

    def slice(self, *_: object) -> float:
        self.log.append("slice")
        return float(self.log.count("slice"))

    def tool(self, name: str) -> Tool:
        def parse(output: str, task: Task) -> Reading:
            self.log.append(name)
            if name == "broken":
                raise ToolFailed("it broke")
            return Reading(figure=Figure(value=1.0), n=int(output))

        return Tool(name, "torch", lambda _: [sys.executable, "-c", "print(7)"], parse)


def test_every_tool_stands_between_two_slices(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ExitStack() as stack:
        recorded = Recorded(tmp_path, monkeypatch, stack)
        recorded.bench.round(4, (3,))
    first, *measured, last = recorded.log
    assert (first, last) == ("turn", "over")
    assert measured[::2] == ["slice"] * 4
    assert sorted(measured[1::2]) == ["a", "b", "broken"]
    entries = recorded.bench.entries
    assert [(e.before_seconds, e.after_seconds) for e in entries] == [(1, 2), (2, 3), (3, 4)]
    assert {e.round for e in entries} == {4}
    broken = next(e for e in entries if e.tool == "broken")
    assert (broken.reading, broken.failure, broken.wall_seconds) == (None, "it broke", None)
    assert all(e.wall_seconds for e in entries if e.reading)


# --- tables ----------------------------------------------------------------------------------


def readings(entries: list[Entry], **changes: Any) -> tables.Readings:
    def unused(*_: object) -> Any:
        raise AssertionError

    names = ("tool", "absent", "bare loop")
    values: dict[str, Any] = {
        "budget": 3,
        "models": ("resnet18", "tiny"),
        "tools": [Tool(name, "torch", unused, unused, bounds="IQR") for name in names],
        "why_not": {"absent (torch)": NOT_INSTALLED},
        "entries": entries,
    }
    return tables.Readings(**values | changes)


def test_a_tool_that_could_not_be_run_has_a_row_that_says_why() -> None:
    found = readings([entry(n, name) for n in (1, 2) for name in ("tool", "bare loop")])
    ratio, spread_table, uncertainty, total = tables.tables(found)
    assert ratio.rows == [
        ("tool (torch)", "1.000", "—"),
        ("bare loop (torch) (A/A)", "1.000", "—"),
        ("absent (torch)", NOT_INSTALLED, ""),
    ]
    assert spread_table.rows[0] == ("tool (torch)", "0.0%; 0.0%", "—")
    assert [row[0] for row in uncertainty.rows] == ["tool (torch)", "bare loop (torch) (A/A)"]
    assert total.rows[0] == ("tool (torch)", "5.00 s", "—")


def test_a_tool_that_failed_each_time_says_how() -> None:
    found = readings([entry(1, "tool", None), entry(1, "bare loop")])
    assert ("tool (torch)", "failed: broke", "") in tables.tables(found)[0].rows


def test_a_further_figure_has_a_row_of_its_own() -> None:
    others = {UNDISTURBED: Figure(value=2.0), IN_SENTINELS: Figure(value=17.0)}
    reading = Reading(figure=Figure(value=1.0), n=1, others=others)
    found = readings([entry(1, reading=reading), entry(2, reading=reading)])
    rows = {row[0]: row[1] for row in tables.tables(found)[0].rows}
    assert rows["tool, undisturbed blocks only (torch)"] == "2.000"
    # It is no time, so it has no ratio to one.
    assert rows["tool, in units of the sentinel (torch)"] == "—"
    spreads = {row[0]: row[1] for row in tables.tables(found)[1].rows}
    assert spreads["tool, in units of the sentinel (torch)"] == "0.0%; 0.0%"


def test_how_often_a_statement_holds_is_counted_over_all_models() -> None:
    mine = [entry(1, bounds=(0.9, 1.1)), entry(1, bounds=(0.9, 1.1), model="tiny")]
    other = [entry(1, BARE, 1.0), entry(1, BARE, 5.0, model="tiny")]
    table = tables.tables(readings([*mine, *other]))[2]
    assert table.rows[0] == ("tool (torch)", "IQR", "10.0%", "1 of 2 (50%)", "1 of 2 (50%)")


def test_the_time_of_fleetmark_run_adds_up() -> None:
    reading = Reading(figure=Figure(value=1.0), n=1, phases={"start": 0.5, "repetitions": 3.25})
    table = tables.phases(readings([entry(1, "fleetmark run", reading=reading)]))
    assert table.headers[3:] == ("start", "repetitions", "outside the worker")
    assert table.rows == [
        ("resnet18, torch", "5.00 s", "2.00 s", "500 ms", "3.25 s", "1.25 s"),
    ]


def test_the_loop_and_its_control_side_by_side() -> None:
    ratios = {
        "timed": [1.01] * 6,
        "timed_control": [1.0] * 6,
        "run": [1.02] * 5,
        "run_control": [0.99] * 5,
    }
    assert tables.alternating({"x": ratios}).rows == [
        ("x", "1.0100 [1.0100, 1.0100]", "1.0000 [1.0000, 1.0000]", "6", "1.0200", "0.9900", "5"),
    ]


@pytest.mark.parametrize(("rounds", "shown"), [(5, "1.000"), (6, "1.000 [1.000, 1.000]")])
def test_too_few_rounds_have_no_interval(rounds: int, shown: str) -> None:
    found = readings([entry(number) for number in range(rounds)])
    assert tables.tables(found)[0].rows[0][1] == shown


# --- the command -----------------------------------------------------------------------------


def test_rounds_below_one_are_refused() -> None:
    argv = [sys.executable, "-m", "tests.benchmarks", "peers", "--rounds", "0"]
    with pytest.raises(ToolFailed, match=r"exit status 2.*--rounds 0 is below 1"):
        timed_run(argv, {**VARIABLES}, Path("/nowhere"), 120)


# --- rounds without slices between --------------------------------------------------------------


def wandering(sds: dict[tuple[str, str], float], rounds: int = 40) -> list[Entry]:
    """Figures of every model whose logarithm has the given sd, by tool and engine."""
    rng = np.random.default_rng(3)
    return [
        entry(
            value=float(np.exp(sd * rng.standard_normal())),
            number=number,
            tool=tool,
            family=family,
            model=model.name,
            before_seconds=None,
            after_seconds=None,
        )
        for (tool, family), sd in sds.items()
        for model in MODELS
        for number in range(rounds)
    ]


def test_a_spread_is_compared_with_that_of_the_steadiest_other_tool() -> None:
    entries = wandering(
        {
            (FLEETMARK, "torch"): 0.01,
            ("Timer.blocked_autorange", "torch"): 0.04,
            (BARE, "torch"): 0.02,
        }
    )
    names = {entry.tool for entry in entries}
    tools = [tool for tool in TOOLS if tool.family == "torch" and tool.name in names]
    # What was measured with another budget is none of this one's.
    others = [each.model_copy(update={"budget": 10, "reading": None}) for each in entries]
    table = Found(3, tools, [*entries, *others]).against_peers()
    plain, in_sentinels, at_usual_speed = table.rows
    assert plain[:2] == ("fleetmark run (torch)", "40")
    own, best = (float(cell.rstrip("%")) for cell in plain[2:4])
    assert own == pytest.approx(1.0, rel=0.2)
    assert best == pytest.approx(2.0, rel=0.2)
    value, low, high = map(float, re.findall(r"[\d.]+", plain[4]))
    assert low < 0.5 < high
    assert value == pytest.approx(own / best, abs=0.05)
    # None of these runs had a sentinel.
    assert in_sentinels[1:] == at_usual_speed[1:] == ("—",) * 4


def test_the_figure_at_the_usual_speed_is_compared_in_the_rounds_that_have_it() -> None:
    entries = wandering({(FLEETMARK, "torch"): 0.02, (BARE, "torch"): 0.02})
    steady = [
        each.model_copy(
            update={
                "reading": each.reading.model_copy(
                    update={
                        "others": {AT_USUAL_SPEED: Figure(value=each.reading.figure.value**0.25)}
                    }
                )
            }
        )
        if each.tool == FLEETMARK and each.round >= 10 and each.reading
        else each
        for each in entries
    ]
    tools = [tool for tool in TOOLS if tool.family == "torch" and tool.name in {FLEETMARK, BARE}]
    plain, _, usual = Found(3, tools, steady).against_peers().rows
    assert (plain[1], usual[1]) == ("40", "30")
    assert float(usual[4].split()[0]) == pytest.approx(float(plain[4].split()[0]) / 4, abs=0.1)


def test_a_longer_run_is_compared_with_the_other_tools_and_not_with_fleetmark() -> None:
    more = for_as_long("torch", 1)
    entries = wandering(
        {(FLEETMARK, "torch"): 0.001, (more.name, "torch"): 0.01, (BARE, "torch"): 0.02}
    )
    names = {FLEETMARK, more.name, BARE}
    tools = [each for each in (*TOOLS, more) if each.family == "torch" and each.name in names]
    rows = {row[0]: row for row in Found(3, tools, entries).against_peers().rows}
    own, best = (float(cell.rstrip("%")) for cell in rows[more.label][2:4])
    assert own == pytest.approx(1.0, rel=0.2)
    assert best == pytest.approx(2.0, rel=0.2)


def test_longer_runs_have_a_memory_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They would learn from the other row's runs how the model follows the device."""
    asked = []

    def keep(argv: list[str], variables: Mapping[str, str], *_: object) -> Done:
        asked.append((argv, variables.get(CACHE_VARIABLE)))
        raise ToolFailed("not run here")

    monkeypatch.setattr("tests.benchmarks.peers.tools.timed_run", keep)
    for each in (tool(FLEETMARK, "onnxruntime"), for_as_long("onnxruntime", 2)):
        with pytest.raises(ToolFailed):
            each.run(task(tmp_path))
    (plain, its_own), (more, another) = asked
    assert [word for word in more if word not in plain] == ["5"]
    assert another is not None
    assert another != its_own


def test_they_have_what_the_others_need_for_longer_imports(tmp_path: Path) -> None:
    command = for_as_long("torch", SOONER_SECONDS).command(task(tmp_path, "torch"))
    assert command[command.index("--max-time") + 1] == str(3 + SOONER_SECONDS)


def test_only_engines_that_fleetmark_measures_in_are_compared() -> None:
    assert {tool.family for tool in comparable(TOOLS)} == {"torch", "onnxruntime"}


def test_a_long_budget_is_measured_in_every_third_round() -> None:
    assert [len(budgets_of(number, (3, 10))) for number in range(1, 7)] == [1, 1, 2, 1, 1, 2]


def test_a_round_that_a_tool_failed_in_is_left_out_for_all() -> None:
    entries = wandering({(FLEETMARK, "torch"): 0.01, (BARE, "torch"): 0.02}, rounds=4)
    broken = [
        each if (each.round, each.tool) != (2, BARE) else each.model_copy(update={"reading": None})
        for each in entries
    ]
    tools = [tool for tool in TOOLS if tool.family == "torch" and tool.name in {FLEETMARK, BARE}]
    assert Found(3, tools, entries).against_peers().rows[0][1] != "—"
    # Three rounds are left: no standard deviation is made of so few.
    assert Found(3, tools, broken).against_peers().rows[0][1] == "—"


def test_deviations_are_over_the_rounds_and_then_over_the_models() -> None:
    steady, moving = [1.0, 1.0, 1.0], [0.0, 1.0, 2.0]
    found = deviations(np.array([[steady, moving], [moving, moving], [moving, [0.0, 2.0, 4.0]]]))
    assert found == pytest.approx([0.5**0.5, 1.0, 2.5**0.5])
    assert ratio(found) == pytest.approx(0.5**0.5)
