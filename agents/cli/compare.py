"""``fleetmark compare``: is the candidate faster, slower or the same?"""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from pydantic import ValidationError

from agents.cli import arguments, connection, options, show
from agents.cli.pairing import KEY, Pair, Paired, Unpaired, describe, pair, what_differs
from agents.client import ApiError, Client
from agents.messages import RunList
from profiler import units
from profiler.base import Frozen
from profiler.comparable import FIELDS
from profiler.comparison import Basis, Comparison
from profiler.errors import InputError
from profiler.result import RunResult

if TYPE_CHECKING:
    from collections.abc import Sequence

REFUSED = 1
NOT_FOUND = 404
# The most that the coordinator lists at once.
MOST_LISTED = 1000

Side = Annotated[str, typer.Argument(help="A JSON file of results, a run's id or a job's id.")]


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


def compare(
    baseline: Side,
    candidate: Side,
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
    coordinator: arguments.Url = None,
    token_file: arguments.TokenFile = None,
    as_json: arguments.AsJson = False,
) -> None:
    """Tell whether CANDIDATE is faster or slower than BASELINE, or the same.

    Each is a file that `run --json` or `demo --json` wrote, the id of a run, or the id of a job.
    Of several runs those of the same device, model, runtime, precision, batch size, threads and
    accelerator are compared, and winners that chance explains are withdrawn (Benjamini-Hochberg,
    5 %).

    The ratio is candidate / baseline of the median latency of a typical process, with a 95 %
    interval over processes. The verdict is `same` where all of it lies within the margin, `faster`
    or `slower` where it excludes 1, and else `inconclusive`. Percentages are of the baseline.

    Two models or two runtimes may be compared as they are. Whatever else differs (device, threads,
    software, flags) is named, and there is no verdict until --across says that it is meant.

    Exit status: 0 verdicts were given, inconclusive ones included; 1 one was refused, or a run has
    no counterpart; 2 bad input.

    \b
    Examples:
      fleetmark compare before.json after.json
      fleetmark compare 4f1c09aa7d2e6b35 9b02c4417ffe0a61 --margin 2%
      fleetmark compare before.json after.json --across threads,flags.busy_device
      fleetmark compare 4f1c09aa7d2e6b35 9b02c4417ffe0a61 --across runtime --json
    """
    limit = _margin(margin)
    meant = _fields(across)
    sources = _Sources(coordinator, token_file)
    old, new = sources.read("baseline", baseline), sources.read("candidate", candidate)
    paired = _paired(old, new, meant)
    basis = Basis.SENTINEL if sentinel_units else Basis.WALL_CLOCK
    report = _report(paired, limit, meant, basis, force=force)
    if as_json:
        show.json_out(report)
    else:
        _print(report, paired.pairs)
    if report.unpaired or any(each.comparison.refusals for each in report.comparisons):
        raise typer.Exit(REFUSED)


def _report(
    paired: Paired, margin: float, across: Sequence[str], basis: Basis, *, force: bool
) -> Report:
    from profiler.compare import control_false_discoveries  # NumPy; not on the way to --help
    from profiler.compare_results import compare_results

    found = control_false_discoveries(
        [
            compare_results(
                each.baseline,
                each.candidate,
                margin=margin,
                across=across,
                force=force,
                basis=basis,
            )
            for each in paired.pairs
        ]
    )
    compared = [_compared(each, answer) for each, answer in zip(paired.pairs, found, strict=True)]
    return Report(comparisons=tuple(compared), unpaired=paired.unpaired)


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


# --- where results come from ------------------------------------------------------------------


class _Sources:
    """Files, and a coordinator that is asked only where an id is given."""

    def __init__(self, coordinator: str | None, token_file: Path | None) -> None:
        self._coordinator = coordinator
        self._token_file = token_file
        self._client: Client | None = None

    def read(self, field: str, text: str) -> list[RunResult]:
        """The results that a user names.

        Raises:
            InputError: there are none.
        """
        content = _content(field, Path(text)) if text else None
        if content is not None:
            return _from_json(field, text, content)
        if not text or Path(text).suffix or "/" in text:
            remedy = "Check the path, or give the id of a run or a job"
            raise InputError(field, text, "is no file", remedy)
        return self._from_coordinator(field, text)

    def _from_coordinator(self, field: str, name: str) -> list[RunResult]:
        if self._client is None:
            self._client = connection.connect(self._coordinator, self._token_file)
        try:
            return [self._client.result(name)]
        except ApiError as error:
            if error.status != NOT_FOUND:
                raise
        return _of_job(self._client, field, name)


def _of_job(client: Client, field: str, job_id: str) -> list[RunResult]:
    try:
        job = client.job(job_id)
    except ApiError as error:
        if error.status != NOT_FOUND:
            raise
        remedy = "`fleetmark runs --json` and `fleetmark jobs` list ids"
        raise InputError(
            field, job_id, "is no file, no job, and no run that is over", remedy
        ) from error
    waiting = sum(not run.state.final for run in job.runs)
    if waiting:
        remedy = f"`fleetmark watch {job_id}` waits for them"
        raise InputError(field, job_id, f"has {waiting} run(s) that are not over", remedy)
    if not job.runs:
        raise InputError(field, job_id, "is a job without runs", "Give another")
    if len(job.runs) <= MOST_LISTED:
        return list(client.runs(limit=MOST_LISTED, job_id=job_id).runs)
    return [client.result(run.id) for run in job.runs]


def _content(field: str, path: Path) -> bytes | None:
    """What is in the file; ``None`` where there is none of that name.

    Raises:
        InputError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        remedy = "Give a JSON file of results, or the id of a run or a job"
        raise InputError(field, path, f"cannot be read ({why})", remedy) from error


def _from_json(field: str, name: str, content: bytes) -> list[RunResult]:
    """Raises:
    InputError: it holds no results.
    """
    remedy = "Give what `fleetmark run --json` or `fleetmark demo --json` wrote"
    try:
        found = RunList.model_validate_json(content).runs
    except ValidationError as error:
        try:
            # What the API answers for one run.
            return [RunResult.model_validate_json(content)]
        except ValidationError:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            why = f"{where}: {first['msg']}" if where else str(first["msg"])
            raise InputError(field, name, f"holds no results ({why})", remedy) from error
    if not found:
        raise InputError(field, name, "holds no results", remedy)
    return list(found)


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
    from profiler.compare_report import ratio

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
