"""Memory and idle CPU of all that runs on a device, and on the coordinator's host."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from agents.messages import Axes, DeviceState, JobRequest
from profiler import units
from profiler.spec import ArchitectureRef, Library, Runtime
from tests.benchmarks.context import Context, measure_in_fleet, say
from tests.benchmarks.processes import Idle, watch
from tests.benchmarks.report import Section, Table
from tests.fleet.hosts import FleetUnderTest, Network, until

NAME = "device_footprint"
SECONDS, QUICK_SECONDS = 60.0, 10.0
SETTLE_SECONDS, QUICK_SETTLE_SECONDS = 10.0, 3.0
# Not the tests', so that both can run at once.
SUBNET = "10.213.78"
DEVICE = "device"

Pids = Callable[[], list[int]]


@dataclass(frozen=True)
class Hosts:
    """Whose processes are whose, and how they were kept apart."""

    device: Pids
    coordinator: Pids
    how: str


def run(context: Context) -> Section:
    settle = QUICK_SETTLE_SECONDS if context.quick else SETTLE_SECONDS
    seconds = QUICK_SECONDS if context.quick else SECONDS
    with _hosts(context) as hosts:
        say(f"{NAME}: the device settles for {settle:.0f} s, then is watched for {seconds:.0f} s")
        time.sleep(settle)
        everyone = watch(lambda: hosts.device() + hosts.coordinator(), seconds)
        of_device, of_coordinator = set(hosts.device()), set(hosts.coordinator())
    device, coordinator = _of(everyone, of_device), _of(everyone, of_coordinator)
    return Section(
        name=NAME,
        text=(
            f"{hosts.how} The device has measured one model before and is idle; CPU time is over "
            f"{everyone.seconds:.0f} s, in percent of one core. RSS counts a page in every process "
            "that maps it; PSS divides it among all of them, here among both hosts' processes: a "
            "device alone lies between the two. "
            f"Processes that came or went meanwhile: {everyone.changed}."
        ),
        tables=[
            _table("the device, idle", device),
            _table("the coordinator's host, one idle device", coordinator),
        ],
        data={
            "seconds": everyone.seconds,
            "changed": everyone.changed,
            "device": [cost.model_dump() for cost in device.costs],
            "coordinator": [cost.model_dump() for cost in coordinator.costs],
        },
    )


def _of(idle: Idle, pids: set[int]) -> Idle:
    return Idle(idle.seconds, [cost for cost in idle.costs if cost.pid in pids], idle.changed)


def _table(title: str, idle: Idle) -> Table:
    rows = [
        (c.name, units.bytes_(c.rss_bytes), units.bytes_(c.pss_bytes), f"{100 * c.cpu_share:.2f} %")
        for c in sorted(idle.costs, key=lambda cost: -cost.pss_bytes)
    ]
    rows.append(
        (
            f"**total ({len(idle.costs)} processes)**",
            units.bytes_(sum(c.rss_bytes for c in idle.costs)),
            units.bytes_(sum(c.pss_bytes for c in idle.costs)),
            f"{100 * sum(c.cpu_share for c in idle.costs):.2f} %",
        )
    )
    return Table(title, ("process", "RSS", "PSS", "CPU"), rows)


@contextmanager
def _hosts(context: Context) -> Iterator[Hosts]:
    refused = _no_namespaces()
    if refused is None:
        with _in_namespaces(context.directory) as hosts:
            yield hosts
        return
    say(f"{NAME}: {refused}; coordinator and agent share this host")
    fleet = context.fleet()
    measure_in_fleet(fleet, _small_job())
    yield Hosts(
        device=lambda: _tree(fleet.agent_pid),
        coordinator=lambda: _tree(fleet.coordinator_pid),
        how="Coordinator and agent as process trees on this host.",
    )


def _small_job() -> JobRequest:
    return JobRequest(
        model=ArchitectureRef(library=Library.TORCHVISION, name="squeezenet1_1"),
        axes=Axes(runtime=(Runtime.TORCH,)),
        repetitions=1,
        max_time_seconds=0.5,
    )


def _tree(pid: int) -> list[int]:
    root = psutil.Process(pid)
    return [pid, *(child.pid for child in root.children(recursive=True))]


def _no_namespaces() -> str | None:
    """Why there can be none here; ``None``: there can."""
    if os.geteuid() != 0:
        return "not root"
    if shutil.which("ip") is None:
        return "there is no `ip` command"
    name = f"fmprobe{os.getpid()}"
    # Root in a container may have no right to.
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, check=False)
    if made.returncode != 0:
        return f"no network namespace: {made.stderr.decode().strip()}"
    subprocess.run(["ip", "netns", "del", name], capture_output=True, check=True)
    return None


@contextmanager
def _in_namespaces(directory: Path) -> Iterator[Hosts]:
    """The coordinator on one host and a device on another, as the fleet tests have them."""
    say(f"{NAME}: starting a coordinator's host and a device in network namespaces")
    network = Network(directory, SUBNET)
    fleet = FleetUnderTest(network)
    try:
        fleet.start_coordinator()
        device = fleet.start_device(DEVICE)
        fleet.until_online(DEVICE)
        job = fleet.client().submit(_small_job()).job
        until("the first run", lambda: fleet.client().job(job.id).job.state.final)
        until("the device to be idle", lambda: _idle(fleet))
        yield Hosts(
            device=device.pids,
            coordinator=network.hub.pids,
            how="Coordinator and device in network namespaces of their own on one machine.",
        )
    finally:
        # A second Ctrl-C must not leave processes behind.
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        fleet.close()
        left = network.close()
        signal.signal(signal.SIGINT, before)
    if left:
        say(f"{NAME}: {len(left)} processes had to be killed")


def _idle(fleet: FleetUnderTest) -> bool:
    found = fleet.device(DEVICE)
    return found is not None and found.state is DeviceState.ONLINE
