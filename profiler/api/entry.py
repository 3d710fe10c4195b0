"""``profile``: measure a model from Python, with the code that measures on the command line."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from profiler.api.exported_module import exported
from profiler.api.given_inputs import (
    DEFAULT_DTYPE,
    Arguments,
    Given,
    batch_size_of,
    for_worker,
    read_inputs,
)
from profiler.api.in_process import STAND_IN, measure_in_process
from profiler.api.options import Options, refused
from profiler.api.progress_line import Listener, told
from profiler.api.terms import reworded
from profiler.api.user_function import function_arguments, function_subject
from profiler.api.user_module import Module, is_module, read_module
from profiler.display.profile import Profile
from profiler.errors import InputError
from profiler.fit import refuse_inputs, refuse_runtime
from profiler.inputs import Signature, SignatureInput
from profiler.local_run import LocalRun, default_cache_dir, measure_here
from profiler.modelfile.artifact import inspect_artifact, onnx_inputs, parse_model
from profiler.runtimes.table import default_runtime
from profiler.sources import INPUT_NAME
from profiler.spec import ArchitectureRef, ArtifactRef, ModelFormat, RunSpec, Runtime, ServerSpec


def profile(
    model: Any,
    *,
    inputs: Any = None,
    runtime: str | None = None,
    precision: str | None = None,
    accelerator: str = "auto",
    batch_size: int | None = None,
    threads: int | None = None,
    resolution: int | tuple[int, int] | None = None,
    scenario: str = "single_stream",
    server: ServerSpec | Mapping[str, Any] | None = None,
    repetitions: int | None = None,
    max_time: float = 10.0,
    settle_time: float | None = None,
    quick: bool = False,
    target: float | None = None,
    percentile: str | None = None,
    timeout: float | None = None,
    memory_limit: float | None = None,
    seed: int = 0,
    worker_python: str | None = None,
    sensors: Sequence[str] | None = None,
    meters: str | Path | None = None,
    progress: bool | Listener | None = None,
) -> Profile:
    """Measure a model on this machine.

    A named architecture or a model file is measured by workers, in fresh processes, as
    ``fleetmark run`` does. A module of torch, or any other function, is measured in this process,
    in one repetition; a module with ``runtime="torch_export"`` or ``"onnxruntime"`` is exported
    first and measured by workers. A model that fails is a result too: see ``Profile.error``.

    Args:
        model: ``"torchvision:resnet18"``, ``"timm:NAME"``, the path of a .pt, .pt2 or .onnx file,
            a ``torch.nn.Module`` in evaluation mode, or a function.
        inputs: arrays or tensors, shapes, texts such as ``"x:float32:1x3x224x224"``, or a dict of
            names to any of these. A module or function is called with what is given; for a worker
            types and shapes count, and contents are made up from ``seed``.
        runtime: torch, torchscript, torch_export or onnxruntime; by default what runs the model
            without a conversion.
        precision: fp32, fp16 or bf16; by default fp32, or that of a module.
        accelerator: auto, cpu, cuda or cuda:N.
        batch_size: items per iteration; by default the first dimension of the first input, else 1.
        threads: in an operator; by default all CPUs, or what torch is set to in this process.
        resolution: of image inputs: (height, width), or one number for both.
        scenario: single_stream, offline, server or sustained.
        server: load of the scenario server, such as ``{"rate_per_second": 50}``.
        repetitions: fresh processes to measure in; by default 7, and 1 for sustained.
        max_time: seconds of loading, warm-up and measuring, all repetitions together.
        settle_time: the scenario sustained goes on beyond ``max_time`` until clocks and
            temperatures have settled, but for so many seconds in all at most; 0: never; by
            default 600.
        quick: one repetition, in a fifth of the time.
        target: enough is measured when the interval of ``percentile`` is this narrow, relative; by
            default 0.01; 0 measures for all of the time.
        percentile: p50 to p999: whose interval ``target`` and a latency bound are about; by default
            p50, and p99 for a bound.
        timeout: seconds until a worker is ended; by default 600.
        memory_limit: MiB above which a worker is ended.
        seed: of random weights and made-up inputs.
        worker_python: Python that measures, where that is another.
        sensors: sources to read, or ``replay:FILE``; by default all that are there.
        meters: file of the external meters; by default the one in ``FLEETMARK_METERS``.
        progress: ``True`` shows a line on stderr, ``False`` none, ``None`` one on a terminal; a
            function is called with every ``ProgressEvent``.

    Raises:
        InputError: an argument makes no sense; it names the argument, its value and the remedy.
    """
    asked = Options(
        runtime=runtime, precision=precision, accelerator=accelerator, batch_size=batch_size,
        threads=threads, resolution=resolution, scenario=scenario, server=server,
        repetitions=repetitions, max_time=max_time, settle_time=settle_time,
        quick=quick, target=target, percentile=percentile, timeout=timeout,
        memory_limit=memory_limit, seed=seed, worker_python=worker_python,
        sensors=sensors, meters=meters,
    )  # fmt: skip
    try:
        prepared = _prepare(model, inputs, asked)
    except InputError as error:
        raise reworded(error) from error
    with told(progress, prepared.label) as listener:
        return Profile(*prepared.measure(listener))


class _Prepared(NamedTuple):
    """A run that nothing speaks against any more."""

    label: str
    measure: Callable[[Listener], LocalRun]


def _prepare(model: Any, inputs: Any, asked: Options) -> _Prepared:
    given = read_inputs(inputs)
    if isinstance(model, (str, Path)):
        return _named(str(model), given, asked)
    if isinstance(model, type):
        name = model.__name__
        raise InputError("model", name, "is a class", f"Give an instance: {name}(…).eval()")
    if is_module(model):
        return _module(model, given, asked)
    if callable(model):
        return _function(model, given, asked)
    raise InputError(
        "model", f"a {type(model).__name__}", "is no model",
        "Give 'torchvision:NAME', 'timm:NAME', the path of a model file, a module or a function",
    )  # fmt: skip


def _named(text: str, given: Sequence[Given], asked: Options) -> _Prepared:
    """An architecture or a file: for workers."""
    try:
        found = parse_model(text, asked.seed)
    except ValidationError as error:
        raise refused(error) from error
    if isinstance(found, Path):
        return _file(found, given, asked)
    declared = (SignatureInput(name=INPUT_NAME, dtype=DEFAULT_DTYPE, dims=None),)
    return _for_worker(found, None, declared, given, asked)


def _file(path: Path, given: Sequence[Given], asked: Options) -> _Prepared:
    ref = inspect_artifact(path, path.name)
    declared = onnx_inputs(path) if ref.format is ModelFormat.ONNX else None
    return _for_worker(ref, path, declared, given, asked)


def _for_worker(
    ref: ArchitectureRef | ArtifactRef,
    path: Path | None,
    declared: Signature | None,
    given: Sequence[Given],
    asked: Options,
    precision: str | None = None,
) -> _Prepared:
    batch_size = batch_size_of(given, asked.batch_size)
    inputs = for_worker(given, declared, batch_size)
    runtime = asked.chosen_runtime() or default_runtime(ref)
    spec = asked.spec(ref, runtime, inputs, batch_size, precision)
    refuse_runtime(spec.runtime, ref)
    refuse_inputs(ref, path, (spec.batch_size,), spec.inputs, (spec.resolution,))
    python = asked.worker_python or sys.executable
    setup = asked.sensor_setup()

    def measure(listener: Listener) -> LocalRun:
        return measure_here(
            spec,
            path,
            cache_dir=default_cache_dir(),
            on_progress=listener,
            python=python,
            sensors=setup,
        )

    return _Prepared(ref.label, measure)


def _module(model: Any, given: Sequence[Given], asked: Options) -> _Prepared:
    """A module: measured here, or exported for workers."""
    runtime = asked.chosen_runtime()
    if runtime is Runtime.TORCHSCRIPT:
        remedy = "Say runtime='torch_export', or save the script and give its path"
        raise InputError("runtime", runtime, "takes files and named architectures", remedy)
    found = read_module(model, asked.accelerator)
    if asked.precision is not None and asked.precision not in (found.precision or ""):
        raise InputError(
            "precision", asked.precision, f"is not the model's, which is {found.precision}",
            "Convert the model first: model.half() or model.bfloat16()",
        )  # fmt: skip
    arguments = found.arguments(given, asked.seed)
    if runtime in {Runtime.TORCH_EXPORT, Runtime.ONNXRUNTIME}:
        return _exported(found, arguments, given, asked)
    asked.refuse_in_process()
    spec = _spec_in_process(given, asked)
    subject = found.subject(arguments, spec.threads)
    return _Prepared(found.label, lambda listener: measure_in_process(subject, spec, listener))


def _exported(
    found: Module, arguments: Arguments, given: Sequence[Given], asked: Options
) -> _Prepared:
    """Exported when it is measured: the file is there for as long as the run takes."""
    # Options are refused before the export, which takes seconds.
    batch_size = batch_size_of(given, asked.batch_size)
    asked.spec(STAND_IN, Runtime.TORCH_EXPORT, None, batch_size, found.precision)

    def measure(listener: Listener) -> LocalRun:
        with exported(found, arguments, given) as (path, named):
            ref = inspect_artifact(path, path.name)
            return _for_worker(ref, path, None, named, asked, found.precision).measure(listener)

    return _Prepared(found.label, measure)


def _function(function: Any, given: Sequence[Given], asked: Options) -> _Prepared:
    """Any function: measured here."""
    asked.refuse_in_process()
    for name in ("runtime", "precision", "threads"):
        value = getattr(asked, name)
        if value is not None:
            problem = "cannot be chosen for a function, which brings its own"
            raise InputError(name, value, problem, "Leave it out, and set it in the function")
    spec = _spec_in_process(given, asked)
    arguments = function_arguments(function, given, spec.seed)
    subject = function_subject(function, arguments, spec.accelerator)
    return _Prepared(subject.label, lambda listener: measure_in_process(subject, spec, listener))


def _spec_in_process(given: Sequence[Given], asked: Options) -> RunSpec:
    batch_size = batch_size_of(given, asked.batch_size)
    return asked.spec(STAND_IN, Runtime.TORCH, None, batch_size)
