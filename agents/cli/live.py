"""``fleetmark compare`` of two models: measured here and now, in turns."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

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
from profiler.spec import Library, RunSpec, Runtime

LEAST_ROUNDS = 4
MODEL_SUFFIXES = (".onnx", ".pt", ".pt2")


class Live(NamedTuple):
    """Options of a live comparison, as texts."""

    rounds: int
    max_time: float
    runtime: str | None
    threads: str | None
    batch_size: str
    sensors: SensorSetup = SensorSetup()


class LiveReport(Frozen):
    """What ``--json`` prints: the answer, and the two results behind it."""

    comparison: Comparison | None
    runs: tuple[RunResult, ...]


def is_model(text: str) -> bool:
    """Whether an argument names a model rather than a result."""
    prefix = text.partition(":")[0]
    return prefix in set(Library) or Path(text).suffix in MODEL_SUFFIXES


def compare_live(
    baseline: str, candidate: str, margin: float, asked: Live, *, as_json: bool
) -> None:
    """Measure, compare, print; exit status 1 where one of the two failed.

    Raises:
        InputError: an option makes no sense.
    """
    from profiler.comparing.compare import Names  # NumPy; not on the way to --help
    from profiler.comparing.duel import Side, duel

    if asked.rounds < LEAST_ROUNDS:
        raise InputError("rounds", asked.rounds, "bound nothing", f"Ask for {LEAST_ROUNDS} or more")
    runtimes = _pair("runtime", asked.runtime)
    sides = [
        _side(text, name, asked) for text, name in zip((baseline, candidate), runtimes, strict=True)
    ]
    labels = _labels([spec for spec, _ in sides])
    with Bars() as bars:

        def progress(place: int, event: ProgressEvent) -> None:
            text = describe(event.phase, event.p50_seconds)
            bars.update(labels[place], event.fraction, text, event.phase)

        found = duel(
            Side(*sides[0]),
            Side(*sides[1]),
            rounds=asked.rounds,
            cache_dir=connection.cache_dir(),
            names=Names(baseline=labels[0], candidate=labels[1]),
            margin=margin,
            on_progress=progress,
            sensors=asked.sensors,
        )
    if as_json:
        show.json_out(LiveReport(comparison=found.comparison, runs=found.results))
    else:
        show.results(found.results)
        if found.comparison is not None:
            print(found.comparison.sentence)
    if found.comparison is None:
        raise typer.Exit(1)


def _pair(field: str, text: str | None) -> tuple[str | None, str | None]:
    """``torch,onnxruntime`` → the first for the baseline, the second for the candidate."""
    if text is None:
        return None, None
    parts = options.split(field, text)
    if len(parts) > 2:  # noqa: PLR2004 - one for both, or one for each
        raise InputError(field, text, "names more than two", "One for both, or one for each")
    return parts[0], parts[-1]


def _side(text: str, runtime: str | None, asked: Live) -> tuple[RunSpec, Path | None]:
    from profiler.fit import refuse_inputs, refuse_runtime

    ref, path = options.model(text, 0)
    threads = options.whole_numbers("threads", asked.threads) if asked.threads else (None,)
    (batch_size,) = options.whole_numbers("batch-size", asked.batch_size)[:1]
    spec = options.build(
        RunSpec,
        model=ref,
        runtime=options.choice("runtime", runtime, Runtime) if runtime else default_runtime(ref),
        threads=threads[0],
        batch_size=batch_size,
        max_time_seconds=asked.max_time / 2,
        # A round's processes are compared as they are: all are measured for the same time.
        stop=measurement.stop_of("0", "p50"),
    )
    refuse_runtime(spec.runtime, ref)
    refuse_inputs(ref, path, (batch_size,), None)
    return spec, path


def _labels(specs: list[RunSpec]) -> tuple[str, str]:
    """Names that tell the two apart."""
    first, second = specs
    if first.model.label != second.model.label:
        return first.model.label, second.model.label
    if first.runtime is not second.runtime:
        return (
            f"{first.model.label} in {first.runtime}",
            f"{second.model.label} in {second.runtime}",
        )
    return f"{first.model.label} (first)", f"{second.model.label} (second)"
