"""``fleetmark compare``: is the candidate faster, slower or the same?"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Annotated

import typer

from agents.cli import arguments, live, options, show
from agents.cli.groups import grouped
from agents.cli.pairing import KEY, Pair, Paired, Unpaired, describe, pair, what_differs
from agents.cli.sources import Sources
from profiler import units
from profiler.base import Frozen
from profiler.comparing.comparable import FIELDS
from profiler.comparing.comparison import Basis, Comparison
from profiler.errors import InputError
from profiler.result import RunResult
from profiler.sensors.configured import sensor_setup

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from profiler.comparing.compare import Sample

REFUSED = 1

Side = Annotated[
    str, typer.Argument(help="A model; or a JSON file of results, a run's or a job's id.")
]


class Compared(Frozen):
    """A pair as it is printed: which runs, of what, and the answer."""

    baseline_run_id: str
    candidate_run_id: str
    device: str
    model: str
    runtime: str
    precision: str | None
    batch_size: int
    threads: int | None
    accelerator: str | None
    comparison: Comparison


class Report(Frozen):
    """What ``--json`` prints."""

    comparisons: tuple[Compared, ...]
    unpaired: tuple[Unpaired, ...]


@grouped("asked", live.Live)
def compare(
    baseline: Side,
    candidate: Side,
    asked: live.Live,
    margin: Annotated[
        str, typer.Option(help="Differences within this are none; 1% or 0.01.")
    ] = "1%",
    across: Annotated[
        str | None,
        typer.Option(help="Fields that are meant to differ, by comma: threads,flags.busy_device."),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Give a verdict whatever else differs.")
    ] = False,
    sentinel_units: Annotated[
        bool,
        typer.Option("--sentinel-units", help="Judge latency in units of the sentinel."),
    ] = False,
    sensor: arguments.Sensors = None,
    meters: arguments.Meters = None,
    coordinator: arguments.Url = None,
    token_file: arguments.TokenFile = None,
    as_json: arguments.AsJson = False,
) -> None:
    """Tell whether CANDIDATE is faster or slower than BASELINE, or the same.

    Two models are measured here and now, in turns: in rounds of A B B A, each in a fresh process.
    What slows the device for longer than a round slows both alike and cancels in its ratio. Options
    marked "Live" are for this.

    Else each is a file that `run --json` or `demo --json` wrote, the id of a run, or of a job.
    Of several runs those of the same device, model, runtime, precision, batch size, threads and
    accelerator are compared, and winners that chance explains are withdrawn (Benjamini-Hochberg,
    5 %).

    The ratio is candidate / baseline of the median latency of a typical process, with a 95 %
    interval over processes, by their raw iterations where the coordinator has those of both. The
    verdict is `same` where all of it lies within the margin, `faster` or `slower` where it excludes
    1, and else `inconclusive`. Percentages are of the baseline.

    Two models or two runtimes may be compared as they are. Whatever else differs (device, threads,
    software, flags) is named, and there is no verdict until --across says that it is meant.

    Exit status: 0 verdicts were given, inconclusive ones included; 1 one was refused, a run has no
    counterpart or failed; 2 bad input.

    \b
    Examples:
      fleetmark compare torchvision:resnet18 torchvision:mobilenet_v3_large
      fleetmark compare torchvision:resnet18 torchvision:resnet18 --runtime torch,onnxruntime
      fleetmark compare ./net.onnx ./net.onnx --threads 1,2
      fleetmark compare before.json after.json
      fleetmark compare 4f1c09aa7d2e6b35 9b02c4417ffe0a61 --margin 2%
      fleetmark compare before.json after.json --across threads,flags.busy_device
      fleetmark compare 4f1c09aa7d2e6b35 9b02c4417ffe0a61 --across runtime --json
    """
    limit = _margin(margin)
    models = [live.is_model(text) for text in (baseline, candidate)]
    if all(models):
        _refuse("is about two results, and two models were given", {
            "across": across, "force": force or None, "sentinel-units": sentinel_units or None,
            "coordinator": coordinator, "token-file": token_file,
        })  # fmt: skip
        setup = sensor_setup(sensor, meters)
        live.compare_live(baseline, candidate, limit, asked, setup, as_json=as_json)
        return
    if any(models):
        raise InputError(
            "candidate", candidate, f"and {baseline!r} are a model and a result",
            "Compare two models, which are measured now, or two results",
        )  # fmt: skip
    _refuse(
        "is about two models that are measured now, and results were given",
        asked.given() | {"sensor": sensor, "meters": meters},
    )
    meant = _fields(across)
    sources = Sources(coordinator, token_file)
    old, new = sources.read("baseline", baseline), sources.read("candidate", candidate)
    paired = _paired(old, new, meant)
    basis = Basis.SENTINEL if sentinel_units else Basis.WALL_CLOCK
    report = _report(paired, sources, limit, meant, basis, force=force)
    if sources.without is not None:
        show.note(f"by the processes' medians, without raw iterations: {sources.without}")
    if as_json:
        show.json_out(report)
    else:
        _print(report, paired.pairs)
    if report.unpaired or any(each.comparison.refusals for each in report.comparisons):
        raise typer.Exit(REFUSED)


def _refuse(problem: str, given: Mapping[str, object]) -> None:
    """Raises:
    InputError: an option was given that would change nothing.
    """
    for name, value in given.items():
        if value is not None:
            raise InputError(name, value, problem, "Leave it out")


def _report(
    paired: Paired,
    sources: Sources,
    margin: float,
    across: Sequence[str],
    basis: Basis,
    *,
    force: bool,
) -> Report:
    from profiler.comparing.compare import (
        control_false_discoveries,  # NumPy; not on the way to --help
    )
    from profiler.comparing.results import compare_results

    found = control_false_discoveries(
        [
            compare_results(
                each.baseline,
                each.candidate,
                margin=margin,
                across=across,
                force=force,
                basis=basis,
                iterations=_iterations(each, sources),
            )
            for each in paired.pairs
        ]
    )
    compared = [_compared(each, answer) for each, answer in zip(paired.pairs, found, strict=True)]
    return Report(comparisons=tuple(compared), unpaired=paired.unpaired)


def _iterations(each: Pair, sources: Sources) -> tuple[Sample, Sample] | None:
    """Of both, where both are kept: an interval is of one kind."""
    old = sources.iterations(each.baseline)
    new = sources.iterations(each.candidate) if old is not None else None
    return (old, new) if old is not None and new is not None else None


def _compared(each: Pair, found: Comparison) -> Compared:
    result = each.candidate
    return Compared(
        baseline_run_id=each.baseline.run_id,
        candidate_run_id=result.run_id,
        device=result.device,
        model=result.model,
        runtime=result.runtime,
        precision=result.precision,
        batch_size=result.batch_size,
        threads=result.threads,
        accelerator=result.accelerator,
        comparison=found,
    )


# --- options ----------------------------------------------------------------------------------


def _margin(text: str) -> float:
    """``1%``, ``1 %`` or ``0.01`` → 0.01.

    Raises:
        InputError: it is no share above 0 and below 1.
    """
    number, percent, rest = text.strip().partition("%")
    remedy = "Write a percentage above 0 and below 100, such as 1%"
    try:
        value = float(number) / (100 if percent else 1)
    except ValueError as error:
        raise InputError("margin", text, "is no number", remedy) from error
    if rest or not 0 < value < 1:
        raise InputError("margin", text, "is no margin", remedy)
    return value


def _fields(text: str | None) -> list[str]:
    """Raises:
    InputError: a field is unknown.
    """
    if text is None:
        return []
    fields = options.split("across", text)
    for field in fields:
        root = field.partition(".")[0]
        if root not in FIELDS:
            close = difflib.get_close_matches(root, FIELDS, n=1)
            hint = f"Did you mean {close[0]}? " if close else ""
            known = f"{hint}There are: {', '.join(FIELDS)}"
            raise InputError("across", field, "is unknown", known)
    return fields


def _paired(old: Sequence[RunResult], new: Sequence[RunResult], across: Sequence[str]) -> Paired:
    """Raises:
    InputError: no two of them belong together.
    """
    found = pair(old, new, across)
    if not found.pairs:
        fields = what_differs(old, new)
        remedy = (
            f"If that is what you compare, say --across {' or '.join(fields)}"
            if fields
            else "Give two single runs by their ids to see what differs"
        )
        text = f"{len(old)} and {len(new)} results"
        raise InputError("candidate", text, "have no configuration in common", remedy)
    return found


# --- output -----------------------------------------------------------------------------------

COLUMNS = (
    "device", "model", "runtime", "batch", "baseline p50", "candidate p50", "ratio [95 %]",
    "in sentinel units", "verdict",
)  # fmt: skip


def _print(report: Report, pairs: Sequence[Pair]) -> None:
    show.grid(COLUMNS, [_row(*both) for both in zip(pairs, report.comparisons, strict=True)])
    varying = [
        field
        for field in KEY
        # The sentence names the model itself.
        if field != "model" and len({getattr(each, field) for each in report.comparisons}) > 1
    ]
    for each in report.comparisons:
        where = describe(varying, [getattr(each, field) for field in varying])
        print(f"{where}: {each.comparison.sentence}" if where else each.comparison.sentence)
    fields = {d.field: None for each in report.comparisons for d in each.comparison.refusals}
    allowed = [field for field in fields if field != "status"]
    if allowed:
        print(f"If that is meant: --across {','.join(allowed)}")
    for lone in report.unpaired:
        print(f"not compared: {lone.configuration}: {lone.reason}")


def _row(each: Pair, compared: Compared) -> tuple[str, ...]:
    from profiler.comparing.report import ratio

    found = compared.comparison
    return (
        _both(each.baseline.device, compared.device),
        _both(each.baseline.model, compared.model),
        _both(each.baseline.runtime, compared.runtime),
        _both(str(each.baseline.batch_size), str(compared.batch_size)),
        _median(each.baseline),
        _median(each.candidate),
        ratio(found.ratio) if found.ratio else units.NOTHING,
        ratio(found.sentinel_ratio) if found.sentinel_ratio else units.NOTHING,
        "refused" if found.refusals else found.verdict.value,
    )


def _both(old: str, new: str) -> str:
    return old if old == new else f"{old} → {new}"


def _median(result: RunResult) -> str:
    found = result.latency.p50 if result.latency else None
    return units.interval(found.value, found.low, found.high) if found else units.NOTHING
