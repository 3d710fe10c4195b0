"""One run on one page: sample → prepare → repeat → memory pass → summarise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from time import perf_counter

import numpy as np

from profiler import flags
from profiler.contention import CpuTimes, other_share, read_cpu_times
from profiler.convert import Converted, convert_to_onnx, needs_conversion
from profiler.energy import summarise_energy
from profiler.environment import read_environment
from profiler.errors import RunFailure
from profiler.events import Phase, ProgressEvent, WorkerRequest
from profiler.failure import source_of
from profiler.forked import call_in_child
from profiler.repetition import Plan, RepetitionReport, measure_memory, repeat
from profiler.result import Flag, Latency, Memory, ModelInfo, RunResult, RunStatus
from profiler.runtimes.base import LoadRequest, RuntimeAdapter
from profiler.runtimes.table import adapter_for
from profiler.samples import FILE_NAME, Iterations
from profiler.sensors.sampler import Sampler, Trace
from profiler.spec import ArtifactRef
from profiler.stats import summarise

Emit = Callable[[ProgressEvent], None]


@dataclass
class Run:
    """What is gathered while a run goes on."""

    request: WorkerRequest
    emit: Emit
    threads: int
    phases: dict[str, float]

    def timed(self, name: str, start: float) -> None:
        self.phases[name] = self.phases.get(name, 0.0) + perf_counter() - start

    def progress(self, phase: Phase, fraction: float) -> None:
        repetitions = self.request.spec.repetitions
        self.emit(ProgressEvent(phase=phase, fraction=fraction, repetitions=repetitions))


def run(request: WorkerRequest, emit: Emit, threads: int) -> RunResult:
    """Measure as the request says and summarise.

    Args:
        request: what to measure, and where files are.
        emit: takes progress; also called from forked children.
        threads: for the engine, already resolved.

    Raises:
        RunFailure: there are no figures; says why.
    """
    now = Run(request=request, emit=emit, threads=threads, phases={})
    started_at = datetime.now(timezone.utc)
    # The first word: whoever started this process learns how long that took.
    now.progress(Phase.STARTING, 0)
    # The sampler is forked first: its process must not carry the engine's libraries.
    sampler = Sampler.start(hertz=request.spec.sample_hertz) if request.spec.sample_hertz else None
    try:
        converted = _convert(now)
        adapter = _preload(now)
        load = _load_request(request, converted, threads)
        before = read_cpu_times()
        reports = _repetitions(now, adapter, load)
        after = read_cpu_times()
        memory, memory_error = _memory(now, adapter, load)
    finally:
        trace = sampler.stop() if sampler else None
    measured = _Measured(
        started_at, adapter, converted, reports, (before, after), memory, memory_error, trace
    )
    return _summarise(now, measured)


@dataclass(frozen=True)
class _Measured:
    started_at: datetime
    adapter: RuntimeAdapter
    converted: Converted | None
    reports: list[RepetitionReport]
    cpu_times: tuple[CpuTimes, CpuTimes]
    memory: Memory | None
    memory_error: str | None
    trace: Trace | None


def _convert(now: Run) -> Converted | None:
    spec = now.request.spec
    if not needs_conversion(spec.model, spec.runtime):
        return None
    start = perf_counter()
    now.progress(Phase.CONVERTING, 0)
    # In a child: the engine that runs the converted model must not share a process with torch.
    converted = call_in_child(
        lambda: convert_to_onnx(
            spec.model,
            now.request.model_path,
            now.request.cache_dir,
            batch_size=spec.batch_size,
            inputs=spec.inputs,
            precision=spec.precision,
        ),
        Converted,
        "the conversion to ONNX",
    )
    now.timed("convert", start)
    return converted


def _preload(now: Run) -> RuntimeAdapter:
    start = perf_counter()
    now.progress(Phase.STARTING, 0)
    adapter = adapter_for(now.request.spec.runtime)
    adapter.preload()
    now.timed("import", start)
    return adapter


def _load_request(request: WorkerRequest, converted: Converted | None, threads: int) -> LoadRequest:
    spec = request.spec
    return LoadRequest(
        model=spec.model,
        model_path=converted.path if converted else request.model_path,
        precision=spec.precision,
        accelerator=spec.accelerator,
        threads=threads,
        batch_size=spec.batch_size,
        inputs=spec.inputs,
        seed=spec.seed,
    )


def _repetitions(now: Run, adapter: RuntimeAdapter, load: LoadRequest) -> list[RepetitionReport]:
    spec = now.request.spec
    start = perf_counter()
    reports = []
    for index in range(spec.repetitions):
        plan = Plan(
            index=index,
            repetitions=spec.repetitions,
            budget_seconds=spec.max_time_seconds / spec.repetitions,
            warmup=spec.warmup,
            samples_path=now.request.work_dir / f"repetition-{index}.npz",
        )
        reports.append(
            call_in_child(
                lambda plan=plan: repeat(adapter, load, plan, now.emit),  # type: ignore[misc]
                RepetitionReport,
                f"repetition {index + 1}",
            )
        )
    now.timed("repetitions", start)
    return reports


def _memory(
    now: Run, adapter: RuntimeAdapter, load: LoadRequest
) -> tuple[Memory | None, str | None]:
    """The memory pass. Its failure costs the memory figures, not the latency."""
    start = perf_counter()
    now.progress(Phase.MEMORY, 1)
    try:
        return call_in_child(lambda: measure_memory(adapter, load), Memory, "the memory pass"), None
    except RunFailure as error:
        return None, str(error)
    finally:
        now.timed("memory", start)


def _collect_iterations(work_dir: Path, repetitions: int) -> Iterations:
    """Join the repetitions' files into the run's one."""
    parts = []
    for index in range(repetitions):
        path = work_dir / f"repetition-{index}.npz"
        parts.append(Iterations.load(path))
        path.unlink()
    iterations = Iterations.concatenate(parts)
    iterations.save(work_dir / FILE_NAME)
    return iterations


def _latency(iterations: Iterations, overhead_seconds: float) -> tuple[Latency, list[Flag]]:
    groups = iterations.timed_groups()
    clock = flags.clock_overhead(overhead_seconds, float(np.median(np.concatenate(groups))))
    if clock is not None:
        groups = [np.maximum(group - overhead_seconds, 0.0) for group in groups]
    latency = summarise(groups)
    return latency, [flag for flag in (clock, flags.not_converged(latency)) if flag]


def _run_flags(measured: _Measured) -> list[Flag | None]:
    reports = measured.reports
    unsteady = [r for r in reports if not r.steady]
    longest = max(r.figures.warmup_seconds for r in reports)
    fallback = reports[0].facts.fallback
    lost = measured.trace.lost if measured.trace else None
    return [
        flags.single_repetition() if len(reports) == 1 else None,
        flags.not_steady(len(unsteady), longest) if unsteady else None,
        flags.busy_device(other_share(*measured.cpu_times)),
        flags.cpu_fallback(fallback) if fallback else None,
        flags.sampler_lost(lost) if lost else None,
        flags.memory_pass_failed(measured.memory_error) if measured.memory_error else None,
    ]


def _model_info(request: WorkerRequest, measured: _Measured) -> ModelInfo:
    model = request.spec.model
    converted = measured.converted
    parameters = measured.reports[0].facts.parameters
    if converted is not None and converted.parameters is not None:
        parameters = converted.parameters
    artifact = model if isinstance(model, ArtifactRef) else None
    return ModelInfo(
        source=source_of(model),
        digest=artifact.digest if artifact else None,
        parameters=parameters,
        parameters_reason=None if parameters is not None else "the engine does not tell",
        size_bytes=artifact.size_bytes if artifact else None,
        converted_digest=converted.digest if converted else None,
    )


def _summarise(now: Run, measured: _Measured) -> RunResult:
    request, spec = now.request, now.request.spec
    start = perf_counter()
    iterations = _collect_iterations(request.work_dir, spec.repetitions)
    overhead = max(r.clock_overhead_seconds for r in measured.reports)
    latency, latency_flags = _latency(iterations, overhead)
    items = latency.n * spec.batch_size
    facts = measured.reports[0].facts
    if measured.trace is not None:
        windows = iterations.timed_windows()
        energy, energy_reason = summarise_energy(
            measured.trace, windows, items, accelerator=facts.accelerator
        )
    else:
        energy, energy_reason = None, "the sampler was off (sample_hertz 0)"
    elapsed = sum(end - begin for begin, end in iterations.timed_windows())
    now.timed("summarise", start)
    return RunResult(
        run_id=request.run_id,
        attempt=request.attempt,
        job_id=request.job_id,
        status=RunStatus.SUCCEEDED,
        device=request.device,
        model=spec.model.label,
        model_info=_model_info(request, measured),
        runtime=spec.runtime,
        runtime_version=measured.adapter.version(),
        precision=facts.precision,
        accelerator=facts.accelerator,
        threads=facts.threads,
        batch_size=spec.batch_size,
        inputs=facts.inputs,
        scenario=spec.scenario,
        seed=spec.seed,
        started_at=measured.started_at,
        finished_at=datetime.now(timezone.utc),
        latency=latency,
        throughput_items_per_second=items / elapsed,
        repetitions=tuple(r.figures for r in measured.reports),
        memory=measured.memory,
        memory_reason=measured.memory_error,
        energy=energy,
        energy_reason=energy_reason,
        sensors_absent=measured.trace.absent if measured.trace else (),
        sampler=measured.trace.report if measured.trace else None,
        clock_overhead_seconds=overhead,
        flags=tuple(f for f in (*_run_flags(measured), *latency_flags) if f),
        environment=read_environment(),
        phases_seconds=now.phases,
    )
