"""A coordinator and an agent on this machine, in a directory of their own, and away again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from agents.addresses import free_port, own_address
from agents.client import Client, Unreachable
from agents.messages import DeviceState
from agents.secretfile import read_secret
from profiler.errors import FleetmarkError

DEVICE = "this-machine"
START_SECONDS = 90.0
STOP_SECONDS = 20.0


@dataclass(frozen=True)
class LocalFleet:
    """A running coordinator with one device, which is online.

    Attributes:
        client: with the admin's token.
        data_dir: of the coordinator.
        state_dir: of the agent; its cache is in it.
        coordinator_pid: of ``fleetmark coordinator``; all that it started descends from it.
        agent_pid: of ``fleetmark agent``, likewise.
    """

    client: Client
    data_dir: Path
    state_dir: Path
    coordinator_pid: int
    agent_pid: int


@contextmanager
def local_fleet(directory: Path) -> Iterator[LocalFleet]:
    """Start both with all their files in ``directory``; they are ended on the way out.

    Raises:
        FleetmarkError: one of them does not come up; with what it said.
    """
    data_dir, state_dir = directory / "coordinator", directory / "agent"
    port, ray_port = free_port(), free_port()
    host = own_address()
    url = f"http://{host}:{port}"
    with (
        _process(
            directory / "coordinator.log",
            *("coordinator", "--host", host, "--port", str(port), "--ray-port", str(ray_port)),
            *("--data-dir", str(data_dir)),
        ) as coordinator,
        _process(
            directory / "agent.log",
            *("agent", "--coordinator", url, "--name", DEVICE),
            *("--token-file", str(data_dir / "tokens" / "agent.token")),
            *("--state-dir", str(state_dir)),
            wait_for=data_dir / "tokens" / "agent.token",
            beside=coordinator,
        ) as agent,
    ):
        client = _connect(url, data_dir, coordinator, agent)
        try:
            yield LocalFleet(
                client, data_dir, state_dir, coordinator.process.pid, agent.process.pid
            )
        finally:
            client.close()


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
