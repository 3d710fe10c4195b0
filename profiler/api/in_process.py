"""Measuring a model that exists in the caller's process only: a module, or any function.

Such a model cannot go to a worker: a pickle would be the only general way, and pickles are never
used; nor can this process be forked, since its engine may have threads and a GPU open. So it is
measured here, in one repetition, and the result says so. What a measurement changes in the process
is put back: the garbage collector, and torch's threads and precision.
"""

from __future__ import annotations

import gc
import os
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from time import perf_counter

from profiler import flags
from profiler.allocation import classify
from profiler.commands import MemoryMeasured, Prepared, Repeated, Summarise
from profiler.contention import other_share, read_cpu_times
from profiler.device.environment import read_environment
from profiler.device.preflight import read_preflight
from profiler.events import ProgressEvent, WorkerRequest
from profiler.failure import result_without_figures
from profiler.local_run import THIS_DEVICE, LocalRun, new_run_id
from profiler.plan import LEAST_SHARE, Plan, RepetitionReport
from profiler.repetition import Emit, repeat
from profiler.result import Flag, ModelInfo, RunError, RunResult, RunStatus, StartMethod
from profiler.runtimes.base import LoadedModel, LoadRequest
from profiler.samples import FILE_NAME, Iterations
from profiler.spec import ArchitectureRef, Library, RunSpec
from profiler.summary import samples_path, summarise

# A specification names a model, and this one has nothing that a name could refer to. The stand-in
# is never looked up: the model is there already, and the result names the real one.
STAND_IN = ArchitectureRef(library=Library.TORCHVISION, name="in-memory")
NO_MEMORY = "measured in the calling process, which holds more than the model"
NO_ENERGY = "measured in the calling process, in which no sampler is started"
# Another run of what has no name is none of this configuration: the advice would lead nowhere.
FEW_RUNS = "few_runs"
NO_HISTORY = "kept for models that have a name or a file: what is called here is not known again"
TRACEBACK_LINES = 20


@dataclass(frozen=True)
class Subject:
    """A model in this process.

    Attributes:
        label: what the result calls it.
        source: where it comes from, such as ``my.module.Net in memory``.
        runtime: what runs it.
        version: of that, where there is one.
        load: gives the model, ready to be called.
        settings: makes what holds while it is measured, such as torch's precision.
        threads: whether the number of threads that ``load`` tells is known.
        precision: whether the precision is.
        parameters_reason: why the number of parameters is not known.
        again: how to measure it in fresh processes.
    """

    label: str
    source: str
    runtime: str
    version: str | None
    load: Callable[[], LoadedModel]
    settings: Callable[[], AbstractContextManager[None]]
    threads: bool
    precision: bool
    parameters_reason: str
    again: str


def name_of(model: object) -> str:
    """A function's own name, else the class."""
    named = getattr(model, "__name__", None)
    return named if isinstance(named, str) else type(model).__name__


def source_of(model: object) -> str:
    """Where a model in memory was defined, for the result."""
    name = getattr(model, "__qualname__", None) or type(model).__qualname__
    return f"{model.__module__ or 'builtins'}.{name} in memory"


def measure_in_process(subject: Subject, spec: RunSpec, on_progress: Emit) -> LocalRun:
    """Measure in one repetition. A model that raises is a failed result, as in a worker.

    Args:
        subject: what to measure.
        spec: of ``STAND_IN``; how long, and what the result is to say.
        on_progress: called between blocks of iterations.
    """
    started_at = datetime.now(timezone.utc)
    # What others use of the machine is the difference of two readings.
    before = read_cpu_times()
    start = perf_counter()
    spec = spec.model_copy(update={"repetitions": 1, "sample_hertz": 0})
    with tempfile.TemporaryDirectory(prefix="fleetmark-") as directory:
        work = Path(directory)
        preflight = read_preflight()
        try:
            with subject.settings(), _collector_put_back():
                report = _repeat(subject, spec, work, _guarded(on_progress))
        except _ListenerFailed as failed:
            raise failed.error from None
        except Exception as error:  # noqa: BLE001 - a model may raise anything; the result tells it
            return LocalRun(_failed(subject, spec, error, started_at), None)
        figures = report.figures.model_copy(update={"start_method": StartMethod.IN_PROCESS})
        measured = Summarise(
            request=_request(spec, work),
            prepared=Prepared(converted=None, preflight=preflight, phases_seconds={}),
            repeated=(
                Repeated(
                    report=report.model_copy(update={"figures": figures}),
                    other_share=other_share(before, read_cpu_times()),
                    seconds=perf_counter() - start,
                    spent=False,
                ),
            ),
            memory=MemoryMeasured(memory=None, reason=None, seconds=0.0),
            order_seed=spec.seed,
            started_at=started_at,
        )
        result = summarise(measured, subject.version or "unknown")
        iterations = Iterations.load(work / FILE_NAME)
    return LocalRun(_adapted(result, subject, report), iterations)


def _request(spec: RunSpec, work: Path) -> WorkerRequest:
    return WorkerRequest(
        run_id=new_run_id(), device=THIS_DEVICE, spec=spec, cache_dir=work, work_dir=work
    )


class _ListenerFailed(BaseException):
    """Carries what a listener raised past the place where errors are taken for the model's."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


def _guarded(listener: Emit) -> Emit:
    def emit(event: ProgressEvent) -> None:
        try:
            listener(event)
        except Exception as error:
            raise _ListenerFailed(error) from error

    return emit


class _Adapter:
    """``RuntimeAdapter`` for one model that is there already."""

    forkable = False

    def __init__(self, subject: Subject) -> None:
        self._subject = subject

    def preload(self) -> None:
        """Nothing: the engine is in this process."""

    def version(self) -> str:
        return self._subject.version or "unknown"

    def load(self, request: LoadRequest) -> LoadedModel:
        del request
        return self._subject.load()


def _repeat(subject: Subject, spec: RunSpec, work: Path, emit: Emit) -> RepetitionReport:
    request = LoadRequest(
        model=spec.model,
        model_path=None,
        precision=spec.precision,
        accelerator=spec.accelerator,
        threads=spec.threads or len(os.sched_getaffinity(0)),
        batch_size=spec.batch_size,
        inputs=None,
        seed=spec.seed,
    )
    plan = Plan(
        index=0,
        repetitions=1,
        budget_seconds=spec.max_time_seconds,
        least_seconds=LEAST_SHARE * spec.max_time_seconds,
        warmup=spec.warmup,
        stop=spec.stop,
        sentinel=spec.sentinel,
        scenario=spec.scenario,
        server=spec.server,
        seed=spec.seed,
        samples_path=samples_path(work, 0),
    )
    return repeat(_Adapter(subject), request, plan, emit)


@contextmanager
def _collector_put_back() -> Iterator[None]:
    """``repeat`` turns the collector off for good, as suits a process that ends after it."""
    enabled, frozen = gc.isenabled(), gc.get_freeze_count()
    try:
        yield
    finally:
        # What the caller had frozen cannot be told apart from the rest, so then it all stays.
        if not frozen:
            gc.unfreeze()
        if enabled:
            gc.enable()


def _identity(subject: Subject) -> dict[str, object]:
    """What a result says of the model, in place of the stand-in."""
    return {"model": subject.label, "runtime": subject.runtime, "runtime_version": subject.version}


def _failed(subject: Subject, spec: RunSpec, error: Exception, started_at: datetime) -> RunResult:
    failure = classify(error)
    lines = "".join(traceback.format_exception(error)).splitlines()
    result = result_without_figures(
        run_id=new_run_id(),
        attempt=1,
        job_id=None,
        device=THIS_DEVICE,
        spec=spec,
        status=RunStatus.FAILED,
        error=RunError(
            kind=failure.kind,
            message=str(failure),
            stderr_tail="\n".join(lines[-TRACEBACK_LINES:]),
        ),
        started_at=started_at,
        environment=read_environment(),
    )
    info = result.model_info.model_copy(update={"source": subject.source})
    return result.model_copy(update=_identity(subject) | {"model_info": info})


def _adapted(result: RunResult, subject: Subject, report: RepetitionReport) -> RunResult:
    """The result with the real model in the stand-in's place, and what is not known left out."""
    known = report.facts.parameters is not None
    info = ModelInfo(
        source=subject.source,
        parameters=report.facts.parameters,
        parameters_reason=None if known else subject.parameters_reason,
    )
    return result.model_copy(
        update=_identity(subject)
        | {
            "model_info": info,
            "precision": report.facts.precision if subject.precision else None,
            "threads": report.facts.threads if subject.threads else None,
            "memory_reason": NO_MEMORY,
            "energy_reason": NO_ENERGY,
            "over_runs_reason": NO_HISTORY,
            "at_usual_speed_reason": NO_HISTORY,
            "flags": tuple(_advised(f, subject) for f in result.flags if f.name != FEW_RUNS),
        }
    )


def _advised(flag: Flag, subject: Subject) -> Flag:
    if flag.name != flags.single_repetition().name:
        return flag
    return flag.model_copy(update={"advice": subject.again})
