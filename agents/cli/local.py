"""What works on this machine alone, without Ray and without a coordinator."""

from __future__ import annotations

from typing import Annotated

import typer
from pydantic import TypeAdapter

from agents.cli import arguments, connection, options, show
from agents.cli.progress import Bars, describe
from agents.messages import RunList
from profiler import units
from profiler.errors import InputError
from profiler.events import ProgressEvent
from profiler.local_run import measure_here
from profiler.result import FailureKind, RunStatus
from profiler.runtimes.table import RuntimeStatus, available, default_runtime
from profiler.sensors.discover import discover
from profiler.spec import Precision, RunSpec, Runtime


def run(
    model: arguments.Model,
    runtime: arguments.Runtimes = None,
    precision: arguments.Precisions = "fp32",
    batch_size: arguments.BatchSizes = "1",
    threads: arguments.Threads = None,
    accelerator: arguments.Accelerator = "auto",
    max_time: arguments.MaxTime = 10.0,
    repetitions: arguments.Repetitions = 5,
    timeout: arguments.Timeout = 600.0,
    memory_limit: arguments.MemoryLimit = None,
    input_: arguments.Inputs = None,
    seed: arguments.Seed = 0,
    worker_python: Annotated[str | None, typer.Option(help="Python that measures.")] = None,
    as_json: arguments.AsJson = False,
) -> None:
    """Profile a model on this machine, with the code that measures in a fleet.

    \b
    Examples:
      fleetmark run torchvision:mobilenet_v3_large
      fleetmark run ./model.onnx --threads 1 --max-time 30
      fleetmark run timm:mobilevit_s --runtime onnxruntime --json
    """
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
    with Bars() as bars:

        def progress(event: ProgressEvent) -> None:
            text = describe(event.phase, event.p50_seconds)
            bars.update(spec.model.label, event.fraction, text, event.phase)

        result, _ = measure_here(
            spec,
            path,
            cache_dir=connection.cache_dir(),
            on_progress=progress,
            python=worker_python or sys.executable,
        )
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


def sensors(as_json: arguments.AsJson = False) -> None:
    """List what this machine can measure besides time, and why not the rest.

    \b
    Examples:
      fleetmark sensors
      fleetmark sensors --json
    """
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


def runtimes(as_json: arguments.AsJson = False) -> None:
    """List the engines on this machine, and how to get the rest.

    \b
    Examples:
      fleetmark runtimes
      fleetmark runtimes --json
    """
    found = available()
    if as_json:
        text = TypeAdapter(tuple[RuntimeStatus, ...]).dump_json(found, indent=2)
        print(f'{{"runtimes": {text.decode()}}}')
        return
    show.grid(
        ("runtime", "version", "why not", "what would help"),
        [(s.runtime, s.version or units.NOTHING, s.reason or "", s.remedy or "") for s in found],
    )
