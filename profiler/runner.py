"""What the worker does for each command: preload → prepare → repeat … → memory pass → summarise."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter

from profiler.commands import (
    Answer,
    AnyCommand,
    MeasureMemory,
    MeasureOverhead,
    MemoryMeasured,
    Preload,
    Preloaded,
    Prepare,
    Prepared,
    Repeat,
    Repeated,
    Summarise,
)
from profiler.contention import other_share, read_cpu_times
from profiler.conversion.convert import Converted, convert_to_onnx, needs_conversion
from profiler.device.preflight import read_preflight
from profiler.energy.figures import looks_every, metered
from profiler.errors import OutOfMemory, RunFailure
from profiler.events import Phase, ProgressEvent, ResultEvent, WorkerRequest
from profiler.forked import call_in_child
from profiler.memory.measure import measure_memory
from profiler.overhead.measure import measure_overhead
from profiler.overhead.plan import OverheadMeasured
from profiler.plan import Plan, RepetitionReport
from profiler.repetition import repeat
from profiler.result import StartMethod
from profiler.runtimes.base import LoadRequest, RuntimeAdapter
from profiler.runtimes.table import adapter_for
from profiler.scenarios.live_state import Judge, LiveState
from profiler.sensors import trace_file
from profiler.sensors.base import Channel
from profiler.sensors.rhythm import LISTEN_SECONDS, Rhythm, with_rhythms
from profiler.sensors.sampler import Sampler
from profiler.spec import Runtime, Scenario
from profiler.summary import samples_path, summarise, trace_path

# Being quiet before and after takes no more of a run's time than this, each.
IDLE_SHARE = 0.1
# For opening all sources before a run; what is slower is found by the run's own sampler.
FIND_SECONDS = 2.0 + LISTEN_SECONDS
FIND_HERTZ = 100.0

Emit = Callable[[ProgressEvent], None]


class Runner:
    """Carries out commands. What it keeps between two is an engine that was imported."""

    def __init__(self, emit: Emit) -> None:
        self._emit = emit
        self._engines: dict[Runtime, RuntimeAdapter] = {}
        self.spent = False

    def carry_out(self, command: AnyCommand) -> Answer:
        """The answer to a command; progress is emitted on the way, also from forked children.

        Raises:
            RunFailure: there are no figures; says why.
        """
        if isinstance(command, Preload):
            return Preloaded(seconds=self._preload(command.runtime))
        if isinstance(command, Prepare):
            return self._prepare(command.request)
        if isinstance(command, Repeat):
            return self._repeat(command)
        if isinstance(command, MeasureMemory):
            return self._memory(command)
        if isinstance(command, MeasureOverhead):
            return self._overhead(command)
        return self._summarise(command)

    def _preload(self, runtime: Runtime) -> float:
        start = perf_counter()
        if runtime not in self._engines:
            with _uncollected():
                adapter = adapter_for(runtime)
                adapter.preload()
                # Here and not in every repetition: what the stop rule and the summary need.
                import scipy.special  # noqa: F401
            self._engines[runtime] = adapter
        return perf_counter() - start

    def _engine(self, runtime: Runtime) -> RuntimeAdapter:
        self._preload(runtime)
        return self._engines[runtime]

    def _progress(self, request: WorkerRequest, phase: Phase, fraction: float) -> None:
        repetitions = request.spec.repetitions
        self._emit(ProgressEvent(phase=phase, fraction=fraction, repetitions=repetitions))

    def _prepare(self, request: WorkerRequest) -> Prepared:
        # The first word: whoever started this process learns how long that took.
        self._progress(request, Phase.STARTING, 0)
        phases = {}
        converted = None
        if needs_conversion(request.spec.model, request.spec.runtime):
            start = perf_counter()
            self._progress(request, Phase.CONVERTING, 0)
            converted = _convert(request)
            phases["convert"] = perf_counter() - start
            self._progress(request, Phase.STARTING, 0)
        phases["import"] = self._preload(request.spec.runtime)
        channels, rhythms = _channels(request)
        return Prepared(
            converted=converted,
            preflight=read_preflight(),
            phases_seconds=phases,
            metered=any(metered(channel) for channel in channels),
            looks_every_seconds=looks_every(channels),
            rhythms=rhythms,
        )

    def _repeat(self, command: Repeat) -> Repeated:
        request = command.request
        start = perf_counter()
        before = read_cpu_times()
        # Forked before the repetition, and not a part of it.
        hertz = request.spec.sample_hertz
        live = LiveState() if hertz and request.spec.scenario is Scenario.SUSTAINED else None
        watch = Judge(live) if live is not None else None
        sampler = _sampler(request, hertz, watch, request.newest_path) if hertz else None
        try:
            report = self._in_fresh_process(command, live)
        finally:
            if sampler is not None:
                trace_file.save(sampler.stop(), trace_path(request.work_dir, command.index))
        return Repeated(
            report=report,
            other_share=other_share(before, read_cpu_times()),
            seconds=perf_counter() - start,
            spent=self.spent,
        )

    def _in_fresh_process(self, command: Repeat, live: LiveState | None) -> RepetitionReport:
        engine = self._engine(command.request.spec.runtime)
        load = _load_request(command.request, command.prepared)
        plan = _plan(command)
        if engine.forkable:
            return call_in_child(
                lambda: repeat(engine, load, plan, self._emit, live),
                RepetitionReport,
                f"repetition {command.index + 1}",
            )
        # This process is as fresh as one can be, once; then another one must take its place.
        self.spent = True
        report = repeat(engine, load, plan, self._emit, live)
        figures = report.figures.model_copy(update={"start_method": StartMethod.SPAWN})
        return report.model_copy(update={"figures": figures})

    def _memory(self, command: MeasureMemory) -> MemoryMeasured:
        start = perf_counter()
        self._progress(command.request, Phase.MEMORY, 1)
        engine = self._engine(command.request.spec.runtime)
        load = _load_request(command.request, command.prepared)
        self.spent = self.spent or not engine.forkable
        memory, reason = None, None
        try:
            memory = measure_memory(engine, load)
        except OutOfMemory:
            # The repetitions got through by a hair: a run that may fail next time has failed.
            raise
        except RunFailure as error:
            reason = str(error)
        seconds = perf_counter() - start
        return MemoryMeasured(memory=memory, reason=reason, seconds=seconds, spent=self.spent)

    def _overhead(self, command: MeasureOverhead) -> OverheadMeasured:
        engine = self._engine(command.request.spec.runtime)
        load = _load_request(command.request, command.prepared)

        def progress(fraction: float) -> None:
            self._progress(command.request, Phase.MEASURING, fraction)

        return call_in_child(
            lambda: measure_overhead(engine, load, command.plan, progress, command.request.sensors),
            OverheadMeasured,
            "measuring the overhead",
        )

    def _summarise(self, command: Summarise) -> ResultEvent:
        version = adapter_for(command.request.spec.runtime).version()
        return ResultEvent(result=summarise(command, version))


@contextmanager
def _uncollected() -> Iterator[None]:
    """What is made meanwhile no garbage collection ever looks at, here or in a forked child.

    Imports make much and leave next to nothing: with torch, collections take a fifth of the time
    and find some thousand small objects among some hundred thousand. And what nobody looks at,
    forks share untouched.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def _sampler(
    request: WorkerRequest,
    hertz: float,
    watch: Judge | None = None,
    newest: Path | None = None,
    *,
    listen: bool = False,
) -> Sampler:
    # A repetition may run where this process may.
    cpus = os.sched_getaffinity(0)
    return Sampler.start_for(
        request.sensors,
        hertz=hertz,
        workload_cpus=cpus,
        watch=watch,
        newest=newest,
        listen=listen,
    )


def _convert(request: WorkerRequest) -> Converted:
    spec = request.spec
    # In a child: the engine that runs the converted model must not share a process with torch.
    return call_in_child(
        lambda: convert_to_onnx(
            spec.model,
            request.model_path,
            request.cache_dir,
            batch_size=spec.batch_size,
            inputs=spec.inputs,
            precision=spec.precision,
            resolution=spec.resolution,
        ),
        Converted,
        "the conversion to ONNX",
    )


def _channels(request: WorkerRequest) -> tuple[list[Channel], tuple[Rhythm, ...]]:
    """What the sampler will read, and how often that has a new value.

    It is asked itself: drivers may block.
    """
    if not request.spec.sample_hertz:
        return [], ()
    sampler = _sampler(request, FIND_HERTZ, listen=True)
    sampler.wait_ready(FIND_SECONDS)
    trace = sampler.stop(FIND_SECONDS)
    return with_rhythms([series.channel for series in trace.series], trace.rhythms), trace.rhythms


def threads_of(request: WorkerRequest) -> int:
    """For the engine: as asked for, else all CPUs that this process may run on."""
    return request.spec.threads or len(os.sched_getaffinity(0))


def _load_request(request: WorkerRequest, prepared: Prepared) -> LoadRequest:
    spec = request.spec
    path: Path | None = prepared.converted.path if prepared.converted else request.model_path
    return LoadRequest(
        model=spec.model,
        model_path=path,
        precision=spec.precision,
        accelerator=spec.accelerator,
        threads=threads_of(request),
        batch_size=spec.batch_size,
        inputs=spec.inputs,
        resolution=spec.resolution,
        seed=spec.seed,
    )


def _plan(command: Repeat) -> Plan:
    spec = command.request.spec
    idle = min(spec.idle_seconds, IDLE_SHARE * spec.max_time_seconds)
    idle = idle if command.prepared.metered else 0.0
    return Plan(
        index=command.index,
        repetitions=spec.repetitions,
        budget_seconds=command.budget_seconds,
        least_seconds=command.least_seconds,
        settle_seconds=command.settle_seconds,
        warmup=spec.warmup,
        stop=spec.stop,
        sentinel=spec.sentinel,
        scenario=spec.scenario,
        server=spec.server,
        server_rate_per_second=command.server_rate_per_second,
        seed=spec.seed,
        samples_path=samples_path(command.request.work_dir, command.index),
        position=command.position,
        # Once in a run each: the device is the same in all of its repetitions.
        idle_before_seconds=idle if command.index == 0 else 0.0,
        idle_after_seconds=idle if command.index == spec.repetitions - 1 else 0.0,
        looks_every_seconds=command.prepared.looks_every_seconds,
    )
