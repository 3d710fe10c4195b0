"""``fleetmark demo``: the whole product on this machine, and everything away again."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from agents.cli import show
from agents.cli.progress import follow_job
from agents.client import Client, Unreachable
from agents.messages import Axes, DeviceState, JobRequest, RunList
from agents.secretfile import read_secret
from profiler.errors import FleetmarkError
from profiler.report import fastest_sentence
from profiler.result import RunResult, RunStatus
from profiler.spec import ArchitectureRef, Library, Runtime

# The pair that the project is about, and a small one.
MODELS = ("resnet18", "mobilenet_v3_large", "squeezenet1_1")
RUNTIMES = (Runtime.TORCH, Runtime.ONNXRUNTIME)
START_SECONDS = 90.0
STOP_SECONDS = 20.0


def demo(
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Also write the results to this file.")
    ] = None,
    max_time: Annotated[float, typer.Option(help="Seconds of measuring per run.")] = 3.0,
    repetitions: Annotated[int, typer.Option(help="Fresh processes per run.")] = 2,
) -> None:
    """Start a coordinator and an agent here, profile three models, compare, clean up.

    \b
    Examples:
      fleetmark demo
      fleetmark demo --json results.json
    """  # noqa: D301
    if json_file is not None and not json_file.resolve().parent.is_dir():
        raise FleetmarkError(f"--json: there is no directory {json_file.resolve().parent}")
    # SIGTERM must clean up as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
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
    data_dir = directory / "coordinator"
    port, ray_port = _free_port(), _free_port()
    host = _own_host()
    url = f"http://{host}:{port}"
    show.note("1/3 starting a coordinator and an agent on this machine")
    with (
        _process(
            directory / "coordinator.log",
            *("coordinator", "--host", host, "--port", str(port), "--ray-port", str(ray_port)),
            *("--data-dir", str(data_dir)),
        ) as coordinator,
        _process(
            directory / "agent.log",
            *("agent", "--coordinator", url, "--name", "this-machine"),
            *("--token-file", str(data_dir / "tokens" / "agent.token")),
            *("--state-dir", str(directory / "agent")),
            wait_for=data_dir / "tokens" / "agent.token",
            beside=coordinator,
        ) as agent,
    ):
        client = _connect(url, data_dir, coordinator, agent)
        show.note(f"2/3 profiling {len(MODELS)} models in {len(RUNTIMES)} runtimes")
        results = [_profile(client, name, max_time, repetitions) for name in MODELS]
        show.note("3/3 cleaning up")
    return [result for group in results for result in group]


def _profile(client: Client, name: str, max_time: float, repetitions: int) -> list[RunResult]:
    request = JobRequest(
        model=ArchitectureRef(library=Library.TORCHVISION, name=name),
        axes=Axes(runtime=RUNTIMES),
        max_time_seconds=max_time,
        repetitions=repetitions,
    )
    job = client.submit(request).job
    found = follow_job(client, job.id)
    order = {run.id: place for place, run in enumerate(found.runs)}
    results = client.runs(limit=100, job_id=job.id).runs
    return sorted(results, key=lambda result: order[result.run_id])


class _Child:
    """One of our own commands as a child process."""

    def __init__(self, log: Path, arguments: tuple[str, ...]) -> None:
        self.log = log
        environment = os.environ | {"NO_COLOR": "1"}
        with log.open("wb") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "agents.cli.main", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                env=environment,
                # Ctrl-C goes to us; we take them down in order.
                start_new_session=True,
            )

    def refuse_if_ended(self) -> None:
        """Raises:
        FleetmarkError: the process has ended; with what it said.
        """
        if self.process.poll() is not None:
            said = self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-15:]
            raise FleetmarkError("\n".join([f"{self.log.stem} ended:", *said]))

    def stop(self) -> None:
        """Ask it to end, and wait until all that it started has ended too."""
        self.process.terminate()
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@contextmanager
def _process(
    log: Path, *arguments: str, wait_for: Path | None = None, beside: _Child | None = None
) -> Iterator[_Child]:
    """A child that is ended on the way out, however that comes about."""
    deadline = time.monotonic() + START_SECONDS
    while wait_for is not None and not wait_for.exists():
        if beside is not None:
            beside.refuse_if_ended()
        if time.monotonic() > deadline:
            raise FleetmarkError(f"{wait_for.name} did not appear within {START_SECONDS:.0f} s")
        time.sleep(0.1)
    child = _Child(log, arguments)
    try:
        yield child
    finally:
        # A second Ctrl-C must not leave processes behind.
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        child.stop()
        signal.signal(signal.SIGINT, before)


def _connect(url: str, data_dir: Path, coordinator: _Child, agent: _Child) -> Client:
    """Wait until the device is there."""
    client = Client(url, read_secret(data_dir / "tokens" / "admin.token"))
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        coordinator.refuse_if_ended()
        agent.refuse_if_ended()
        try:
            if any(d.state is DeviceState.ONLINE for d in client.devices().devices):
                return client
        except Unreachable:
            pass
        time.sleep(0.2)
    raise FleetmarkError(f"the device did not come up within {START_SECONDS:.0f} s")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("", 0))
        port: int = probe.getsockname()[1]
    return port


def _own_host() -> str:
    from agents.coordinator.app import own_address

    return own_address()
