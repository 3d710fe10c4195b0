"""Live progress of runs: a bar per device on a terminal, a line per change elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import chain
from types import TracebackType

from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from typing_extensions import Self

from agents.cli import show
from agents.client import Client, Unreachable
from agents.messages import JobWithRuns, Run, RunState
from agents.messages import Progress as RunProgress
from profiler import units
from profiler.events import Phase

POLL_SECONDS = 0.4
# A coordinator that is restarted comes back; this long is waited for it.
PATIENCE_SECONDS = 120.0

WORDS = {
    Phase.QUEUED: "queued",
    Phase.SENDING_MODEL: "sending the model",
    Phase.WAITING: "waiting for its turn",
    Phase.STARTING: "starting",
    Phase.CONVERTING: "converting to ONNX",
    Phase.LOADING: "loading",
    Phase.WARMUP: "warm-up",
    Phase.MEASURING: "measuring",
    Phase.SETTLING: "measuring until the device has settled",
    Phase.MEMORY: "memory pass",
    Phase.DONE: "done",
}


def describe(phase: Phase, p50_seconds: float | None) -> str:
    """``measuring, p50 16.4 ms``."""
    so_far = f", p50 {units.seconds(p50_seconds)}" if p50_seconds is not None else ""
    return f"{WORDS[phase]}{so_far}"


def _state(run: Run) -> str:
    if run.state is RunState.QUEUED:
        return "queued" if not run.reason else f"queued again: {run.reason}"
    if run.state.final:
        return f"{run.error.kind}" if run.error else run.state.value
    if run.progress is None:
        return "starting"
    return describe(run.progress.phase, run.progress.p50_seconds)


def _name(run: Run) -> str:
    spec = run.spec
    return f"{spec.model.label} {spec.runtime} b{spec.batch_size}"


class Bars:
    """One bar per key; on a pipe, one line whenever a text changes."""

    def __init__(self) -> None:
        self._console = show.console(stderr=True)
        self._live = self._console.is_terminal
        self._progress = Progress(
            TextColumn("{task.fields[who]}", markup=False),
            BarColumn(bar_width=30),
            TextColumn("{task.percentage:>3.0f} %"),
            TextColumn("{task.fields[text]}", markup=False),
            TimeElapsedColumn(),
            console=self._console,
            disable=not self._live,
        )
        self._tasks: dict[str, TaskID] = {}
        self._said: dict[str, str] = {}

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def update(self, who: str, fraction: float, text: str, phase: str) -> None:
        """Args:
        who: whose bar.
        fraction: 0 … 1.
        text: beside the bar.
        phase: on a pipe, a line is written when this changes.
        """
        if not self._live:
            if self._said.get(who) != phase:
                self._said[who] = phase
                show.note(f"{who}: {text}")
            return
        if who not in self._tasks:
            self._tasks[who] = self._progress.add_task("", total=1.0, who=who, text=text)
        self._progress.update(self._tasks[who], completed=fraction, text=text)


def _fraction(progress: RunProgress | None) -> float:
    """How much of a run is done; of the model's way to the device nothing is."""
    if progress is None or progress.phase is Phase.SENDING_MODEL:
        return 0.0
    return progress.fraction


def _show_device(bars: Bars, device: str, runs: list[Run]) -> None:
    over = sum(run.state.final for run in runs)
    current = [r for r in runs if not r.state.final and r.state is not RunState.QUEUED]
    # Several take turns; one is measured.
    measured = (r for r in current if r.progress and r.progress.phase is not Phase.WAITING)
    queued = (r for r in runs if r.state is RunState.QUEUED)
    shown = next(chain(measured, current, queued), runs[-1])
    inside = sum(_fraction(r.progress) for r in current)
    failed = sum(run.state is RunState.FAILED for run in runs)
    text = f"{_name(shown)} ({runs.index(shown) + 1}/{len(runs)}): {_state(shown)}"
    if over == len(runs):
        text = "done" if not failed else f"done, {failed} of {len(runs)} failed"
    phase = f"{shown.id}/{shown.state}/{shown.progress.phase if shown.progress else ''}"
    bars.update(device, (over + inside) / len(runs), text, phase)


def follow_job(
    client: Client, job_id: str, clock: Callable[[], float] = time.monotonic
) -> JobWithRuns:
    """Show a job until it is over.

    Raises:
        Unreachable: the coordinator has been away for too long.
    """
    last_heard: float | None = None
    with Bars() as bars:
        while True:
            try:
                found = client.job(job_id)
            except Unreachable as error:
                # Only one that was there can come back; else it is the address that is wrong.
                if last_heard is None or clock() - last_heard > PATIENCE_SECONDS:
                    raise
                bars.update("coordinator", 0.0, f"{error}; waiting", "away")
                time.sleep(POLL_SECONDS * 5)
                continue
            last_heard = clock()
            devices: dict[str, list[Run]] = {}
            for run in found.runs:
                devices.setdefault(run.device, []).append(run)
            for device, runs in devices.items():
                _show_device(bars, device, runs)
            if found.job.state.final:
                return found
            time.sleep(POLL_SECONDS)
