"""One run on its way through a worker: what it is told, how its time is divided, how it ends."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime, timezone
from statistics import fmean
from time import monotonic, perf_counter

from profiler.allocation import explained
from profiler.commands import (
    Answer,
    AnyCommand,
    MeasureMemory,
    MemoryMeasured,
    Prepare,
    Prepared,
    Repeat,
    Repeated,
    Summarise,
)
from profiler.device.environment import read_environment
from profiler.errors import RunFailure
from profiler.events import ProgressEvent, ResultEvent, WorkerRequest
from profiler.failure import result_without_figures
from profiler.plan import LEAST_SHARE, MEMORY_CALLS
from profiler.pool import Kind, WorkerPool
from profiler.result import FailureKind, RunError, RunResult, RunStatus
from profiler.scenarios.limit import limit_seconds
from profiler.spec import Scenario
from profiler.worker_process import (
    OnProgress,
    RunCancelled,
    WorkerGoneError,
    WorkerProcess,
)

# The search for a rate has many trials; the other repetitions measure one rate.
SEARCH_SHARE = 0.6
# Of its part of the time, for the first of several: what the memory pass will take, and what each
# takes beyond its budget, is not known before it.
FIRST_SHARE = 0.9


class Workers:
    """The workers of one measurement: runs of one kind share one, and a dead one is replaced."""

    def __init__(self, pool: WorkerPool) -> None:
        self._pool = pool
        self._running: dict[Kind, WorkerProcess] = {}

    def get(self, kind: Kind) -> tuple[WorkerProcess, bool]:
        """A worker, and whether it is a new one."""
        if kind in self._running:
            return self._running[kind], False
        self._running[kind], new = self._pool.take(kind)
        return self._running[kind], new

    def end(self, kind: Kind) -> str:
        """End a worker that cannot go on; the last lines that it wrote."""
        worker = self._running.pop(kind, None)
        if worker is None:
            return ""
        worker.close()
        return worker.stderr.text()

    def release(self) -> None:
        """Give back those that did well."""
        while self._running:
            kind, worker = self._running.popitem()
            self._pool.give_back(kind, worker)

    def end_all(self) -> None:
        for kind in list(self._running):
            self.end(kind)


class OneRun:
    """One run on its way through the worker, from its first command to its result."""

    def __init__(
        self,
        request: WorkerRequest,
        workers: Workers,
        pool: WorkerPool,
        on_progress: OnProgress,
        on_result: Callable[[RunResult], None],
        cancel: threading.Event,
    ) -> None:
        self.request = request
        self.result: RunResult | None = None
        self._workers = workers
        self._kind = pool.kind(request.spec)
        self._variables = pool.variables(request.spec)
        self._on_progress = on_progress
        self._on_result = on_result
        self._cancel = cancel
        self._started_at = datetime.now(timezone.utc)
        self._left_seconds = request.spec.timeout_seconds
        self._used_seconds = 0.0
        # What each repetition took beyond its budget: its start and end, and its last call.
        self._beyond_seconds: list[float] = []
        self._start_seconds: float | None = None
        self._prepared: Prepared | None = None
        self._repeated: list[Repeated] = []

    def prepare(self) -> None:
        answer = self._guarded(Prepare(request=self.request), again=True)
        if isinstance(answer, Prepared):
            self._prepared = answer

    def repeat(self, index: int, position: int) -> None:
        if self._prepared is None:
            return
        spec = self.request.spec
        budget = self._budget()
        answer = self._guarded(
            Repeat(
                request=self.request,
                prepared=self._prepared,
                index=index,
                position=position,
                budget_seconds=budget,
                least_seconds=LEAST_SHARE * spec.max_time_seconds / spec.repetitions,
                settle_seconds=limit_seconds(
                    spec, self._left_seconds, spec.repetitions - len(self._repeated)
                ),
                server_rate_per_second=self._server_rate(),
            )
        )
        if isinstance(answer, Repeated):
            self._repeated.append(answer)
            # What was waited for the device beyond its budget is not taken from the others.
            waits = spec.scenario is Scenario.SUSTAINED
            taken = min(answer.seconds, budget) if waits else answer.seconds
            self._used_seconds += taken
            self._beyond_seconds.append(max(0.0, taken - budget))
            if answer.spent:
                self._workers.end(self._kind)

    def _budget(self) -> float:
        """Seconds for the next repetition: its part of what others and the memory pass leave.

        As much for each, as far as it is known: a process with more iterations than the others
        would count for more in the percentiles of all.
        """
        spec = self.request.spec
        if self._searches and not self._repeated:
            return SEARCH_SHARE * spec.max_time_seconds
        left = spec.max_time_seconds - self._used_seconds - self._memory_pass_seconds()
        share = left / (spec.repetitions - len(self._repeated))
        if not self._repeated:
            return share * (FIRST_SHARE if spec.repetitions > 1 else 1.0)
        return max(share - fmean(self._beyond_seconds), 0.0)

    def _memory_pass_seconds(self) -> float:
        """What the memory pass will take, which loads the model once more; 0 while not known."""
        figures = [each.report.figures for each in self._repeated]
        return max(
            (f.load_seconds + MEMORY_CALLS * f.first_inference_seconds for f in figures),
            default=0.0,
        )

    @property
    def _searches(self) -> bool:
        server = self.request.spec.server
        return server is not None and server.rate_per_second is None

    def _server_rate(self) -> float | None:
        """What the first repetition's search has found, for the others to measure."""
        if not self._searches or not self._repeated:
            return None
        search = self._repeated[0].report.search
        return search.rate_per_second if search is not None else None

    def finish(self, order_seed: int) -> None:
        if self.result is not None or self._prepared is None:
            return
        memory = self._guarded(MeasureMemory(request=self.request, prepared=self._prepared))
        if not isinstance(memory, MemoryMeasured):
            return
        if memory.spent:
            self._workers.end(self._kind)
        answer = self._guarded(
            Summarise(
                request=self.request,
                prepared=self._prepared,
                repeated=tuple(sorted(self._repeated, key=lambda r: r.report.figures.index)),
                memory=memory,
                order_seed=order_seed,
                started_at=self._started_at,
            )
        )
        if isinstance(answer, ResultEvent):
            self._end(self._with_start(answer.result))

    def _guarded(self, command: AnyCommand, *, again: bool = False) -> Answer | None:
        """The answer, or ``None`` when the run is over: then ``result`` says how.

        Args:
            command: what to ask of the worker.
            again: ask another one if this one had waited and is found dead.
        """
        if self.result is not None:
            return None
        if self._cancel.is_set():
            # Between its turns the worker is at nobody's command: the others go on with it.
            self._end_cancelled()
            return None
        began = monotonic()
        try:
            return self._ask(command, again=again)
        except RunCancelled:
            self._workers.end(self._kind)
            self._end_cancelled()
        except (RunFailure, WorkerGoneError) as error_:
            failure = error_.failure if isinstance(error_, WorkerGoneError) else error_
            tail = self._workers.end(self._kind)
            failure = explained(failure, tail, self.request.spec.batch_size)
            error = RunError(kind=failure.kind, message=str(failure), stderr_tail=tail)
            self._end(self._without_figures(error, RunStatus.FAILED))
        finally:
            self._left_seconds -= monotonic() - began
        return None

    def _end_cancelled(self) -> None:
        error = RunError(kind=FailureKind.DEVICE_ERROR, message="cancelled")
        self._end(self._without_figures(error, RunStatus.CANCELLED))

    def _end(self, result: RunResult) -> None:
        self.result = result
        self._on_result(result)

    def _ask(self, command: AnyCommand, *, again: bool) -> Answer:
        spec = self.request.spec
        asked = perf_counter()
        worker, new = self._workers.get(self._kind)

        def progress(event: ProgressEvent) -> None:
            # Only this side can time what an interpreter and its imports take.
            if new and self._start_seconds is None:
                self._start_seconds = perf_counter() - asked
            self._on_progress(event)

        try:
            return worker.ask(
                command,
                on_progress=progress,
                cancel=self._cancel,
                seconds=max(0.0, self._left_seconds),
                timeout_message=(
                    f"not finished after {spec.timeout_seconds:g} s; "
                    "raise --timeout if the model is meant to take that long"
                ),
                memory_limit_bytes=spec.memory_limit_bytes,
            )
        except WorkerGoneError:
            # One with threads dies slowly: it may have looked alive when it was taken.
            if new or not again:
                raise
            self._workers.end(self._kind)
            return self._ask(command, again=False)

    def _with_start(self, result: RunResult) -> RunResult:
        """The result with ``start`` before its other phases, where a worker was started for it."""
        if self._start_seconds is None:
            return result
        phases = {"start": self._start_seconds} | result.phases_seconds
        return result.model_copy(update={"phases_seconds": phases})

    def _without_figures(self, error: RunError, status: RunStatus) -> RunResult:
        request = self.request
        return result_without_figures(
            run_id=request.run_id,
            attempt=request.attempt,
            job_id=request.job_id,
            device=request.device,
            spec=request.spec,
            status=status,
            error=error,
            started_at=self._started_at,
            environment=read_environment(variables=self._variables),
        )
