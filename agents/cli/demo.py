"""``fleetmark demo``: the whole product on this machine, and everything away again."""

from __future__ import annotations

import signal
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from agents.cli import show
from agents.cli.local_fleet import local_fleet
from agents.cli.ordering import as_asked
from agents.cli.progress import follow_job
from agents.client import Client
from agents.messages import Axes, JobRequest, RunList
from profiler.errors import FleetmarkError
from profiler.report import fastest_sentence
from profiler.result import RunResult, RunStatus
from profiler.spec import ArchitectureRef, Library, Runtime

# The pair that the project is about, and a small one.
MODELS = ("resnet18", "mobilenet_v3_large", "squeezenet1_1")
RUNTIMES = (Runtime.TORCH, Runtime.ONNXRUNTIME)


def demo(
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Also write the results to this file.")
    ] = None,
    max_time: Annotated[float, typer.Option(help="Seconds of measuring per run.")] = 2.0,
    repetitions: Annotated[int, typer.Option(help="Fresh processes per run.")] = 3,
) -> None:
    """Start a coordinator and an agent here, profile three models, compare, clean up.

    \b
    Examples:
      fleetmark demo
      fleetmark demo --json results.json
    """
    if json_file is not None and not json_file.resolve().parent.is_dir():
        raise FleetmarkError(f"--json: there is no directory {json_file.resolve().parent}")
    # SIGTERM cleans up as Ctrl-C does; and Ctrl-C does also where a shell started this in the
    # background, which leaves it ignored.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="fleetmark-demo-") as directory:
        results = _in_fleet(Path(directory), max_time, repetitions)
    if json_file is not None:
        data = RunList(runs=tuple(results)).model_dump_json(indent=2)
        json_file.write_text(data + "\n", encoding="utf-8")
    show.results(results)
    print()
    print(fastest_sentence(results))
    if any(result.status is not RunStatus.SUCCEEDED for result in results):
        raise typer.Exit(1)


def _in_fleet(directory: Path, max_time: float, repetitions: int) -> list[RunResult]:
    show.note("1/3 starting a coordinator and an agent on this machine")
    with local_fleet(directory) as fleet:
        show.note(f"2/3 profiling {len(MODELS)} models in {len(RUNTIMES)} runtimes")
        # All at once: the device goes from one to the next without waiting for us.
        jobs = [_submit(fleet.client, name, max_time, repetitions) for name in MODELS]
        results = [_follow(fleet.client, job_id) for job_id in jobs]
        show.note("3/3 cleaning up")
    return [result for group in results for result in group]


def _submit(client: Client, name: str, max_time: float, repetitions: int) -> str:
    request = JobRequest(
        model=ArchitectureRef(library=Library.TORCHVISION, name=name),
        axes=Axes(runtime=RUNTIMES),
        max_time_seconds=max_time,
        repetitions=repetitions,
    )
    return client.submit(request).job.id


def _follow(client: Client, job_id: str) -> list[RunResult]:
    found = follow_job(client, job_id)
    return as_asked(found, client.runs(limit=100, job_id=job_id).runs)
