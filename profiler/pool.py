"""Workers that wait, warm, for their next run.

A worker's cost is its interpreter and the engine's import: seconds for torch. What it measures it
measures in children that are forked for the purpose, so nothing of one run is left for the next,
and a worker that did well can be used again. One that did not is ended.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from types import TracebackType

import psutil
from typing_extensions import Self

from profiler.base import Frozen
from profiler.device.environment import worker_environment
from profiler.spec import RunSpec, Runtime
from profiler.worker_process import WorkerProcess


class Kind(Frozen):
    """What tells one worker from another: runs of one kind can share a worker."""

    python: str
    runtime: Runtime
    threads: int
    variables: tuple[tuple[str, str], ...]


class WorkerPool:
    """Starts workers, keeps those that are given back, ends them all at the end.

    To be used from one thread, which must live as long as the pool: the kernel ends a worker with
    the thread that started it.

    Args:
        python: the interpreter of the workers; another may hold a vendor's build of torch.
        base_environment: where their environment is taken from; ``os.environ`` by default.
        keep: how many may wait. A waiting worker holds its engine's libraries in memory.
    """

    def __init__(
        self,
        *,
        python: str = sys.executable,
        base_environment: Mapping[str, str] | None = None,
        keep: int = 1,
    ) -> None:
        self._python = python
        self._base = dict(os.environ if base_environment is None else base_environment)
        self._keep = keep
        self._waiting: list[tuple[Kind, WorkerProcess]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def variables(self, spec: RunSpec) -> dict[str, str]:
        """The environment that a worker for this run has."""
        return worker_environment(self._base, spec.threads or len(os.sched_getaffinity(0)))

    def kind(self, spec: RunSpec) -> Kind:
        threads = spec.threads or len(os.sched_getaffinity(0))
        variables = tuple(sorted(self.variables(spec).items()))
        return Kind(python=self._python, runtime=spec.runtime, threads=threads, variables=variables)

    def take(self, kind: Kind) -> tuple[WorkerProcess, bool]:
        """A worker of this kind, and whether it is a new one.

        Raises:
            DeviceError: it cannot be started.
        """
        for place, (found, worker) in enumerate(self._waiting):
            if found == kind:
                del self._waiting[place]
                if worker.alive:
                    return worker, False
                worker.close()
                break
        # One that waits for another kind of run takes memory from this one.
        while len(self._waiting) >= self._keep and self._waiting:
            self._waiting.pop(0)[1].close()
        return WorkerProcess(kind.python, dict(kind.variables)), True

    def give_back(self, kind: Kind, worker: WorkerProcess) -> None:
        """Keep a worker that did well; the one that has waited for longest makes room."""
        if not worker.alive or _left_behind(worker.pid):
            worker.close()
            return
        worker.stderr.forget()
        self._waiting.append((kind, worker))
        while len(self._waiting) > self._keep:
            self._waiting.pop(0)[1].close()

    def close(self) -> None:
        """End those that wait."""
        while self._waiting:
            self._waiting.pop()[1].close()


def _left_behind(session: int) -> bool:
    """Whether a model left processes of its own in the worker's session."""
    for pid in psutil.pids():
        try:
            if pid != session and os.getsid(pid) == session:
                return True
        except (ProcessLookupError, PermissionError):
            continue
    return False
