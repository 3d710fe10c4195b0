"""The other side of the worker: tells it what to do, follows it, ends it when it must end.

Used by ``fleetmark run`` and by the agent alike, so that a device of a fleet measures with the very
code that measures alone.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from profiler.commands import (
    Answer,
    AnyCommand,
    MeasureOverhead,
    Prepare,
    Prepared,
)
from profiler.errors import DeviceError
from profiler.events import ProgressEvent, WorkerRequest
from profiler.one_run import OneRun, Workers
from profiler.order import interleaved
from profiler.overhead.plan import OverheadMeasured, OverheadPlan
from profiler.pool import WorkerPool
from profiler.result import RunResult
from profiler.worker_process import (
    OnProgress,
    WorkerGoneError,
)

__all__ = ["OnProgress", "measure", "measure_overhead", "new_work_dir", "run_worker"]

Order = Callable[[Sequence[int], int], list[tuple[int, int]]]
Told = TypeVar("Told")


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
    workers = Workers(pool)
    stops = [threading.Event() for _ in requests] if cancels is None else cancels
    runs = [
        OneRun(request, workers, pool, _to(on_progress, place), _to(on_result, place), stop)
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


def _ended(run: OneRun) -> RunResult:
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
