"""What a user asks of the fleet: devices, submit, jobs, runs, watch, cancel."""

from __future__ import annotations

from typing import Annotated

import typer

from agents.cli import arguments, connection, show, watching
from agents.cli.asked import Asked
from agents.cli.groups import grouped
from agents.cli.ordering import as_asked
from agents.cli.progress import follow_job
from agents.client import Client
from agents.messages import Device, RunState
from profiler import units
from profiler.result import RunStatus

devices_app = typer.Typer(invoke_without_command=True)


@devices_app.callback()
def devices(
    context: typer.Context,
    coordinator: arguments.Url = None,
    token_file: arguments.TokenFile = None,
    as_json: arguments.AsJson = False,
) -> None:
    """List the devices: what they are, what they can run, whether they are here.

    \b
    Examples:
      fleetmark devices
      fleetmark devices --json
      fleetmark devices remove old-board
    """
    if context.invoked_subcommand is not None:
        return
    found = connection.connect(coordinator, token_file).devices()
    if as_json:
        show.json_out(found)
        return
    if not found.devices:
        show.note("No device is registered. Start `fleetmark agent` on one.")
        return
    columns = ("name", "state", "kind", "cpu", "memory", "runtimes", "energy", "labels", "seen")
    show.grid(columns, [_device_row(device) for device in found.devices])


def _device_row(device: Device) -> tuple[str, ...]:
    inventory = device.inventory
    runtimes = [f"{s.runtime} {s.version}" for s in inventory.runtimes if s.installed]
    state = device.state.value
    return (
        device.name,
        f"{state}: {device.state_reason}" if device.state_reason else state,
        device.labels.get("kind", inventory.kind),
        f"{inventory.cpu_count} × {inventory.cpu_model}",
        units.bytes_(inventory.memory_total_bytes),
        ", ".join(runtimes) or "none",
        ", ".join(inventory.energy_sources) or "none",
        ", ".join(f"{key}={value}" for key, value in sorted(device.labels.items())),
        show.ago(device.last_seen_at),
    )


@devices_app.command("remove")
def remove(
    name: str, coordinator: arguments.Url = None, token_file: arguments.TokenFile = None
) -> None:
    """Forget a device: its waiting runs are cancelled, its results stay, its name is free.

    \b
    Example:
      fleetmark devices remove old-board
    """
    connection.connect(coordinator, token_file).remove_device(name)
    show.note(f"{name} was removed")


@grouped("asked", Asked)
def submit(
    asked: Asked,
    devices: Annotated[
        str, typer.Option(help="all, names, or labels such as kind=cpu-board,room=lab.")
    ] = "all",
    wait: Annotated[bool, typer.Option("--wait", help="Show progress, then the results.")] = False,
    coordinator: arguments.Url = None,
    token_file: arguments.TokenFile = None,
    as_json: arguments.AsJson = False,
) -> None:
    """Profile a model on the devices: one run per device and combination of values.

    --runtime, --precision, --batch-size, --threads and --resolution take several values, separated
    by commas.

    \b
    Examples:
      fleetmark submit torchvision:resnet18 --wait
      fleetmark submit torchvision:resnet18 --runtime torch,onnxruntime --batch-size 1,8 --wait
      fleetmark submit ./model.onnx --devices 'kind=cpu-board,room=lab'
      fleetmark submit ./model.pt --input x:float32:1x3x32x32 --devices pi5-a
      fleetmark submit ./model.onnx --scenario server --rate 30 --devices pi5-a
    """
    request, path = asked.request(devices)
    client = connection.connect(coordinator, token_file)
    if path is not None:
        show.note(f"sending {path.name}, {units.bytes_(path.stat().st_size)}")
        stored = client.upload(path)
        request = request.model_copy(update={"model": stored})
    submitted = client.submit(request)
    job_id = submitted.job.id
    if wait:
        show.note(f"job {job_id}: {len(submitted.runs)} runs")
        finish(client, job_id, as_json=as_json)
    elif as_json:
        show.json_out(submitted)
    else:
        print(f"job {job_id}: {len(submitted.runs)} runs queued; `fleetmark watch {job_id}`")


def finish(client: Client, job_id: str, *, as_json: bool) -> None:
    """Follow a job, show its results, and exit with 1 if a run did not succeed."""
    try:
        found = follow_job(client, job_id)
    except KeyboardInterrupt:
        show.note(
            f"job {job_id} goes on; `fleetmark watch {job_id}` shows it, "
            f"`fleetmark cancel {job_id}` ends it"
        )
        raise
    results = client.runs(limit=1000, job_id=job_id)
    ordered = as_asked(found, results.runs)
    if as_json:
        show.json_out(results.model_copy(update={"runs": tuple(ordered)}))
    else:
        show.results(ordered)
    if any(result.status is not RunStatus.SUCCEEDED for result in ordered):
        raise typer.Exit(1)


def watch(
    job: Annotated[
        str | None, typer.Argument(help="Id of the job; `fleetmark jobs` lists them.")
    ] = None,
    coordinator: arguments.Url = None,
    token_file: arguments.TokenFile = None,
    as_json: arguments.AsJson = False,
) -> None:
    """Show a job's progress until it is over, then its results; without a job, the whole fleet.

    The fleet fills the terminal until `q` or Ctrl-C. Where there is no terminal, and with --json,
    it is shown once.

    \b
    Examples:
      fleetmark watch
      fleetmark watch 4f1c09aa7d2e6b35
    """
    client = connection.connect(coordinator, token_file)
    if job is None:
        watching.watch_fleet(client, as_json=as_json)
    else:
        finish(client, job, as_json=as_json)


def cancel(
    job: Annotated[str, typer.Argument(help="Id of the job.")],
    coordinator: arguments.Url = None,
    token_file: arguments.TokenFile = None,
    as_json: arguments.AsJson = False,
) -> None:
    """Cancel what is not over of a job; what was measured stays.

    \b
    Example:
      fleetmark cancel 4f1c09aa7d2e6b35
    """
    found = connection.connect(coordinator, token_file).cancel(job)
    if as_json:
        show.json_out(found)
    else:
        print(f"job {found.id}: {_counts(found.runs)}")


def jobs(
    limit: Annotated[int, typer.Option(help="How many, newest first.")] = 20,
    coordinator: arguments.Url = None,
    token_file: arguments.TokenFile = None,
    as_json: arguments.AsJson = False,
) -> None:
    """List the jobs, newest first.

    \b
    Examples:
      fleetmark jobs
      fleetmark jobs --limit 5 --json
    """
    found = connection.connect(coordinator, token_file).jobs(limit)
    if as_json:
        show.json_out(found)
        return
    if not found.jobs:
        show.note("No job yet. Try `fleetmark submit torchvision:resnet18 --wait`.")
        return
    show.grid(
        ("job", "model", "devices", "state", "runs", "submitted"),
        [
            (
                job.id,
                job.model,
                job.request.devices,
                job.state.value,
                _counts(job.runs),
                show.ago(job.created_at),
            )
            for job in found.jobs
        ],
    )


def _counts(runs: dict[RunState, int]) -> str:
    return ", ".join(f"{count} {state}" for state, count in runs.items() if count)


def runs(
    job: Annotated[str | None, typer.Option(help="Only this job's.")] = None,
    device: Annotated[str | None, typer.Option(help="Only this device's.")] = None,
    limit: Annotated[int, typer.Option(help="How many, newest first.")] = 50,
    coordinator: arguments.Url = None,
    token_file: arguments.TokenFile = None,
    as_json: arguments.AsJson = False,
) -> None:
    """List results, newest first, and what is still to come.

    \b
    Examples:
      fleetmark runs
      fleetmark runs --device pi5-a --json
    """
    found = connection.connect(coordinator, token_file).runs(limit, job, device)
    if as_json:
        show.json_out(found)
        return
    if found.runs:
        show.results(found.runs)
    if found.pending:
        rows = [
            (
                run.id,
                run.device,
                run.spec.model.label,
                run.spec.runtime,
                run.state,
                str(run.attempt),
            )
            for run in found.pending
        ]
        show.grid(("run", "device", "model", "runtime", "state", "attempt"), rows, "not over yet")
    if not found.runs and not found.pending:
        show.note("No run yet. Try `fleetmark submit torchvision:resnet18 --wait`.")
