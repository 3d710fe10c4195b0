"""Stored results: what differs stands in the way, and figures that are missing are not guessed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from profiler import flags
from profiler.comparing.comparable import FIELDS, Difference, comparable, in_the_way
from profiler.comparing.compare import control_false_discoveries
from profiler.comparing.comparison import Basis, Comparison, Method, Verdict
from profiler.comparing.results import compare_results
from profiler.device.environment import read_environment
from profiler.device.flags import preflight_flags
from profiler.errors import InputError
from profiler.result import (
    FailureKind,
    Flag,
    InputInfo,
    Interval,
    ModelInfo,
    Preflight,
    RepetitionFigures,
    RunError,
    RunResult,
    RunStatus,
    Sentinel,
    ServerReport,
    Throughput,
)
from tests.builders import make_failed, make_latency, make_result

ENVIRONMENT = read_environment()
MEDIANS = (0.0100, 0.0101, 0.0099, 0.0100, 0.0102)


def repetition(index: int, median: float) -> RepetitionFigures:
    return RepetitionFigures(
        index=index,
        load_seconds=0.1,
        first_inference_seconds=0.02,
        warmup_iterations=10,
        warmup_seconds=0.1,
        iterations=500,
        median_seconds=median,
    )


def measured(medians: Sequence[float] = MEDIANS, factor: float = 1.0, **changes: Any) -> RunResult:
    """A result of so many processes with these medians."""
    values: dict[str, Any] = {
        "repetitions": tuple(repetition(i, factor * m) for i, m in enumerate(medians)),
        "latency": make_latency(p50=factor * 0.01),
        "environment": ENVIRONMENT,
    }
    return make_result(**(values | changes))


def preflight(**changes: Any) -> Preflight:
    values: dict[str, Any] = {
        "governors": ("performance",),
        "turbo": True,
        "cpu_clock_hertz": (2e9,),
        "cpu_affinity": (0, 1),
        "isolated_cpus": (),
        "smt": False,
        "power_mode": None,
        "on_battery": False,
        "temperatures_celsius": {"cpu": 40.0},
        "load_average_1m": 0.1,
        "cpu_pressure_avg10": 0.0,
        "memory_pressure_avg10": 0.0,
        "swap_used_bytes": 0,
        "accelerator_driver": None,
        "accelerator_processes": (),
    }
    return Preflight.model_validate(values | changes)


def server(rate: float) -> ServerReport:
    return ServerReport(
        percentile="p99",
        rate_per_second=rate,
        latency_bound_seconds=None,
        highest_rate_per_second=None,
        trials=(),
    )


def environment(**changes: Any) -> dict[str, Any]:
    return {"environment": ENVIRONMENT.model_copy(update=changes)}


# --- what differs -----------------------------------------------------------------------------


def test_equals_differ_in_nothing() -> None:
    assert comparable(measured(), measured(factor=2.0)) == ()
    assert comparable(measured(preflight=preflight()), measured(preflight=preflight())) == ()


SHAPE = InputInfo(name="x", dtype="float32", shape=(1, 3, 224, 224))


@pytest.mark.parametrize(
    ("changes", "field", "value"),
    [
        ({"device": "orin-1"}, "device", "orin-1"),
        ({"scenario": "offline"}, "scenario", "offline"),
        ({"precision": "bf16"}, "precision", "bf16"),
        ({"precision": None}, "precision", "not known"),
        ({"batch_size": 8}, "batch_size", "8"),
        ({"threads": 2}, "threads", "2"),
        ({"accelerator": "cuda:0"}, "accelerator", "cuda:0"),
        ({"inputs": (SHAPE,)}, "inputs", "float32:1x3x224x224"),
        ({"server": server(50.0)}, "server.rate_per_second", "50"),
        ({"runtime_version": "2.2.0"}, "runtime_version", "2.2.0"),
        ({"preflight": preflight()}, "preflight", "recorded"),
        (environment(os="Elsewhere"), "os", "Elsewhere"),
        (environment(kernel="9.9"), "kernel", "9.9"),
        (environment(architecture="riscv"), "architecture", "riscv"),
        (environment(cpu_model="another"), "cpu_model", "another"),
        (environment(cpu_count=1000), "cpu_count", "1000"),
        (environment(cpu_affinity=(7,)), "cpu_affinity", "7"),
        (environment(board="a board"), "board", "a board"),
        (environment(virtualization="x"), "virtualization", "x"),
        (environment(governors=("powersave",)), "governors", "powersave"),
        (environment(accelerator_name="H100"), "accelerator_name", "H100"),
        (environment(python="3.99"), "python", "3.99"),
        (environment(fleetmark="9"), "fleetmark", "9"),
        (environment(packages={**ENVIRONMENT.packages, "numpy": "9"}), "packages.numpy", "9"),
        (
            environment(worker_environment={"LD_PRELOAD": "x.so"}),
            "worker_environment.LD_PRELOAD",
            "x.so",
        ),
        ({"flags": (flags.single_repetition(),)}, "flags.single_repetition", "yes"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_every_other_difference_is_named_and_stands_in_the_way(
    changes: dict[str, Any], field: str, value: str
) -> None:
    found = {each.field: each for each in comparable(measured(), measured(**changes))}
    assert not found[field].axis
    assert found[field].candidate == value
    refused = compare_results(measured(), measured(factor=2.0, **changes))
    assert refused.verdict is Verdict.INCONCLUSIVE
    assert field in [each.field for each in refused.refusals]
    assert field in refused.sentence
    assert refused.reason is not None
    assert field in refused.reason
    root = field.partition(".")[0]
    assert root in FIELDS
    for name in (field, root):
        meant = {each.field: each for each in comparable(measured(), measured(**changes), [name])}
        assert meant[field].axis


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"turbo": False}, "preflight.turbo"),
        ({"smt": True}, "preflight.smt"),
        ({"power_mode": "15W"}, "preflight.power_mode"),
        ({"on_battery": True}, "preflight.on_battery"),
        ({"isolated_cpus": (1,)}, "preflight.isolated_cpus"),
        ({"accelerator_driver": "550"}, "preflight.accelerator_driver"),
        (
            {"accelerator_power_limits_watts": (300.0, None)},
            "preflight.accelerator_power_limits_watts",
        ),
    ],
)
def test_the_devices_settings_are_compared(change: dict[str, Any], field: str) -> None:
    old, new = (measured(preflight=preflight(**each)) for each in ({}, change))
    assert [each.field for each in comparable(old, new)] == [field]


MAXN = preflight(power_mode="nvpmodel MAXN", power_mode_highest=True)
LOW = preflight(power_mode="nvpmodel 15W", power_mode_highest=False)


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        (MAXN, LOW, "preflight.power_mode (nvpmodel MAXN, nvpmodel 15W)"),
        (LOW, MAXN, "preflight.power_mode (nvpmodel 15W, nvpmodel MAXN)"),
        # What one side does not tell is not taken to be equal.
        (preflight(), LOW, "preflight.power_mode (not known, nvpmodel 15W)"),
        (preflight(turbo=True), preflight(turbo=False), "preflight.turbo (yes, no)"),
    ],
)
def test_another_power_mode_than_the_baselines_is_named_and_no_winner_is_called(
    old: Preflight, new: Preflight, named: str
) -> None:
    """Each result has the flags that its preflight raises."""
    sides = [
        measured(factor=factor, preflight=state, flags=tuple(preflight_flags(state)))
        for factor, state in ((1.0, old), (2.0, new))
    ]
    found = compare_results(*sides)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert named in found.sentence
    meant = compare_results(*sides, across=["preflight", "flags"])
    assert meant.verdict is Verdict.SLOWER
    assert named in map(str, meant.differences)


def test_another_governor_than_the_baselines_is_named() -> None:
    old = measured(**environment(governors=("performance",)))
    new = measured(factor=2.0, **environment(governors=("ondemand",)))
    assert "governors (performance, ondemand)" in compare_results(old, new).sentence


def test_what_changes_from_minute_to_minute_is_no_difference() -> None:
    old = measured(preflight=preflight())
    new = measured(
        preflight=preflight(temperatures_celsius={"cpu": 41.0}, load_average_1m=0.3),
        **environment(load_average_1m=2.0, cpu_pressure_avg10=0.1, memory_total_bytes=1),
        seed=7,
        run_id="another",
    )
    assert comparable(old, new) == ()


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"model": "resnet50", "model_info": ModelInfo(source="torchvision:resnet50")}, "model"),
        ({"model_info": ModelInfo(source="torchvision:resnet18", digest="a" * 64)}, "digest"),
        ({"runtime": "onnxruntime", "runtime_version": "1.17.0"}, "runtime"),
    ],
)
def test_models_and_runtimes_are_compared_on_purpose(changes: dict[str, Any], field: str) -> None:
    found = compare_results(measured(), measured(factor=0.5, **changes))
    assert [(each.field, each.axis) for each in found.differences] == [(field, True)]
    assert found.refusals == ()
    assert found.verdict is Verdict.FASTER


def test_the_names_of_inputs_cost_no_time() -> None:
    old, new = (measured(inputs=(SHAPE.model_copy(update={"name": name}),)) for name in "xy")
    assert comparable(old, new) == ()


def test_flags_of_other_figures_do_not_matter() -> None:
    assert comparable(measured(), measured(flags=(flags.memory_pass_failed("crashed"),))) == ()


def test_a_wide_interval_of_one_side_stands_in_nobodys_way() -> None:
    wide = flags.not_converged(make_latency(width=0.5))
    assert wide is not None
    assert comparable(measured(), measured(flags=(wide,))) == ()


def test_an_environment_that_nobody_recorded_is_not_equal() -> None:
    unknown = measured(environment=None, environment_reason="the agent was lost")
    for old, new in ((unknown, measured()), (measured(), unknown), (unknown, unknown)):
        found = comparable(old, new)
        assert [each.field for each in found] == ["environment"]
        assert "the agent was lost" in str(found[0])


def test_what_is_meant_brings_what_comes_of_it() -> None:
    old = measured(threads=4, **environment(worker_environment={"OMP_NUM_THREADS": "4"}))
    new = measured(threads=2, **environment(worker_environment={"OMP_NUM_THREADS": "2"}))
    assert len(in_the_way(comparable(old, new), force=False)) == 2
    assert in_the_way(comparable(old, new, ["threads"]), force=False) == ()
    elsewhere = measured(device="orin-1", **environment(cpu_model="A78", board="Orin"))
    assert in_the_way(comparable(measured(), elsewhere, ["device"]), force=False) == ()
    newer = elsewhere.model_copy(update={"runtime_version": "2.9"})
    left = in_the_way(comparable(measured(), newer, ["device"]), force=False)
    assert [each.field for each in left] == ["runtime_version"]


def test_force_allows_all_but_a_run_without_figures() -> None:
    other = measured(factor=2.0, threads=1, device="x", flags=(flags.single_repetition(),))
    found = compare_results(measured(), other, force=True)
    assert found.verdict is Verdict.SLOWER
    assert {each.field for each in found.differences} >= {"threads", "device"}
    failed = make_failed(RunError(kind=FailureKind.OUT_OF_MEMORY, message="killed"))
    cancelled = make_result(status=RunStatus.CANCELLED, latency=None)
    for old, new in ((measured(), failed), (failed, measured()), (failed, failed)):
        found = compare_results(old, new, force=True)
        assert found.verdict is Verdict.INCONCLUSIVE
        assert [each.field for each in found.refusals] == ["status"]
        assert found.ratio is None
        assert "out_of_memory: killed" in found.sentence
        assert "there is no ratio" in found.sentence
    assert compare_results(cancelled, measured()).refusals[0].baseline == "baseline cancelled"


def test_a_difference_reads_well() -> None:
    text = str(Difference(field="threads", baseline="4", candidate="2", axis=False))
    assert text == "threads (4, 2)"


# --- figures ----------------------------------------------------------------------------------


def test_medians_of_processes_are_compared() -> None:
    found = compare_results(measured(), measured(factor=1.032))
    assert found.method is Method.MEDIANS
    assert found.verdict is Verdict.SLOWER
    assert (found.baseline_processes, found.candidate_processes) == (5, 5)
    assert found.sentence.startswith("resnet18 is 3.2 % slower than before: ratio 1.032 [1.0")
    assert found.sentence.endswith("(5 and 5 processes).")


@pytest.mark.parametrize(
    ("changes", "across", "words"),
    [
        (
            {"runtime": "onnxruntime"},
            (),
            "resnet18 in onnxruntime takes 2.00 times as long as in torch",
        ),
        ({"model": "resnet50", "model_info": ModelInfo(source="torchvision:resnet50")}, (),
         "resnet50 takes 2.00 times as long as resnet18"),
        ({"model_info": ModelInfo(source="timm:resnet18")}, (),
         "timm:resnet18 takes 2.00 times as long as torchvision:resnet18"),
        ({"threads": 2}, ["threads"],
         "resnet18 with 2 thread(s) takes 2.00 times as long as with 4 thread(s)"),
        ({"device": "orin-1"}, ["device"],
         "resnet18 on orin-1 takes 2.00 times as long as on pi5-a"),
    ],
)  # fmt: skip
def test_the_two_are_called_by_what_they_differ_in(
    changes: dict[str, Any], across: Sequence[str], words: str
) -> None:
    found = compare_results(measured(), measured(factor=2.0, **changes), across=across)
    assert found.sentence.startswith(words)


def test_a_result_that_lacks_its_processes_bounds_nothing() -> None:
    for old, new, side in (
        (measured(()), measured(), "baseline"),
        (measured(), measured(()), "candidate"),
    ):
        found = compare_results(old, new)
        assert found.verdict is Verdict.INCONCLUSIVE
        assert found.ratio == Interval(value=1.0, low=None, high=None)
        assert f"the {side} does not say what each of its processes measured" in found.sentence
    nothing = measured((), latency=None, latency_reason="lost")
    assert compare_results(nothing, nothing).ratio is None


def test_one_process_gives_no_verdict() -> None:
    single = flags.single_repetition()
    found = compare_results(
        measured(MEDIANS[:1], flags=(single,)), measured(MEDIANS[:1], 9.0, flags=(single,))
    )
    assert found.verdict is Verdict.INCONCLUSIVE
    assert found.refusals == ()
    assert "1 and 1 processes: how much processes differ" in found.sentence


def test_what_the_clock_costs_is_taken_off_where_the_result_did() -> None:
    flag = flags.clock_overhead(1e-6, 1e-5)
    assert flag is not None
    old = measured([3e-6, 3.0001e-6], flags=(flag,), clock_overhead_seconds=1e-6)
    new = measured([5e-6, 5.0001e-6], flags=(flag,), clock_overhead_seconds=1e-6)
    assert compare_results(old, new).ratio.value == pytest.approx(2.0, rel=1e-3)
    unflagged = [each.model_copy(update={"flags": ()}) for each in (old, new)]
    assert compare_results(*unflagged).ratio.value == pytest.approx(5 / 3, rel=1e-3)
    nothing = old.model_copy(update={"clock_overhead_seconds": 3e-6})
    found = compare_results(nothing, new)
    assert "no longer than reading the clock" in found.reason


def test_iterations_are_used_where_they_are_at_hand() -> None:
    rng = np.random.default_rng(3)
    flag = flags.clock_overhead(1e-3, 1e-2)
    assert flag is not None
    old, new = (
        [factor * np.exp(0.02 * rng.standard_normal(400)) for _ in range(5)] for factor in (3, 5)
    )
    found = compare_results(measured(), measured(), iterations=(old, new))
    assert found.method is Method.BOOTSTRAP
    assert found.ratio.value == pytest.approx(5 / 3, rel=0.01)
    clocked = measured(flags=(flag,), clock_overhead_seconds=1.0)
    found = compare_results(clocked, clocked, iterations=(old, new))
    assert found.ratio.value == pytest.approx(2, rel=0.02)
    with pytest.raises(InputError, match="candidate"):
        compare_results(measured(), measured(), iterations=(old, [np.zeros(3)] * 5))


def test_throughput_is_compared_as_time_per_item() -> None:
    def offline(rate: float, **changes: Any) -> RunResult:
        items = Interval(value=rate, low=0.99 * rate, high=1.01 * rate)
        report = Throughput(blocks=50, items_per_second=items)
        return measured(scenario="offline", offline=report, **changes)

    found = compare_results(offline(100.0), offline(200.0))
    assert found.method is Method.INTERVALS
    assert found.verdict is Verdict.FASTER
    assert found.ratio.value == pytest.approx(0.5)
    assert found.ratio.low < 0.5 < found.ratio.high
    single = offline(100.0, repetitions=(repetition(0, 1.0),))
    assert compare_results(single, offline(200.0)).ratio.low is None
    without = measured(scenario="offline", offline=Throughput(blocks=0, items_per_second=None))
    assert compare_results(without, offline(1.0)).ratio is None
    found = compare_results(measured(), offline(1.0), across=["scenario"])
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "a latency and a throughput have no ratio" in found.sentence


def test_flags_that_both_carry_are_said() -> None:
    doubt = Flag(name="drift", detail="d", advice="a")
    found = compare_results(measured(flags=(doubt,)), measured(factor=1.1, flags=(doubt,)))
    assert found.verdict is Verdict.SLOWER
    assert found.sentence.endswith("Both are flagged drift.")


def test_a_margin_that_is_none_is_refused() -> None:
    with pytest.raises(InputError, match="margin"):
        compare_results(measured(), measured(), margin=0)


# --- the device's own speed -------------------------------------------------------------------


def sentinel(seconds: float, relative: float | None, kind: str = "conv") -> Sentinel:
    def around(value: float, width: float) -> Interval:
        return Interval(value=value, low=value * (1 - width), high=value * (1 + width))

    return Sentinel(
        kind=kind,
        slices=100,
        seconds=around(seconds, 0.002),
        drift=0.001,
        relative_p50=None if relative is None else around(relative, 0.003),
        relative_p50_reason="no slice was timed" if relative is None else None,
    )


def judged(factor: float, old: Sentinel, new: Sentinel, **options: Any) -> Comparison:
    return compare_results(measured(sentinel=old), measured(factor=factor, sentinel=new), **options)


def test_what_the_sentinel_explains_is_no_verdict() -> None:
    found = judged(1.05, sentinel(0.0010, 10.0), sentinel(0.00105, 10.0))
    assert found.verdict is Verdict.INCONCLUSIVE
    assert (
        found.reason == "it would be slower in seconds, but the device itself had become 5 % slower"
    )
    assert found.sentinel_ratio.value == pytest.approx(1.0)
    assert "In units of the sentinel the ratio is 1.0000 [0.995" in found.sentence
    hidden = judged(1.0, sentinel(0.0010, 10.0), sentinel(0.0008, 12.5))
    assert hidden.verdict is Verdict.INCONCLUSIVE


def test_what_the_sentinel_confirms_stands() -> None:
    found = judged(1.05, sentinel(0.0010, 10.0), sentinel(0.0010, 10.5))
    assert found.verdict is Verdict.SLOWER
    assert "In units of the sentinel the ratio is 1.0500 [1.045" in found.sentence
    # Also where its own interval is too wide to say: the device was as fast as before.
    vague = sentinel(0.0010, 10.5).model_copy(
        update={"relative_p50": Interval(value=10.5, low=9.0, high=12.0)}
    )
    assert judged(1.05, sentinel(0.0010, 10.0), vague).verdict is Verdict.SLOWER


def test_opposite_answers_are_none() -> None:
    found = judged(1.05, sentinel(0.0010, 10.0), sentinel(0.0010, 9.0))
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "the sentinel says the opposite" in found.sentence


def test_the_verdict_can_be_on_the_sentinel() -> None:
    old, new = sentinel(0.0010, 10.0), sentinel(0.00105, 10.0)
    found = judged(1.05, old, new, basis=Basis.SENTINEL)
    assert found.basis is Basis.SENTINEL
    assert found.ratio == found.sentinel_ratio
    assert found.verdict is Verdict.SAME
    assert "in units of the sentinel (5 and 5 processes)" in found.sentence


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (None, sentinel(0.001, 10.0), "no accelerator for it"),
        (sentinel(0.001, 10.0), sentinel(0.001, 10.0, "matmul"), "conv, matmul"),
        (sentinel(0.001, None), sentinel(0.001, 10.0), "no slice was timed"),
    ],
)
def test_sentinels_that_cannot_be_compared_say_why(
    old: Sentinel | None, new: Sentinel, words: str
) -> None:
    first = measured(sentinel=old, sentinel_reason=None if old else "no accelerator for it")
    second = measured(factor=1.1, sentinel=new)
    found = compare_results(first, second)
    assert found.verdict is Verdict.SLOWER
    assert found.sentinel_ratio is None
    assert words in found.sentinel_reason
    found = compare_results(first, second, basis=Basis.SENTINEL)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert words in found.sentence


def test_what_is_refused_does_not_count_among_several() -> None:
    refused = compare_results(measured(), measured(factor=1.1, threads=1))
    slower = compare_results(measured(), measured(factor=1.1))
    assert control_false_discoveries([refused, slower]) == (refused, slower)
    both = control_false_discoveries([refused, slower, slower])
    assert both[0].adjusted_p_value is None
    assert both[1].adjusted_p_value is not None
