"""What the benchmarks share: a fleet on this machine, started when the first of them needs it."""

from __future__ import annotations

import fcntl
import os
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from agents.cli.local_fleet import LocalFleet, local_fleet
from agents.cli.progress import POLL_SECONDS
from agents.messages import DeviceState, JobRequest, Run
from profiler.errors import FleetmarkError
from profiler.result import RunResult, RunStatus

# flock(2) is not fair: who waits for the file gets it only while nobody else asks for it.
PAUSE_SECONDS = 0.3


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
        turns: a file that is locked while something is measured; others wait for it.
        threads: of every engine, in the benchmarks that let one choose.
        budgets: seconds, in place of those of peers and peers_spread.
    """

    quick: bool
    directory: Path
    stack: ExitStack
    rounds: int | None = None
    minutes: float | None = None
    turns: Path | None = None
    threads: int | None = None
    budgets: tuple[int, ...] | None = None
    _fleet: LocalFleet | None = field(default=None, init=False)

    def fleet(self) -> LocalFleet:
        if self._fleet is None:
            say("starting a coordinator and an agent on this machine")
            directory = self.directory / "fleet"
            directory.mkdir()
            self._fleet = self.stack.enter_context(local_fleet(directory))
        return self._fleet

    @contextmanager
    def turn(self) -> Iterator[None]:
        """One measurement: nobody who asks for the file by flock(2) works meanwhile."""
        if self.turns is None:
            yield
            return
        file = os.open(self.turns, os.O_RDONLY | os.O_CREAT, 0o666)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
        finally:
            # Closing alone would leave it locked for as long as a forked child has the file open.
            fcntl.flock(file, fcntl.LOCK_UN)
            os.close(file)
        time.sleep(PAUSE_SECONDS)


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
