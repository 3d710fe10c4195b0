"""What works on this machine alone, without Ray and without a coordinator."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import product
from typing import Annotated

import typer
from pydantic import TypeAdapter

from agents.cli import arguments, connection, measurement, options, show
from agents.cli.progress import Bars, describe
from agents.messages import RunList
from profiler import units
from profiler.events import ProgressEvent
from profiler.result import FailureKind, KnobName, RunStatus
from profiler.runtimes.table import RuntimeStatus, available, default_runtime
from profiler.sensors.configured import sensor_setup
from profiler.spec import Precision, RunSpec, Runtime


def run(
    model: arguments.Model,
    runtime: arguments.Runtimes = None,
    precision: arguments.Precisions = "fp32",
    batch_size: arguments.BatchSizes = "1",
    threads: arguments.Threads = None,
    resolution: arguments.Resolutions = None,
    accelerator: arguments.Accelerator = "auto",
    scenario: arguments.ScenarioName = "single_stream",
    rate: arguments.Rate = None,
    latency_bound: arguments.LatencyBound = None,
    max_time: arguments.MaxTime = 10.0,
    settle_time: arguments.SettleTime = 600.0,
    repetitions: arguments.Repetitions = None,
    quick: arguments.Quick = False,
    target: arguments.Target = "1%",
    percentile: arguments.Percentile = "p50",
    timeout: arguments.Timeout = 600.0,
    memory_limit: arguments.MemoryLimit = None,
    input_: arguments.Inputs = None,
    seed: arguments.Seed = 0,
    tune: Annotated[
        str | None,
        typer.Option(help="Set governor,turbo,… while it measures, and put them back (root)."),
    ] = None,
    worker_python: Annotated[str | None, typer.Option(help="Python that measures.")] = None,
    sensor: arguments.Sensors = None,
    meters: arguments.Meters = None,
    as_json: arguments.AsJson = False,
) -> None:
    """Profile a model on this machine, with the code that measures in a fleet.

    --runtime, --precision, --batch-size, --threads and --resolution take several values, separated
    by commas: the repetitions of all combinations then take turns in a random order.

    \b
    Examples:
      fleetmark run torchvision:mobilenet_v3_large
      fleetmark run torchvision:resnet18 --runtime torch,onnxruntime --batch-size 1,8
      fleetmark run ./model.onnx --threads 1 --max-time 30 --percentile p99
      fleetmark run ./model.onnx --scenario server --latency-bound 0.05
      fleetmark run timm:mobilevit_s --runtime onnxruntime --quick --json
      fleetmark run ./model.onnx --meters meters.toml
    """
    import sys

    from profiler.fit import refuse_inputs, refuse_runtime  # NumPy; not on the way to --help
    from profiler.local_run import measure_all_here

    devices_own = sensor_setup(sensor, meters)
    ref, path = options.model(model, seed)
    pattern = measurement.scenario_of(scenario)
    effort = measurement.effort(repetitions, max_time, pattern, quick=quick)
    engines = (
        options.choices("runtime", runtime, Runtime)
        if runtime is not None
        else (default_runtime(ref),)
    )
    points = product(
        engines,
        options.choices("precision", precision, Precision),
        options.whole_numbers("batch-size", batch_size),
        options.whole_numbers("threads", threads) if threads is not None else (None,),
        measurement.resolutions(resolution),
    )
    specs = [
        options.build(
            RunSpec,
            model=ref,
            runtime=engine,
            precision=arithmetic,
            accelerator=accelerator,
            batch_size=items,
            threads=count,
            resolution=size,
            inputs=options.inputs(input_),
            scenario=pattern,
            server=measurement.server_of(pattern, rate, latency_bound, percentile),
            stop=measurement.stop_of(target, percentile),
            max_time_seconds=effort.max_time_seconds,
            settle_seconds=settle_time,
            repetitions=effort.repetitions,
            timeout_seconds=timeout,
            memory_limit_bytes=options.mebibytes("memory-limit", memory_limit),
            seed=seed,
        )
        for engine, arithmetic, items, count, size in points
    ]
    for spec in specs:
        refuse_runtime(spec.runtime, ref)
        refuse_inputs(ref, path, (spec.batch_size,), spec.inputs, (spec.resolution,))
    with Bars() as bars, _tuned(tune):

        def progress(place: int, event: ProgressEvent) -> None:
            text = describe(event.phase, event.p50_seconds)
            bars.update(_label(specs, place), event.fraction, text, event.phase)

        found = measure_all_here(
            specs,
            path,
            cache_dir=connection.cache_dir(),
            on_progress=progress,
            python=worker_python or sys.executable,
            sensors=devices_own,
        )
    results = tuple(each.result for each in found)
    if as_json:
        show.json_out(RunList(runs=results))
    else:
        show.results(results)
    if any(result.status is not RunStatus.SUCCEEDED for result in results):
        unsupported = [r.error and r.error.kind is FailureKind.UNSUPPORTED for r in results]
        raise typer.Exit(2 if all(unsupported) else 1)


def _label(specs: Sequence[RunSpec], place: int) -> str:
    """What the progress bar of a configuration is called: the model, and what is swept."""
    spec = specs[place]
    swept = [
        f"{name.replace('_', ' ')} {getattr(spec, name)}"
        for name in ("runtime", "precision", "batch_size", "threads", "resolution")
        if len({getattr(each, name) for each in specs}) > 1
    ]
    return ", ".join([spec.model.label, *swept])


@contextmanager
def _tuned(text: str | None) -> Iterator[None]:
    """Knobs of ``--tune``, set for as long as the block lasts; says what was set."""
    if text is None:
        yield
        return
    from profiler.tuning.tune import tuned

    with tuned(options.choices("tune", text, KnobName)) as tuning:
        for setting in tuning.report.settings:
            show.note(f"{setting.path}: {setting.before} → {setting.after or setting.note}")
        yield
    for setting in tuning.report.settings:
        show.note(f"{setting.path}: put back to {setting.restored or setting.before}")


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
