"""The other side of the worker: tells it what to do, follows it, ends it when it must end.

Used by ``fleetmark run`` and by the agent alike, so that a device of a fleet measures with the very
code that measures alone.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from time import monotonic, perf_counter
from typing import TypeVar

from profiler.allocation import explained
from profiler.commands import (
    Answer,
    AnyCommand,
    MeasureMemory,
    MeasureOverhead,
    MemoryMeasured,
    Prepare,
    Prepared,
    Repeat,
    Repeated,
    Summarise,
)
from profiler.device.environment import read_environment
from profiler.errors import DeviceError, RunFailure
from profiler.events import ProgressEvent, ResultEvent, WorkerRequest
from profiler.failure import result_without_figures
from profiler.order import interleaved
from profiler.overhead.plan import OverheadMeasured, OverheadPlan
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

__all__ = ["OnProgress", "measure", "measure_overhead", "new_work_dir", "run_worker"]

# The search for a rate has many trials; the other repetitions measure one rate.
SEARCH_SHARE = 0.6

Order = Callable[[Sequence[int], int], list[tuple[int, int]]]
Told = TypeVar("Told")


class _Workers:
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


class _Run:
    """One run on its way through the worker, from its first command to its result."""

    def __init__(
        self,
        request: WorkerRequest,
        workers: _Workers,
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
            self._used_seconds += min(answer.seconds, budget) if waits else answer.seconds
            if answer.spent:
                self._workers.end(self._kind)

    def _budget(self) -> float:
        """Seconds for the next repetition: its part of what others and the memory pass leave."""
        spec = self.request.spec
        if self._searches and not self._repeated:
            return SEARCH_SHARE * spec.max_time_seconds
        left = spec.max_time_seconds - self._used_seconds - self._memory_pass_seconds()
        return max(left, 0.0) / (spec.repetitions - len(self._repeated))

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


def measure(
    requests: Sequence[WorkerRequest],
    pool: WorkerPool,
    *,
    on_progress: Callable[[int, ProgressEvent], None] = lambda _index, _event: None,
    on_result: Callable[[int, RunResult], None] = lambda _index, _result: None,
    cancels: Sequence[threading.Event] | None = None,
    order: Order = interleaved,
    seed: int = 0,
) -> list[RunResult]:
    """Measure several configurations, their repetitions interleaved in a random order.

    Always gives a result for each: a failure is one, with its error.

    Args:
        requests: what to measure. Each one's ``work_dir`` must exist; raw data are left there.
        pool: where workers come from, and go to when all is done.
        on_progress: called in this thread with the place of the request and the event.
        on_result: likewise, as soon as a request has its result: a failed one before the others
            have had all their turns.
        cancels: one for each request; when it is set from another thread, that run ends, at once
            or at its next turn, and the others go on.
        order: (repetitions of each, seed) → (configuration, repetition) in turn.
        seed: of the order.
    """
    workers = _Workers(pool)
    stops = [threading.Event() for _ in requests] if cancels is None else cancels
    runs = [
        _Run(request, workers, pool, _to(on_progress, place), _to(on_result, place), stop)
        for place, (request, stop) in enumerate(zip(requests, stops, strict=True))
    ]
    try:
        for run in runs:
            run.prepare()
        turns = order([request.spec.repetitions for request in requests], seed)
        for position, (place, index) in enumerate(turns):
            runs[place].repeat(index, position)
        for run in runs:
            run.finish(seed)
        workers.release()
    finally:
        # After an interruption one may be in the middle of a command: nobody waits for it.
        workers.end_all()
    return [_ended(run) for run in runs]


def measure_overhead(
    request: WorkerRequest,
    plan: OverheadPlan,
    pool: WorkerPool,
    on_progress: OnProgress = lambda _: None,
) -> OverheadMeasured:
    """What the sampler and the fleet's processes cost a model here.

    Raises:
        RunFailure: it could not be measured.
    """
    kind = pool.kind(request.spec)
    worker, _ = pool.take(kind)

    def ask(command: AnyCommand) -> Answer:
        return worker.ask(
            command,
            on_progress=on_progress,
            cancel=threading.Event(),
            seconds=request.spec.timeout_seconds,
            timeout_message=f"not finished after {request.spec.timeout_seconds:g} s",
        )

    try:
        prepared = ask(Prepare(request=request))
        if not isinstance(prepared, Prepared):
            raise DeviceError(f"the worker answered {prepared.kind}")
        found = ask(MeasureOverhead(request=request, prepared=prepared, plan=plan))
        if not isinstance(found, OverheadMeasured):
            raise DeviceError(f"the worker answered {found.kind}")
        pool.give_back(kind, worker)
    except WorkerGoneError as gone:
        raise gone.failure from gone
    except BaseException:
        worker.close()
        raise
    return found


def _to(tell: Callable[[int, Told], None], place: int) -> Callable[[Told], None]:
    return lambda told: tell(place, told)


def _ended(run: _Run) -> RunResult:
    if run.result is None:
        raise DeviceError(f"run {run.request.run_id} came to no end")
    return run.result


def run_worker(
    request: WorkerRequest,
    *,
    on_progress: OnProgress = lambda _: None,
    cancel: threading.Event | None = None,
    python: str = sys.executable,
    base_environment: Mapping[str, str] | None = None,
    pool: WorkerPool | None = None,
) -> RunResult:
    """Measure one configuration. Always gives a result: a failure is one, with its error.

    Args:
        request: what to measure. ``work_dir`` must exist; raw data are left there.
        on_progress: called in this thread.
        cancel: when set from another thread, the worker is ended.
        python: the interpreter of the worker; another may hold a vendor's build of torch.
        base_environment: where the worker's environment is taken from; ``os.environ`` by default.
        pool: where the worker comes from, in place of a new one with the two before.
    """

    def follow(_place: int, event: ProgressEvent) -> None:
        on_progress(event)

    cancels = None if cancel is None else [cancel]
    seed = request.spec.seed
    if pool is not None:
        return measure([request], pool, on_progress=follow, cancels=cancels, seed=seed)[0]
    with WorkerPool(python=python, base_environment=base_environment) as own:
        return measure([request], own, on_progress=follow, cancels=cancels, seed=seed)[0]


def new_work_dir(parent: Path, run_id: str, attempt: int) -> Path:
    """A fresh directory for one attempt's files, readable by its owner only."""
    path = parent / f"{run_id}-{attempt}"
    path.mkdir(mode=0o700, parents=True)
    return path
