"""What the device is working on: told by the bench, asked by the coordinator, in many threads."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from agents.device.telemetry import AgentState
from agents.messages import AttemptKey, CurrentRun, Progress
from profiler.events import Phase, ProgressEvent

# News for people; more often would wake the device while it measures.
PROGRESS_SECONDS = 0.5
# The rest of an event is for people; iterations go to the device's own metrics.
_NOT_SHOWN = {"kind", "latencies"}


@dataclass
class _Run:
    progress: Progress
    cancel: threading.Event


class Desk:
    """The runs of the assignment that is being measured, until each has its result.

    Args:
        state: told whether there are any.
    """

    def __init__(self, state: AgentState, clock: Callable[[], float] = time.monotonic) -> None:
        self._state = state
        self._clock = clock
        self._news = threading.Condition()
        self._version = 0
        self._told_at = 0.0
        self._assigned: frozenset[AttemptKey] = frozenset()
        self._runs: dict[AttemptKey, _Run] = {}

    @property
    def lock(self) -> threading.Condition:
        """To be held by those who look first and act then."""
        return self._news

    @property
    def assigned(self) -> frozenset[AttemptKey]:
        """All that was begun together, also what has ended since; empty when nothing is left."""
        with self._news:
            return self._assigned if self._runs else frozenset()

    def begin(self, keys: Sequence[AttemptKey]) -> list[threading.Event]:
        """Take up an assignment; for each of its runs what is set when it is to end."""
        with self._news:
            self._assigned = frozenset(keys)
            self._runs = {
                key: _Run(Progress(phase=Phase.STARTING, fraction=0), threading.Event())
                for key in keys
            }
            self._changed()
            return [run.cancel for run in self._runs.values()]

    def look(self, seconds: float, version: int) -> tuple[int, tuple[CurrentRun, ...]]:
        """The version of the news, and the runs; waits for news after ``version``."""
        with self._news:
            if seconds > 0:
                self._news.wait_for(lambda: self._version != version, timeout=seconds)
            return self._version, tuple(
                CurrentRun(key=key, progress=run.progress) for key, run in self._runs.items()
            )

    def has(self, key: AttemptKey) -> bool:
        with self._news:
            return key in self._runs

    def progress(self, key: AttemptKey, event: ProgressEvent) -> None:
        """A run has its turn, so the others wait for theirs."""
        now = self._clock()
        with self._news:
            run = self._runs.get(key)
            if run is None:
                return
            same = run.progress.phase is event.phase
            if same and now - self._told_at < PROGRESS_SECONDS:
                return
            self._told_at = now
            for other in self._runs.values():
                other.progress = other.progress.model_copy(update={"phase": Phase.WAITING})
            run.progress = Progress.model_validate(event.model_dump(exclude=_NOT_SHOWN))
            self._changed()

    def cancel(self, key: AttemptKey) -> None:
        """The run is not wanted any more; the others are."""
        with self._news:
            run = self._runs.get(key)
            if run is not None:
                run.cancel.set()

    def clear(self, key: AttemptKey) -> None:
        """The run has ended; to be called once its result is in the outbox."""
        with self._news:
            if self._runs.pop(key, None) is not None:
                self._changed()

    def _changed(self) -> None:
        self._version += 1
        self._state.busy = bool(self._runs)
        self._news.notify_all()
