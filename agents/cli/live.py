"""``fleetmark compare`` of two models: measured here and now, in turns."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated

import typer

from agents.cli import connection, measurement, options, show
from agents.cli.progress import Bars, describe
from profiler.base import Frozen
from profiler.comparing.comparison import Comparison
from profiler.errors import InputError
from profiler.events import ProgressEvent
from profiler.result import RunResult
from profiler.runtimes.table import default_runtime
from profiler.sensors.setup import SensorSetup
from profiler.spec import Library, Precision, RunSpec, Runtime

LEAST_ROUNDS = 4
ROUNDS = 6
MAX_TIME = 24.0
# Seconds beyond the measuring, after which something hangs.
TIMEOUT = 600.0
MODEL_SUFFIXES = (".onnx", ".pt", ".pt2")


Both = tuple[str | None, str | None]


@dataclass(frozen=True)
class Live:
    """Options of a live comparison; ``None`` was not given."""

    rounds: Annotated[
        int | None,
        typer.Option(help="Live: of two processes of each. Default: 6."),
    ] = None
    max_time: Annotated[
        float | None, typer.Option(help="Live: seconds of measuring in all. Default: 24.")
    ] = None
    runtime: Annotated[
        str | None, typer.Option(help="Live: one for both, or one for each by comma.")
    ] = None
    precision: Annotated[str | None, typer.Option(help="Live: likewise. Default: fp32.")] = None
    threads: Annotated[str | None, typer.Option(help="Live: likewise. Default: all CPUs.")] = None
    batch_size: Annotated[str | None, typer.Option(help="Live: of both. Default: 1.")] = None
    resolution: Annotated[
        str | None, typer.Option(help="Live: of both; height and width of images.")
    ] = None
    accelerator: Annotated[
        str | None, typer.Option(help="Live: of both; auto, cpu, cuda or cuda:N. Default: auto.")
    ] = None
    input_: Annotated[
        list[str] | None,
        typer.Option("--input", help="Live: of both; name:dtype:shape; repeatable."),
    ] = None
    seed: Annotated[
        int | None, typer.Option(help="Live: of random weights and inputs. Default: 0.")
    ] = None

    def given(self) -> dict[str, object]:
        """The options that were given, by their names on the command line."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        return {
            name.rstrip("_").replace("_", "-"): value
            for name, value in values.items()
            if value is not None
        }


class LiveReport(Frozen):
    """What ``--json`` prints: the answer, and the two results behind it."""

    comparison: Comparison | None
    runs: tuple[RunResult, ...]


def is_model(text: str) -> bool:
    """Whether an argument names a model rather than a result."""
    prefix = text.partition(":")[0]
    return prefix in set(Library) or Path(text).suffix in MODEL_SUFFIXES


def compare_live(
    baseline: str, candidate: str, margin: float, asked: Live, setup: SensorSetup, *, as_json: bool
) -> None:
    """Measure, compare, print; exit status 1 where one of the two failed.

    Raises:
        InputError: an option makes no sense.
    """
    from profiler.comparing.compare import Names  # NumPy; not on the way to --help
    from profiler.comparing.duel import Side, duel

    rounds = ROUNDS if asked.rounds is None else asked.rounds
    if rounds < LEAST_ROUNDS:
        raise InputError("rounds", rounds, "bound nothing", f"Ask for {LEAST_ROUNDS} or more")
    sides = _sides((baseline, candidate), asked)
    labels = _labels([spec for spec, _ in sides])
    with Bars() as bars:

        def progress(place: int, event: ProgressEvent) -> None:
            text = describe(event.phase, event.p50_seconds)
            bars.update(labels[place], event.fraction, text, event.phase)

        found = duel(
            Side(*sides[0]),
            Side(*sides[1]),
            rounds=rounds,
            cache_dir=connection.cache_dir(),
            names=Names(baseline=labels[0], candidate=labels[1]),
            margin=margin,
            on_progress=progress,
            sensors=setup,
        )
    if as_json:
        show.json_out(LiveReport(comparison=found.comparison, runs=found.results))
    else:
        show.results(found.results)
        if found.comparison is not None:
            print(found.comparison.sentence)
    if found.comparison is None:
        raise typer.Exit(1)


def _pair(field: str, text: str | None) -> Both:
    """``torch,onnxruntime`` → the first for the baseline, the second for the candidate."""
    if text is None:
        return None, None
    parts = options.split(field, text)
    if len(parts) > 2:  # noqa: PLR2004 - one for both, or one for each
        raise InputError(field, text, "names more than two", "One for both, or one for each")
    return parts[0], parts[-1]


def _sides(models: tuple[str, str], asked: Live) -> list[tuple[RunSpec, Path | None]]:
    own = zip(
        models,
        _pair("runtime", asked.runtime),
        _pair("precision", asked.precision),
        _pair("threads", asked.threads),
        strict=True,
    )
    return [_side(*each, asked) for each in own]


def _side(
    text: str, runtime: str | None, precision: str | None, threads: str | None, asked: Live
) -> tuple[RunSpec, Path | None]:
    from profiler.fit import refuse_inputs, refuse_runtime

    seed = asked.seed or 0
    max_time = MAX_TIME if asked.max_time is None else asked.max_time
    ref, path = options.model(text, seed)
    size = asked.resolution
    items = "1" if asked.batch_size is None else asked.batch_size
    spec = options.build(
        RunSpec,
        model=ref,
        runtime=options.choice("runtime", runtime, Runtime) if runtime else default_runtime(ref),
        precision=options.choice("precision", precision or "fp32", Precision),
        threads=options.one_whole_number("threads", threads) if threads is not None else None,
        batch_size=options.one_whole_number("batch-size", items),
        resolution=measurement.resolutions(
            options.one("resolution", size) if size is not None else None
        )[0],
        accelerator="auto" if asked.accelerator is None else asked.accelerator,
        inputs=options.inputs(asked.input_),
        max_time_seconds=max_time / 2,
        timeout_seconds=TIMEOUT + max(max_time, 0),
        # A round's processes are compared as they are: all are measured for the same time.
        stop=measurement.stop_of("0", "p50"),
        seed=seed,
    )
    refuse_runtime(spec.runtime, ref)
    refuse_inputs(ref, path, (spec.batch_size,), spec.inputs, (spec.resolution,))
    return spec, path


def _labels(specs: list[RunSpec]) -> tuple[str, str]:
    """Names that tell the two apart, by the first thing in which they differ."""
    first, second = specs
    if first.model.label != second.model.label:
        return first.model.label, second.model.label
    for field, form in (("runtime", "{}"), ("precision", "{}"), ("threads", "{} thread(s)")):
        values = [getattr(spec, field) for spec in specs]
        if values[0] != values[1]:
            named = [f"{first.model.label} in {form.format(value or 'all')}" for value in values]
            return named[0], named[1]
    return f"{first.model.label} (first)", f"{second.model.label} (second)"
