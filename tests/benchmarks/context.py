"""What the benchmarks share: a fleet on this machine, started when the first of them needs it."""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from agents.cli.local_fleet import LocalFleet, local_fleet
from agents.cli.progress import POLL_SECONDS
from agents.messages import DeviceState, JobRequest, Run
from profiler.errors import FleetmarkError
from profiler.result import RunResult, RunStatus


def say(text: str) -> None:
    """News for who waits; the tables alone go to stdout."""
    print(f"[{time.strftime('%H:%M:%S')}] {text}", file=sys.stderr, flush=True)


@dataclass
class Context:
    """One invocation.

    Attributes:
        quick: a few rounds, to see that all works; no figures to publish.
        directory: for everything that is written.
        stack: closes what was started.
        rounds: in place of a benchmark's own number, where it takes one.
        minutes: likewise, for one that is spread over time.
    """

    quick: bool
    directory: Path
    stack: ExitStack
    rounds: int | None = None
    minutes: float | None = None
    _fleet: LocalFleet | None = field(default=None, init=False)

    def fleet(self) -> LocalFleet:
        if self._fleet is None:
            say("starting a coordinator and an agent on this machine")
            directory = self.directory / "fleet"
            directory.mkdir()
            self._fleet = self.stack.enter_context(local_fleet(directory))
        return self._fleet


def until_idle(fleet: LocalFleet) -> None:
    """Wait until the device has nothing to do."""
    while any(d.state is not DeviceState.ONLINE for d in fleet.client.devices().devices):
        time.sleep(0.1)


def follow(fleet: LocalFleet, job_id: str) -> Run:
    """Wait for a job of one run, as often asking as ``fleetmark submit --wait`` does."""
    while True:
        found = fleet.client.job(job_id)
        if found.job.state.final:
            (run,) = found.runs
            return run
        time.sleep(POLL_SECONDS)


def measure_in_fleet(fleet: LocalFleet, request: JobRequest) -> RunResult:
    """The result of a job of one run on the idle device."""
    until_idle(fleet)
    run = follow(fleet, fleet.client.submit(request).job.id)
    return succeeded(fleet.client.result(run.id))


def succeeded(result: RunResult) -> RunResult:
    """Raises:
    FleetmarkError: it did not.
    """
    if result.status is not RunStatus.SUCCEEDED:
        why = result.error.message if result.error else result.status.value
        raise FleetmarkError(f"{result.model} in {result.runtime}: {why}")
    return result
