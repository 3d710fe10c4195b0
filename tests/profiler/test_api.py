"""``profile``: what it refuses, what it hands to a worker, and what it leaves behind here."""

from __future__ import annotations

import gc
import io
import json
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from profiler import Profile, local_run, profile
from profiler.api import entry as api
from profiler.errors import InputError
from profiler.events import Phase, ProgressEvent, WorkerRequest
from profiler.local_run import LocalRun, measure_here
from profiler.pool import WorkerPool
from profiler.result import (
    FailureKind,
    Flag,
    KnobName,
    RunError,
    RunResult,
    RunStatus,
    StartMethod,
    TuneReport,
    TuneSetting,
)
from profiler.samples import FILE_NAME, Iterations
from profiler.spec import RunSpec, Runtime
from tests.builders import make_failed, make_result, make_spec
from tests.profiler.test_lazy_imports import loaded_by
from tests.tiny import TinyModel

DOCUMENT = Path(__file__).parents[2] / "docs" / "python-api.md"
RESNET = "torchvision:resnet18"
RAW = Iterations.from_stamps(0, [(0, 5)], [(10, 20), (30, 45)])
ERROR = RunError(kind=FailureKind.MODEL_ERROR, message="it broke")


class Handed:
    """Stands for ``measure_here``: keeps what it was given."""

    spec: RunSpec
    path: Path | None
    options: dict[str, Any]

    def __call__(self, spec: RunSpec, path: Path | None, **options: Any) -> LocalRun:
        self.spec, self.path, self.options = spec, path, options
        if path is not None:
            assert path.exists()
        options["on_progress"](ProgressEvent(phase=Phase.STARTING, fraction=0))
        return LocalRun(make_result(), RAW)


@pytest.fixture
def handed(monkeypatch: pytest.MonkeyPatch) -> Handed:
    found = Handed()
    monkeypatch.setattr(api, "measure_here", found)
    return found


@pytest.fixture
def _nothing_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("measure_here", "measure_in_process"):
        monkeypatch.setattr(api, name, lambda *_, **__: pytest.fail("it was not refused"))


def function(x: Any, *, scale: float = 1.0) -> Any:
    return x


# --- refused before anything runs --------------------------------------------------------------


@pytest.mark.usefixtures("_nothing_runs")
@pytest.mark.parametrize(
    ("model", "options", "field", "value", "remedy"),
    [
        ("torchvison:resnet18", {}, "model", "torchvison:resnet18", "Did you mean torchvision:"),
        ("no/such/file.onnx", {}, "model", "no/such/file.onnx", "Check the path"),
        (3, {}, "model", "a int", "a module or a function"),
        (dict, {}, "model", "dict", "Give an instance"),
        (RESNET, {"runtime": "onnxruntme"}, "runtime", "onnxruntme", "Did you mean 'onnxruntime'?"),
        (RESNET, {"precision": "int8"}, "precision", "int8", "help(profiler.profile)"),
        (RESNET, {"batch_size": 0}, "batch_size", "0", "help(profiler.profile)"),
        (RESNET, {"threads": 0}, "threads", "0", "help(profiler.profile)"),
        (RESNET, {"accelerator": "gpu"}, "accelerator", "gpu", "help(profiler.profile)"),
        (RESNET, {"repetitions": 0, "quick": True}, "repetitions", "0", "help(profiler.profile)"),
        (RESNET, {"repetitions": 2, "quick": True}, "repetitions", "2", "Leave one"),
        (RESNET, {"max_time": 0}, "max_time", "0", "help(profiler.profile)"),
        (RESNET, {"max_time": float("nan")}, "max_time", "nan", "help(profiler.profile)"),
        (RESNET, {"timeout": -1}, "timeout", "-1", "help(profiler.profile)"),
        (RESNET, {"memory_limit": 0}, "memory_limit", "0", "Give MiB above 0"),
        (RESNET, {"memory_limit": "2 GB"}, "memory_limit", "2 GB", "Give MiB above 0"),
        (RESNET, {"seed": -1}, "seed", "-1", "help(profiler.profile)"),
        (RESNET, {"resolution": 0}, "resolution.0", "0", "help(profiler.profile)"),
        (RESNET, {"scenario": "burst"}, "scenario", "burst", "help(profiler.profile)"),
        (RESNET, {"scenario": "server"}, "scenario", "server", "help(profiler.profile)"),
        (RESNET, {"server": {"rate_per_second": 5}}, "scenario", "single_stream", "help(profiler"),
        (RESNET, {"resolution": 8, "inputs": [(1, 3, 8, 8)]}, "inputs", "x", "help(profiler."),
        (RESNET, {"target": 1}, "target", "1", "help(profiler.profile)"),
        (RESNET, {"percentile": "p42"}, "percentile", "p42", "help(profiler.profile)"),
        (RESNET, {"percentile": "p99", "scenario": "offline"}, "percentile", "p99", "Leave it out"),
        (RESNET, {"settle_time": 5}, "settle_time", "5", "Leave it out"),
        (RESNET, {"timeout": 5}, "timeout", "5", "Lower max_time, or raise timeout above 10 s"),
        (RESNET, {"inputs": "x"}, "inputs", "x", "Write name:dtype:shape"),
        (RESNET, {"inputs": "x:float33:1"}, "inputs", "x:float33:1", "float32"),
        (RESNET, {"inputs": {"x": "float32"}}, "inputs", "float32", "Give arrays"),
        (RESNET, {"inputs": 5}, "inputs", "a int", "Give arrays"),
        (RESNET, {"inputs": [object()]}, "inputs", "a object", "Give arrays"),
        (RESNET, {"inputs": [(1, 3), (1, 3)]}, "inputs", "input 2", "Leave it out"),
        (RESNET, {"inputs": [np.zeros(3, complex)]}, "inputs", "x", "Give arrays"),
        (RESNET, {"inputs": (4, 3, 8, 8), "batch_size": 2}, "batch_size", "2", "leave batch_size"),
        (function, {"inputs": []}, "inputs", "nothing", "(x: 'Any', *, scale"),
        (function, {"inputs": {"y": (1,)}}, "inputs", "y", "(x: 'Any', *, scale"),
        (function, {"inputs": [(1,)], "runtime": "torch"}, "runtime", "torch", "Leave it out"),
        (function, {"inputs": [(1,)], "runtime": "x"}, "runtime", "x", "Leave it out"),
        (function, {"inputs": [(1,)], "precision": "fp32"}, "precision", "fp32", "Leave it out"),
        (function, {"inputs": [(1,)], "threads": 2}, "threads", "2", "Leave it out"),
        (function, {"inputs": [(1,)], "repetitions": 3}, "repetitions", "3", "Leave it out"),
        (function, {"inputs": [(1,)], "timeout": 9}, "timeout", "9", "Leave it out"),
        (function, {"inputs": [(1,)], "scenario": "offline"}, "scenario", "offline", "Leave"),
        (function, {"inputs": [(1,)], "max_time": -1}, "max_time", "-1", "help(profiler.profile)"),
    ],
)
def test_what_makes_no_sense_is_refused(
    model: Any, options: dict[str, Any], field: str, value: str, remedy: str
) -> None:
    with pytest.raises(InputError) as refused:
        profile(model, **options)
    assert (refused.value.field, refused.value.value) == (field, value)
    assert remedy in refused.value.remedy
    assert "--" not in str(refused.value)


@pytest.mark.usefixtures("_nothing_runs")
@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"inputs": {"x": (1, 3, 8, 8)}}, "inputs"),
        ({"inputs": {"input": np.zeros((1, 3, 8, 8))}}, "input 'input'"),
        ({"inputs": [np.zeros((1, 4, 8, 8), np.float32)]}, "input 'input'"),
        ({"runtime": "torch"}, "runtime"),
        ({"resolution": 16}, "resolution"),
    ],
)
def test_what_does_not_fit_the_file_is_refused(
    tiny: TinyModel, options: dict[str, Any], field: str
) -> None:
    with pytest.raises(InputError) as refused:
        profile(tiny.static_onnx if "x" in str(options) else tiny.onnx, **options)
    assert refused.value.field == field
    assert "--" not in str(refused.value)


@pytest.mark.usefixtures("_nothing_runs")
def test_a_pickle_is_refused_and_so_are_inputs_without_names(tiny: TinyModel) -> None:
    with pytest.raises(InputError, match="pickle"):
        profile(tiny.module)
    with pytest.raises(InputError, match="Give a dict of input names"):
        profile(tiny.torchscript, inputs=[np.zeros((1, 3, 8, 8))])


# --- handed to a worker ------------------------------------------------------------------------


def test_options_become_the_specification(handed: Handed) -> None:
    found = profile(
        RESNET, runtime="onnxruntime", precision="fp16", accelerator="cpu", batch_size=4, threads=2,
        resolution=160, scenario="server", server={"rate_per_second": 20}, repetitions=3,
        max_time=6, timeout=60, memory_limit=2048, seed=7, worker_python="/opt/python",
    )  # fmt: skip
    spec = handed.spec
    assert spec.model_dump(mode="json", include=set(RunSpec.model_fields)) == make_spec(
        model={"kind": "architecture", "library": "torchvision", "name": "resnet18", "seed": 7},
        runtime="onnxruntime", precision="fp16", accelerator="cpu", batch_size=4, threads=2,
        resolution=(160, 160), scenario="server", server={"rate_per_second": 20}, repetitions=3,
        max_time_seconds=6, timeout_seconds=60, memory_limit_bytes=2**31, seed=7,
    ).model_dump(mode="json")  # fmt: skip
    assert handed.options["python"] == "/opt/python"
    assert found.iterations is RAW


def test_defaults_are_those_of_the_command(handed: Handed) -> None:
    profile(RESNET)
    assert handed.spec == make_spec()
    assert handed.options["python"] == sys.executable


def test_when_enough_is_measured_is_the_callers(handed: Handed) -> None:
    profile(RESNET, target=0.005, percentile="p99")
    assert handed.spec == make_spec(stop={"percentile": "p99", "relative_half_width": 0.005})
    profile(RESNET, scenario="server", server={"latency_bound_seconds": 1}, percentile="p90")
    assert handed.spec.server is not None
    assert handed.spec.server.percentile == "p90"


def test_sustained_is_one_process_unless_more_are_asked_for(handed: Handed) -> None:
    profile(RESNET, scenario="sustained", settle_time=30)
    assert (handed.spec.repetitions, handed.spec.settle_seconds) == (1, 30)
    profile(RESNET, scenario="sustained", repetitions=2)
    assert (handed.spec.repetitions, handed.spec.settle_seconds) == (2, 600)


def test_quick_is_one_repetition_of_several(handed: Handed) -> None:
    profile(RESNET, quick=True)
    assert (handed.spec.repetitions, handed.spec.max_time_seconds) == (1, 2.0)
    profile(RESNET, quick=True, repetitions=1, max_time=3)
    assert (handed.spec.repetitions, handed.spec.max_time_seconds) == (1, pytest.approx(0.6))


IMAGE = ("input", "float32", (2, 3, 8, 8))


@pytest.mark.parametrize(
    "inputs",
    [
        "input:float32:2x3x8x8",
        ["input:float32:2x3x8x8"],
        {"input": (2, 3, 8, 8)},
        {"input": np.zeros((2, 3, 8, 8), np.float32)},
        [np.zeros((2, 3, 8, 8), np.float32)],
        np.zeros((2, 3, 8, 8), np.float32),
        [(2, 3, 8, 8)],
        (2, 3, 8, 8),
    ],
)
def test_every_form_of_inputs_says_the_same(tiny: TinyModel, handed: Handed, inputs: Any) -> None:
    profile(str(tiny.onnx), inputs=inputs)
    assert handed.spec.inputs is not None
    assert [(i.name, i.dtype, i.shape) for i in handed.spec.inputs] == [IMAGE]
    assert handed.spec.batch_size == 2
    assert handed.path == tiny.onnx
    assert handed.spec.runtime is Runtime.ONNXRUNTIME


def test_an_architectures_input_needs_no_name(handed: Handed) -> None:
    profile(RESNET, inputs=[(8, 3, 64, 64)])
    assert handed.spec.inputs is not None
    assert (handed.spec.inputs[0].name, handed.spec.inputs[0].dtype) == ("x", "float32")
    assert handed.spec.batch_size == 8


def test_progress_goes_where_it_is_wanted(
    handed: Handed, capsys: pytest.CaptureFixture[str]
) -> None:
    events: list[ProgressEvent] = []
    profile(RESNET, progress=events.append)
    assert [event.phase for event in events] == [Phase.STARTING]
    profile(RESNET)
    profile(RESNET, progress=False)
    assert capsys.readouterr() == ("", "")
    profile(RESNET, progress=True)
    out, err = capsys.readouterr()
    assert out == ""
    assert "resnet18: starting, 0 %" in err
    # The line is blanked in the end.
    assert err.split("\r")[-2].strip() == ""


def fake_worker(result: RunResult, raw: Iterations | None) -> Callable[..., list[RunResult]]:
    def run(requests: list[WorkerRequest], pool: WorkerPool, **options: Any) -> list[RunResult]:
        (request,) = requests
        assert request.work_dir.is_dir()
        if raw is not None:
            raw.save(request.work_dir / FILE_NAME)
        kept.append((request, options | {"kind": pool.kind(request.spec)}))
        return [result]

    kept: list[tuple[WorkerRequest, dict[str, Any]]] = []
    run.kept = kept  # type: ignore[attr-defined]
    return run


def test_a_local_run_keeps_the_iterations_and_no_files(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    worker = fake_worker(make_result(), RAW)
    monkeypatch.setattr(local_run, "measure", worker)
    spec = make_spec()
    result, raw = measure_here(spec, tmp_path / "m", cache_dir=tmp_path / "c", python="py")
    (request, options), *rest = worker.kept  # type: ignore[attr-defined]
    assert not rest
    assert (request.spec, request.model_path, request.cache_dir, options["kind"].python) == (
        spec, tmp_path / "m", tmp_path / "c", "py",
    )  # fmt: skip
    assert result.status is RunStatus.SUCCEEDED
    assert raw is not None
    assert raw.latency_ns.tolist() == [5, 10, 15]
    assert not request.work_dir.exists()


def test_a_run_that_failed_has_no_iterations(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(local_run, "measure", fake_worker(make_failed(ERROR), None))
    assert measure_here(make_spec(), None, cache_dir=tmp_path).iterations is None


def test_a_file_is_measured_by_a_worker(tiny: TinyModel) -> None:
    found = profile(tiny.onnx, quick=True, max_time=2.5, threads=1)
    assert found.error is None
    assert found.latency is not None
    assert found.iterations is not None
    assert found.latency.n == len(found.iterations.timed_seconds())
    assert found.p50 is not None
    # From calls this short the clock's own time may have been taken off.
    assert found.result.clock_overhead_seconds is not None
    middle = float(np.median(found.iterations.timed_seconds()))
    assert found.p50.value == pytest.approx(middle, abs=1.01 * found.result.clock_overhead_seconds)
    assert found.result.repetitions[0].start_method is StartMethod.FORK
    assert found.result.memory is not None
    assert "<svg" in found._repr_html_()


# --- a function, in this process ---------------------------------------------------------------


@pytest.fixture(autouse=True)
def _the_collector_is_as_before() -> Iterator[None]:
    before = gc.isenabled(), gc.get_freeze_count()
    yield
    assert (gc.isenabled(), gc.get_freeze_count()) == before


def measured(model: Any = function, **options: Any) -> Profile:
    return profile(model, **({"inputs": [(4, 3)], "max_time": 0.05} | options))


def test_a_function_is_measured_here() -> None:
    seen: list[Any] = []

    def model(x: Any, mask: Any) -> None:
        seen.append((x, mask, os.getpid(), gc.isenabled()))

    mask = np.ones((4,), dtype=np.bool_)
    found = measured(model, inputs={"x": (4, 3), "mask": mask}, seed=3)
    result = found.result
    x, given_mask, pid, collecting = seen[-1]
    assert pid == os.getpid()
    assert not collecting
    assert given_mask is mask
    assert (x.shape, x.dtype) == ((4, 3), np.float32)
    assert [(i.name, i.dtype, i.shape) for i in result.inputs] == [
        ("x", "float32", (4, 3)), ("mask", "bool", (4,)),
    ]  # fmt: skip
    assert result.status is RunStatus.SUCCEEDED
    assert result.batch_size == 4
    assert (result.model, result.runtime, result.seed) == ("model", "python", 3)
    assert result.model_info.source.startswith(f"{__name__}.")
    assert found.iterations is not None
    assert found.latency is not None
    # All calls but the first, which is a figure of its own.
    assert len(found.iterations.latency_ns) == len(seen) - 1
    assert result.repetitions[0].start_method is StartMethod.IN_PROCESS


def test_what_is_not_known_of_a_function_is_null_with_the_reason() -> None:
    result = measured().result
    assert (result.precision, result.threads, result.model_info.parameters) == (None, None, None)
    assert result.model_info.parameters_reason
    assert result.memory is None
    assert "calling process" in (result.memory_reason or "")
    for found, why in (
        (result.over_runs, result.over_runs_reason),
        (result.at_usual_speed, result.at_usual_speed_reason),
    ):
        assert found is None
        assert "not known again" in (why or "")
    assert result.energy is None
    assert "calling process" in (result.energy_reason or "")
    raised = {flag.name for flag in result.flags}
    assert "single_repetition" in raised
    # Its advice, to repeat the run, would lead nowhere.
    assert "few_runs" not in raised


def test_items_are_counted_by_the_batch() -> None:
    found = measured(inputs=[(4, 3)], batch_size=7)
    assert found.latency is not None
    assert found.throughput == pytest.approx(7 / found.latency.mean)


def test_a_function_without_a_signature_or_a_name_is_one_too() -> None:
    assert measured(max, inputs=[(3,)]).error is None
    assert measured(lambda: None, inputs=None).result.model == "<lambda>"


@pytest.mark.parametrize("enabled", [True, False])
@pytest.mark.parametrize("error", [None, ValueError, KeyboardInterrupt])
def test_the_collector_is_put_back(enabled: bool, error: type[BaseException] | None) -> None:
    def model() -> None:
        if error is not None:
            raise error("no")

    (gc.enable if enabled else gc.disable)()
    try:
        if error is KeyboardInterrupt:
            with pytest.raises(KeyboardInterrupt):
                measured(model, inputs=None)
        else:
            measured(model, inputs=None)
        assert gc.isenabled() is enabled
        assert gc.get_freeze_count() == 0
    finally:
        gc.enable()


class _Gpu:
    """Stands for torch with a GPU in use."""

    nn = SimpleNamespace(Module=type("Module", (), {}))
    device = staticmethod(str)

    def __init__(self) -> None:
        self.waited: list[str] = []
        self.cuda = SimpleNamespace(
            is_initialized=lambda: True, synchronize=self.waited.append
        )  # fmt: skip


def test_a_function_that_may_use_the_gpu_must_say_where(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = _Gpu()
    monkeypatch.setitem(sys.modules, "torch", gpu)
    with pytest.raises(InputError, match="accelerator='cuda:0'"):
        measured()
    assert measured(accelerator="cpu").result.accelerator == "cpu"
    assert gpu.waited == []
    found = measured(accelerator="cuda")
    assert found.result.accelerator == "cuda:0"
    assert found.iterations is not None
    # After every call, the first one included.
    assert gpu.waited == ["cuda:0"] * (1 + len(found.iterations.latency_ns))


def test_where_the_inputs_are_tells_which_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", _Gpu())
    there = SimpleNamespace(shape=(2,), dtype="torch.float32", device="cuda:1")
    assert measured(inputs=[there]).result.accelerator == "cuda:1"


def test_what_the_caller_froze_stays_frozen() -> None:
    gc.freeze()
    try:
        count = gc.get_freeze_count()
        measured()
        # Some of them may have ended meanwhile.
        assert gc.get_freeze_count() > 0.99 * count
    finally:
        gc.unfreeze()


def test_a_function_that_raises_is_a_failed_result() -> None:
    def model(x: Any) -> None:
        raise ValueError("mat1 and mat2 do not fit")

    found = measured(model)
    assert found.error is not None
    assert found.error.kind is FailureKind.MODEL_ERROR
    assert found.error.message == "ValueError: mat1 and mat2 do not fit"
    assert "in model" in found.error.stderr_tail
    assert (found.result.model, found.result.runtime) == ("model", "python")
    assert (found.p50, found.latency, found.throughput, found.iterations) == (None,) * 4


def test_a_listener_that_raises_is_not_the_models_fault() -> None:
    def listen(event: ProgressEvent) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        measured(progress=listen)


def test_busy_neighbours_and_the_clock_are_flagged_here_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("profiler.api.in_process.other_share", lambda *_: 0.5)
    names = {flag.name for flag in measured().flags}
    # A function of some 100 ns is as short as reading the clock.
    assert {"busy_device", "clock_overhead"} <= names


def test_the_devices_own_time_or_why_there_is_none() -> None:
    found = measured().result
    assert found.latency_device is None
    assert found.latency_device_reason == "ran on cpu"


def test_what_was_tuned_is_in_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    setting = TuneSetting(
        knob=KnobName.TURBO, path="/sys/no_turbo", before="0", wanted="1", after="1"
    )
    report = TuneReport(settings=(setting,))
    monkeypatch.setattr("profiler.summary.in_force", lambda: report)
    assert measured().result.tuning == report

    def broken() -> None:
        raise InputError("restore", "kept.tuned.json", "does not say", "Delete it")

    monkeypatch.setattr("profiler.summary.in_force", broken)
    found = measured().result
    assert found.tuning is None
    assert "kept.tuned.json" in (found.tuning_reason or "")


# --- a module, in a process of its own: torch has threads after the first call ------------------


def _module_facts() -> dict[str, Any]:
    import torch

    from tests.tiny import tiny_module

    net, x = tiny_module(), torch.randn(2, 3, 8, 8)
    before = torch.get_num_threads(), torch.get_float32_matmul_precision()
    threads_seen = set()
    net.register_forward_hook(lambda *_: threads_seen.add(torch.get_num_threads()))
    kept: dict[str, Any] = {}
    net[0].register_forward_hook(lambda _, __, output: kept.update(output=output))
    found = profile(net, inputs=[x], max_time=0.2, threads=1)
    result = found.result
    # What a module keeps of a measured call must still be good for training.
    (kept["output"] * torch.ones(1, requires_grad=True)).sum().backward()
    return {
        "status": result.status.value,
        "model": result.model,
        "precision": result.precision,
        "parameters": result.model_info.parameters,
        "threads": [result.threads, *threads_seen],
        "kept": before == (torch.get_num_threads(), torch.get_float32_matmul_precision()),
        "inputs": [[i.name, i.dtype, list(i.shape)] for i in result.inputs],
        "batch_size": result.batch_size,
        "trainable": [p.requires_grad for p in net.parameters()],
        "start": result.repetitions[0].start_method.value,
        "half": profile(net.bfloat16(), inputs=[(2, 3, 8, 8)], max_time=0.1).result.precision,
        "by name": str(profile(net, inputs={"input": (2, 3, 8, 8)}, max_time=0.1).error),
    }


def test_a_module_is_measured_as_it_is(
    in_child: Callable[[Callable[[], Any]], Any], tiny: TinyModel
) -> None:
    facts = in_child(_module_facts)
    assert facts == {
        "status": "succeeded",
        "model": "Sequential",
        "precision": "fp32",
        "parameters": tiny.parameters,
        "threads": [1, 1],
        "kept": True,
        "inputs": [["input", "float32", [2, 3, 8, 8]]],
        "batch_size": 2,
        "trainable": [True] * 6,
        "start": "in_process",
        "half": "bf16",
        "by name": "None",
    }


def _refusals() -> dict[str, str]:
    import torch

    from tests.tiny import tiny_module

    net, x = tiny_module(), torch.randn(2, 3, 8, 8)

    def refusal(model: Any = net, **options: Any) -> str:
        try:
            profile(model, **({"inputs": [x]} | options))
        except InputError as error:
            return str(error)
        return "it was not refused"

    def under_autocast() -> str:
        with torch.autocast("cpu"):
            return refusal()

    half_trained = tiny_module()
    half_trained[1].train()
    return {
        "training": refusal(half_trained),
        "kept": str(half_trained[1].training and not half_trained.training),
        "precision": refusal(precision="fp16"),
        "accelerator": refusal(accelerator="cuda"),
        "meta": refusal(tiny_module().to("meta")),
        "tensor": refusal(inputs=[x.to("meta")]),
        "name": refusal(inputs={"x": x}),
        "none": refusal(inputs=None),
        "object": refusal(inputs=[__import__("numpy").array(["a"])]),
        "autocast": under_autocast(),
        "script": refusal(runtime="torchscript"),
        "before": refusal(runtime="torch_export", max_time=0),
        "double": refusal(tiny_module().double(), inputs=[x.double()], runtime="torch_export"),
        "batch": refusal(batch_size=3, runtime="torch_export"),
        "runtime": refusal(runtime="tensorrt"),
    }


def test_a_module_that_would_be_mismeasured_is_refused(
    in_child: Callable[[Callable[[], Any]], Any],
) -> None:
    found = in_child(_refusals)
    assert found.pop("kept") == "True"
    expected = {
        "training": "model.eval()", "precision": "model.half()", "accelerator": "model.to('cuda')",
        "meta": "model.to('cpu')", "tensor": "tensor.to('cpu')", "name": "(input)", "none": "input",
        "object": "Give tensors", "autocast": "outside of the autocast block",
        "script": "torch_export", "runtime": "There are: torch", "before": "max_time",
        "double": "'fp64' is refused", "batch": "leave batch_size out",
    }  # fmt: skip
    assert set(found) == set(expected)
    for name, words in expected.items():
        assert words in found[name], found[name]


def _settings() -> list[dict[str, Any]]:
    import torch

    from profiler.api.torch_settings import torch_settings

    backends = torch.backends
    owners = {"matmul": backends.cuda.matmul, "conv": backends.mkldnn.conv, "all": backends}

    def state() -> dict[str, Any]:
        found = {name: getattr(owner, "fp32_precision", "") for name, owner in owners.items()}
        found["older"] = [torch.get_float32_matmul_precision(), backends.cudnn.allow_tf32]
        return found | {"threads": torch.get_num_threads()}

    found = []
    for precision in ("highest", "medium", "tf32 for all"):
        if precision in {"highest", "medium"}:
            torch.set_float32_matmul_precision(precision)
        elif hasattr(backends, "fp32_precision"):
            torch.set_float32_matmul_precision("highest")
            backends.fp32_precision = "tf32"
        before = state()
        with torch_settings(1):
            inside = state()
        found.append({"before": before, "inside": inside, "after": state()})
    if hasattr(backends, "fp32_precision"):
        # What followed the general setting must follow it still.
        backends.fp32_precision = "none"
        found[-1]["following"] = [owners["conv"].fp32_precision, owners["matmul"].fp32_precision]
    return found


def test_settings_of_torch_are_full_precision_inside_and_the_callers_after(
    in_child: Callable[[Callable[[], Any]], Any],
) -> None:
    found = in_child(_settings)
    assert found[-1].get("following", ["none"])[0] == "none"
    for each in found:
        assert each["after"] == each["before"]
        assert each["inside"]["older"] == ["highest", False]
        assert each["inside"]["threads"] == 1
        assert each["inside"]["conv"] in {"ieee", ""}
        assert each["inside"]["all"] in {"none", ""}


def _exported() -> dict[str, Any]:
    import torch

    from profiler.modelfile.artifact import inspect_artifact
    from tests.tiny import tiny_module

    kept: dict[str, Any] = {}

    class Two(torch.nn.Module):
        def forward(self, x: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
            return x @ table

    def take(spec: RunSpec, path: Path, **_: Any) -> LocalRun:
        kept[spec.model.label] = {
            "digest": inspect_artifact(path, path.name).digest == spec.model.digest,
            "inputs": [[i.name, list(i.shape)] for i in spec.inputs or ()],
            "spec": [spec.runtime.value, spec.repetitions, spec.precision.value, spec.batch_size],
            # Converters call without names.
            "by position": len((torch.export.load(path).example_inputs or ((),))[0]),
        }
        kept["path"] = path
        return LocalRun(make_result(), None)

    api.measure_here = take  # this process ends with the test
    profile(tiny_module(), inputs=[torch.randn(2, 3, 8, 8)], runtime="torch_export")
    table = {"table": torch.randn(5, 3), "x": torch.randn(4, 5)}
    profile(Two().eval(), inputs=table, batch_size=4, runtime="onnxruntime")
    gone = not kept.pop("path").exists()
    return kept | {"gone": gone}


def test_a_module_is_exported_for_workers(in_child: Callable[[Callable[[], Any]], Any]) -> None:
    assert in_child(_exported) == {
        "Sequential.pt2": {
            "digest": True,
            "inputs": [["input", [2, 3, 8, 8]]],
            "spec": ["torch_export", 7, "fp32", 2],
            "by position": 1,
        },
        "Two.pt2": {
            "digest": True,
            "inputs": [["table", [5, 3]], ["x", [4, 5]]],
            "spec": ["onnxruntime", 7, "fp32", 4],
            "by position": 2,
        },
        "gone": True,
    }


# --- kept and read again -----------------------------------------------------------------------


@pytest.mark.parametrize("name", ["kept", "deep/kept.zip"])
def test_what_was_saved_is_read_again(tmp_path: Path, name: str) -> None:
    found = Profile(make_result(), RAW)
    path = found.save(tmp_path / name)
    again = Profile.load(str(path))
    assert again.result == found.result
    assert again.iterations is not None
    assert again.iterations.latency_ns.tolist() == RAW.latency_ns.tolist()
    assert json.loads(again.to_json())["run_id"] == "run1"
    # A later one without iterations does not inherit these, and no file is left over.
    Profile(make_failed(ERROR)).save(path)
    assert Profile.load(path).iterations is None
    assert Profile.load(path).error == ERROR
    assert {p.name for p in path.parent.iterdir()} == {path.name}


def _zip(**files: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in files.items():
            archive.writestr(name.replace("_", "."), content)
    return packed.getvalue()


def _pickled() -> bytes:
    file = io.BytesIO()
    np.save(file, np.array([print], dtype=object), allow_pickle=True)
    return file.getvalue()


GOOD = make_result().model_dump_json().encode()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "no zip file"),
        (b"PK\x03\x04 cut", "no zip file"),
        (_zip(other=b""), "has no result.json"),
        (_zip(result_json=b"{"), "holds no result"),
        (_zip(result_json=b'{"schema_version": 99}'), "schema_version"),
        (_zip(result_json=GOOD, iterations_npz=b"PK"), "damaged iterations"),
        (_zip(result_json=GOOD, iterations_npz=_pickled()), "damaged iterations"),
    ],
)
def test_what_is_no_profile_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "it.zip"
    path.write_bytes(content)
    with pytest.raises(InputError, match=re.escape(words)) as refused:
        Profile.load(path)
    assert refused.value.field == "path"


def test_a_bomb_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("profiler.display.profile.RESULT_LIMIT", 100)
    for path in (tmp_path / "it.zip", tmp_path / "it"):
        Profile(make_result()).save(path)
        with pytest.raises(InputError, match="too large"):
            Profile.load(path)


def test_a_path_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Profile.load(tmp_path / "nothing")


def test_shortcuts_are_the_results_own() -> None:
    flag = Flag(name="n", detail="d", advice="a")
    found = Profile(make_result(flags=(flag,)))
    assert found.p50 == found.result.latency.p50  # type: ignore[union-attr]
    assert found.latency is found.result.latency
    assert found.throughput == 90.0
    assert found.flags == (flag,)


# --- the document and the import -----------------------------------------------------------------


def test_the_import_loads_no_engine() -> None:
    engines = {"torch", "onnxruntime", "onnx", "torchvision", "timm", "ray", "scipy"}
    assert not loaded_by("from profiler import profile, Profile") & engines
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = __import__("profiler").nothing


def test_the_document_does_what_it_says(tiny: TinyModel, tmp_path: Path) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", DOCUMENT.read_text(), re.MULTILINE | re.DOTALL)
    assert len(blocks) >= 3
    (tmp_path / "model.onnx").write_bytes(tiny.onnx.read_bytes())
    # In a process of its own, as a reader would; warnings are errors there too.
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", "\n".join(blocks)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": str(DOCUMENT.parents[1])},
    )
    assert done.returncode == 0, done.stderr
    assert "p50 [95 % interval]" in done.stdout
    assert (tmp_path / "model.profile.zip").exists()
