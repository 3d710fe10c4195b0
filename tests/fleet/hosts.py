"""Several hosts on one machine: network namespaces with addresses of their own, on one bridge."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import httpx

from agents.client import Client
from agents.messages import Device, DeviceState
from agents.secretfile import read_secret
from tests.tools import need_network_namespaces

Value = TypeVar("Value")

NETWORK = "10.213.77"
PORT = 8470
UP_SECONDS = 120.0


def until(what: str, check: Callable[[], Value | None], seconds: float = UP_SECONDS) -> Value:
    """The first truthy answer; a test that waits in vain fails and says for what."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = check()
        if found:
            return found
        time.sleep(0.2)
    raise AssertionError(f"waited {seconds:.0f} s in vain for {what}")


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


class Host:
    """One namespace and the fleetmark process that runs in it."""

    def __init__(self, name: str, namespace: str, address: str, directory: Path) -> None:
        self.name = name
        self.namespace = namespace
        self.address = address
        self.directory = directory
        self.log = directory / f"{name}.log"
        self._process: subprocess.Popen[bytes] | None = None

    def command(self, *arguments: str) -> list[str]:
        return ["ip", "netns", "exec", self.namespace, *arguments]

    def environment(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("FLEETMARK_", "RAY_"))}
        home = self.directory / f"{self.name}-home"
        home.mkdir(exist_ok=True)
        return kept | {"HOME": str(home), "NO_COLOR": "1"}

    def start(self, *arguments: str) -> None:
        """Start ``fleetmark`` here; its output is added to ``log``."""
        with self.log.open("ab") as file:
            self._process = subprocess.Popen(
                self.command(sys.executable, "-m", "agents.cli.main", *arguments),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                env=self.environment(),
                start_new_session=True,
            )

    def run(self, *arguments: str, seconds: float = 120) -> subprocess.CompletedProcess[str]:
        """Run a ``fleetmark`` command here to its end."""
        return subprocess.run(
            self.command(sys.executable, "-m", "agents.cli.main", *arguments),
            capture_output=True,
            text=True,
            timeout=seconds,
            env=self.environment(),
            check=False,
        )

    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def kill(self) -> None:
        """``kill -9`` of the fleetmark process, and of nothing else."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        """Ask it to end, as a service manager does."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"{self.name} did not end within 30 s of SIGTERM") from None

    def link(self, state: str) -> None:
        """Cut the link (``down``) or mend it (``up``)."""
        _ip("-n", self.namespace, "link", "set", "eth0", state)

    def pids(self) -> list[int]:
        """Every process in the namespace."""
        done = subprocess.run(
            ["ip", "netns", "pids", self.namespace], capture_output=True, text=True, check=True
        )
        return [int(line) for line in done.stdout.split()]

    def find(self, text: str) -> list[int]:
        """Processes in the namespace whose command line contains ``text``."""
        found = []
        for pid in self.pids():
            try:
                line = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
            if text in line:
                found.append(pid)
        return found


class Network:
    """A coordinator's host and devices' hosts; all of it goes away with ``close``."""

    def __init__(self, directory: Path, subnet: str = NETWORK) -> None:
        need_network_namespaces()
        self.directory = directory
        self._subnet = subnet
        self._tag = f"fm{os.getpid()}"
        self.hosts: list[Host] = []
        hub = f"{self._tag}-hub"
        _ip("netns", "add", hub)
        _ip("-n", hub, "link", "add", "br0", "type", "bridge")
        _ip("-n", hub, "addr", "add", f"{self._subnet}.1/24", "dev", "br0")
        _ip("-n", hub, "link", "set", "br0", "up")
        _ip("-n", hub, "link", "set", "lo", "up")
        # A link for the test itself, which stays outside and looks in as a user would.
        self._outside = f"fmt{os.getpid()}"
        _ip("link", "add", self._outside, "type", "veth", "peer", "name", "v0", "netns", hub)
        _ip("-n", hub, "link", "set", "v0", "master", "br0", "up")
        _ip("addr", "add", f"{self._subnet}.254/24", "dev", self._outside)
        _ip("link", "set", self._outside, "up")
        self.hub = Host("coordinator", hub, f"{self._subnet}.1", directory)
        self.hosts.append(self.hub)

    def add(self, name: str) -> Host:
        """Another host on the bridge."""
        number = len(self.hosts) + 1
        namespace, veth = f"{self._tag}-{name}", f"v{number}"
        address = f"{self._subnet}.{number}"
        _ip("netns", "add", namespace)
        _ip("-n", self.hub.namespace, "link", "add", veth, "type", "veth", "peer", "name", "eth0",
            "netns", namespace)  # fmt: skip
        _ip("-n", self.hub.namespace, "link", "set", veth, "master", "br0", "up")
        _ip("-n", namespace, "addr", "add", f"{address}/24", "dev", "eth0")
        _ip("-n", namespace, "link", "set", "eth0", "up")
        _ip("-n", namespace, "link", "set", "lo", "up")
        host = Host(name, namespace, address, self.directory)
        self.hosts.append(host)
        return host

    def close(self) -> list[int]:
        """Take all down; the processes that had to be killed, which should be none."""
        left = []
        for host in reversed(self.hosts):
            host.stop()
        for host in reversed(self.hosts):
            for pid in host.pids():
                left.append(pid)
                os.kill(pid, signal.SIGKILL)
            _ip("netns", "del", host.namespace)
        return left


class FleetUnderTest:
    """A running coordinator and its devices, as a user would start them."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.data_dir = network.directory / "data"
        self.url = f"http://{network.hub.address}:{PORT}"
        self.devices: dict[str, Host] = {}
        self._client: Client | None = None

    def start_coordinator(self) -> None:
        hub = self.network.hub
        hub.start(
            "coordinator", "--host", hub.address, "--port", str(PORT), "--data-dir",
            str(self.data_dir), "--lease", "12",
        )  # fmt: skip
        until("the coordinator", self._healthy)

    def _healthy(self) -> bool:
        assert self.network.hub.running(), self.network.hub.log.read_text()
        try:
            return httpx.get(f"{self.url}/healthz").is_success
        except httpx.TransportError:
            return False

    def start_device(self, name: str, *labels: str) -> Host:
        host = self.devices.get(name) or self.network.add(name)
        self.devices[name] = host
        options = [part for label in labels for part in ("--label", label)]
        host.start(
            "agent", "--coordinator", self.url, "--name", name,
            "--token-file", str(self.data_dir / "tokens" / "agent.token"),
            "--state-dir", str(self.network.directory / f"state-{name}"), *options,
        )  # fmt: skip
        return host

    def token(self, role: str = "admin") -> str:
        return read_secret(self.data_dir / "tokens" / f"{role}.token")

    def cli(self, *arguments: str, seconds: float = 180) -> subprocess.CompletedProcess[str]:
        """A user's command, on the coordinator's host."""
        token = str(self.data_dir / "tokens" / "admin.token")
        options = ("--coordinator", self.url, "--token-file", token)
        return self.network.hub.run(*arguments, *options, seconds=seconds)

    def client(self) -> Client:
        if self._client is None:
            self._client = Client(self.url, self.token())
        return self._client

    def close(self) -> None:
        if self._client is not None:
            self._client.close()

    def device(self, name: str) -> Device | None:
        found = {device.name: device for device in self.client().devices().devices}
        return found.get(name)

    def until_online(self, *names: str) -> None:
        def ready() -> bool:
            states = {d.name: d.state for d in self.client().devices().devices}
            for name in names:
                host = self.devices[name]
                assert host.running(), host.log.read_text()
            return all(states.get(n) in (DeviceState.ONLINE, DeviceState.BUSY) for n in names)

        until(f"{', '.join(names)} to be online", ready)
