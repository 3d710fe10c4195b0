"""What works on this machine alone, without Ray and without a coordinator."""

from __future__ import annotations

import tempfile
import uuid
from pathlib import Path
from typing import Annotated

import typer
from pydantic import TypeAdapter

from agents.cli import connection, options, show
from agents.cli.progress import Bars, describe
from agents.messages import RunList
from profiler import units
from profiler.errors import InputError
from profiler.events import ProgressEvent, WorkerRequest
from profiler.result import FailureKind, RunStatus
from profiler.runtimes.table import RuntimeStatus, available, default_runtime
from profiler.sensors.discover import discover
from profiler.session import run_worker
from profiler.spec import Precision, RunSpec, Runtime

AsJson = Annotated[bool, typer.Option("--json", help="Print data instead of a table.")]


def run(
    model: Annotated[
        str, typer.Argument(help="torchvision:NAME, timm:NAME, or a .pt, .pt2 or .onnx file.")
    ],
    runtime: Annotated[
        str | None, typer.Option(help="torch, torchscript, torch_export or onnxruntime.")
    ] = None,
    precision: Annotated[str, typer.Option(help="fp32, fp16 or bf16.")] = "fp32",
    batch_size: Annotated[str, typer.Option(help="Items per iteration.")] = "1",
    threads: Annotated[
        str | None, typer.Option(help="Threads in an operator. Default: all CPUs.")
    ] = None,
    accelerator: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    max_time: Annotated[float, typer.Option(help="Seconds of warm-up and measuring.")] = 10.0,
    repetitions: Annotated[int, typer.Option(help="Fresh processes to measure in.")] = 5,
    timeout: Annotated[float, typer.Option(help="Seconds until the run is ended.")] = 600.0,
    memory_limit: Annotated[
        float | None, typer.Option(help="MiB above which the run is ended.")
    ] = None,
    input_: Annotated[
        list[str] | None,
        typer.Option("--input", help="name:dtype:shape such as x:float32:1x3x224x224; repeatable."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of random weights and inputs.")] = 0,
    worker_python: Annotated[str | None, typer.Option(help="Python that measures.")] = None,
    as_json: AsJson = False,
) -> None:
    """Profile a model on this machine, with the code that measures in a fleet.

    \b
    Examples:
      fleetmark run torchvision:mobilenet_v3_large
      fleetmark run ./model.onnx --threads 1 --max-time 30
      fleetmark run timm:mobilevit_s --runtime onnxruntime --json
    """  # noqa: D301
    import sys

    from profiler.fit import refuse_inputs, refuse_runtime  # NumPy; not on the way to --help

    ref, path = options.model(model, seed)
    spec = options.build(
        RunSpec,
        model=ref,
        runtime=options.choice("runtime", runtime, Runtime)
        if runtime is not None
        else default_runtime(ref),
        precision=options.choice("precision", precision, Precision),
        accelerator=accelerator,
        batch_size=_one("batch-size", batch_size),
        threads=_one("threads", threads) if threads is not None else None,
        inputs=options.inputs(input_),
        max_time_seconds=max_time,
        repetitions=repetitions,
        timeout_seconds=timeout,
        memory_limit_bytes=options.mebibytes("memory-limit", memory_limit),
        seed=seed,
    )
    refuse_runtime(spec.runtime, ref)
    refuse_inputs(ref, path, (spec.batch_size,), spec.inputs)
    with tempfile.TemporaryDirectory(prefix="fleetmark-") as work, Bars() as bars:
        request = WorkerRequest(
            run_id=uuid.uuid4().hex[:16],
            device="here",
            spec=spec,
            model_path=path,
            cache_dir=connection.cache_dir(),
            work_dir=Path(work),
        )

        def progress(event: ProgressEvent) -> None:
            text = describe(event.phase, event.p50_seconds)
            bars.update(spec.model.label, event.fraction, text, event.phase)

        result = run_worker(request, on_progress=progress, python=worker_python or sys.executable)
    if as_json:
        show.json_out(RunList(runs=(result,)))
    else:
        show.results([result])
    if result.status is not RunStatus.SUCCEEDED:
        unsupported = result.error and result.error.kind is FailureKind.UNSUPPORTED
        raise typer.Exit(2 if unsupported else 1)


def _one(field: str, text: str) -> int:
    numbers = options.whole_numbers(field, text)
    if len(numbers) != 1:
        raise InputError(field, text, "is not one number", "Sweeps are for `fleetmark submit`")
    return numbers[0]


def sensors(as_json: AsJson = False) -> None:
    """List what this machine can measure besides time, and why not the rest.

    \b
    Examples:
      fleetmark sensors
      fleetmark sensors --json
    """  # noqa: D301
    found = discover()
    if as_json:
        show.json_out(found)
        return
    if found.channels:
        show.grid(
            ("source", "what", "label", "scope"),
            [(c.source, c.quantity.value, c.label, c.scope or "") for c in found.channels],
            "found",
        )
    if found.absent:
        show.grid(
            ("source", "why", "what would help"),
            [(a.source, a.reason, a.remedy or "") for a in found.absent],
            "absent",
        )


def runtimes(as_json: AsJson = False) -> None:
    """List the engines on this machine, and how to get the rest.

    \b
    Examples:
      fleetmark runtimes
      fleetmark runtimes --json
    """  # noqa: D301
    found = available()
    if as_json:
        text = TypeAdapter(tuple[RuntimeStatus, ...]).dump_json(found, indent=2)
        print(f'{{"runtimes": {text.decode()}}}')
        return
    show.grid(
        ("runtime", "version", "why not", "what would help"),
        [(s.runtime, s.version or units.NOTHING, s.reason or "", s.remedy or "") for s in found],
    )
