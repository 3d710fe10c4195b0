"""What works on this machine alone, without Ray and without a coordinator."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from pydantic import TypeAdapter

from agents.cli import arguments, connection, options, show
from agents.cli.asked import Asked
from agents.cli.groups import grouped
from agents.cli.progress import Bars, describe
from agents.messages import JobRequest, RunList
from agents.points import points, runtimes_of
from profiler import units
from profiler.events import ProgressEvent
from profiler.result import FailureKind, KnobName, RunResult, RunStatus
from profiler.runtimes.table import RuntimeStatus, available
from profiler.sensors.configured import sensor_setup
from profiler.spec import RunSpec


@grouped("asked", Asked)
def run(
    asked: Asked,
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
    devices_own = sensor_setup(sensor, meters)
    request, path = asked.request()
    specs = points(request)
    _refuse_misfits(request, path)
    with Bars() as bars, _tuned(tune):

        def progress(place: int, event: ProgressEvent) -> None:
            text = describe(event.phase, event.p50_seconds)
            bars.update(_label(specs, place), event.fraction, text, event.phase)

        from profiler.local_run import measure_all_here

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
    _exit_with(results)


def _refuse_misfits(request: JobRequest, path: Path | None) -> None:
    """Raises:
    InputError: model, runtimes, inputs and sizes do not go together.
    """
    from profiler.fit import refuse_inputs, refuse_runtime  # NumPy; not on the way to --help

    for runtime in runtimes_of(request):
        refuse_runtime(runtime, request.model)
    axes = request.axes
    refuse_inputs(request.model, path, axes.batch_size, request.inputs, axes.resolution)


def _exit_with(results: Sequence[RunResult]) -> None:
    """Raises:
    typer.Exit: a run has failed; with 2 if all did because this device cannot run such a thing.
    """
    if all(result.status is RunStatus.SUCCEEDED for result in results):
        return
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
