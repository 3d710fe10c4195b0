"""Everything that was measured in a run → its result."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

from profiler import disturbance, flags, relative, stats, throttling
from profiler.among_others import among_others
from profiler.commands import Summarise
from profiler.device.environment import read_environment
from profiler.device.flags import preflight_flags
from profiler.device.preflight import read_preflight
from profiler.energy.figures import Work
from profiler.energy.summary import EnergySummary, summarise_energy
from profiler.energy.window import Window
from profiler.energy.work import windows_of
from profiler.errors import InputError
from profiler.failure import source_of
from profiler.plan import RepetitionReport
from profiler.result import (
    Contention,
    Flag,
    Latency,
    ModelInfo,
    RunResult,
    RunStatus,
    Sentinel,
    StopReport,
    TuneReport,
)
from profiler.samples import FILE_NAME, Recording
from profiler.scenario_figures import Figures, figures
from profiler.sensors import health, trace_file
from profiler.sensors.trace import Trace
from profiler.spec import ArtifactRef, RunSpec, Scenario
from profiler.throttle_report import Throttling
from profiler.timed_part import served_path
from profiler.trace_samples import TraceSamples
from profiler.tuning.tune import in_force


def samples_path(work_dir: Path, index: int) -> Path:
    """Where a repetition leaves its raw data."""
    return work_dir / f"repetition-{index}.npz"


def trace_path(work_dir: Path, index: int) -> Path:
    """Where a repetition's sampler leaves its readings."""
    return work_dir / f"trace-{index}.npz"


def summarise(command: Summarise, runtime_version: str) -> RunResult:
    """The result of a run whose repetitions succeeded, all of them.

    Leaves the raw data of all repetitions in one file of the run's directory.
    """
    start = perf_counter()
    request, spec = command.request, command.request.spec
    traces = _traces(request.work_dir, spec)
    trace = None
    if traces:
        trace = trace_file.listened(trace_file.join(traces), command.prepared.rhythms)
    recording = _collect(request.work_dir, spec.repetitions, traces, trace)
    found = figures(command, recording, _served_paths(request.work_dir, spec), trace)
    seen = _look(command, recording, trace)
    raised = flags.joined([*_run_flags(command, trace), *found.flags, *_seen_flags(command, seen)])
    phases = command.prepared.phases_seconds | {
        "repetitions": sum(each.seconds for each in command.repeated),
        "memory": command.memory.seconds,
        "summarise": perf_counter() - start,
    }
    result = _result(command, runtime_version, found, seen)
    update = {"flags": raised, "phases_seconds": phases}
    return among_others(result.model_copy(update=update), request.cache_dir)


class _Seen(NamedTuple):
    """What was seen beside the figures of the scenario; a value that is missing has its reason."""

    trace: Trace | None
    spans: list[tuple[float, float]]
    on_device: tuple[Latency | None, str | None]
    calm: tuple[Latency | None, str | None]
    cool: tuple[Latency | None, str | None]
    throttling: tuple[Throttling | None, str | None]
    energy: EnergySummary
    sentinel: Sentinel | None
    contention: Contention | None


def _look(command: Summarise, recording: Recording, trace: Trace | None) -> _Seen:
    spec = command.request.spec
    reports = [each.report for each in command.repeated]
    windows = windows_of(recording, reports)
    spans = [window.span for window in windows]
    iterations = recording.iterations
    kind = reports[0].sentinel_kind or ""
    return _Seen(
        trace=trace,
        spans=spans,
        on_device=_on_device(recording, spec, reports[0].facts.accelerator),
        calm=_undisturbed(recording, spec),
        cool=throttling.unthrottled(trace, iterations, spans, spec.scenario),
        throttling=throttling.summarise(trace, iterations, spans),
        energy=_energy(trace, windows, spec, reports),
        sentinel=relative.summarise(kind, iterations, recording.slices),
        contention=disturbance.summarise(iterations, recording.blocks),
    )


def _seen_flags(command: Summarise, seen: _Seen) -> list[Flag | None]:
    shifted = sum(each.report.shifted_seconds for each in command.repeated)
    return [
        *seen.energy.flags,
        flags.drift(seen.sentinel),
        flags.disturbed(seen.contention),
        flags.throttled(seen.throttling[0]),
        flags.sensor_resonance(shifted),
        flags.low_voltage(throttling.low_voltage(seen.trace, seen.spans)),
    ]


def _result(command: Summarise, runtime_version: str, found: Figures, seen: _Seen) -> RunResult:
    """All of it in its place, but for the flags."""
    request, spec = command.request, command.request.spec
    reports = [each.report for each in command.repeated]
    facts = reports[0].facts
    tuning, tuning_reason = _tuning()
    return RunResult(
        run_id=request.run_id,
        attempt=request.attempt,
        job_id=request.job_id,
        status=RunStatus.SUCCEEDED,
        device=request.device,
        model=spec.model.label,
        model_info=_model_info(command),
        runtime=spec.runtime,
        runtime_version=runtime_version,
        precision=facts.precision,
        accelerator=facts.accelerator,
        threads=facts.threads,
        batch_size=spec.batch_size,
        inputs=facts.inputs,
        scenario=spec.scenario,
        seed=spec.seed,
        order_seed=command.order_seed,
        started_at=command.started_at,
        finished_at=datetime.now(timezone.utc),
        latency=found.latency,
        latency_reason=found.latency_reason,
        latency_device=seen.on_device[0],
        latency_device_reason=seen.on_device[1],
        latency_undisturbed=seen.calm[0],
        latency_undisturbed_reason=seen.calm[1],
        throughput_items_per_second=found.items_per_second,
        offline=found.offline,
        server=found.server,
        sustained=found.sustained,
        repetitions=tuple(report.figures for report in reports),
        stop=_stop(spec, found.latency, reports),
        latency_unthrottled=seen.cool[0],
        latency_unthrottled_reason=seen.cool[1],
        throttling=seen.throttling[0],
        throttling_reason=seen.throttling[1],
        contention=seen.contention,
        sentinel=seen.sentinel,
        sentinel_reason=None if seen.sentinel else "it was turned off",
        preflight=command.prepared.preflight,
        tuning=tuning,
        tuning_reason=tuning_reason,
        overhead=request.overhead,
        memory=command.memory.memory,
        memory_reason=command.memory.reason,
        energy=seen.energy.energy,
        energy_reason=seen.energy.reason,
        sensors_absent=seen.trace.absent if seen.trace else (),
        sampler=seen.trace.report if seen.trace else None,
        clock_overhead_seconds=max(report.clock_overhead_seconds for report in reports),
        environment=read_environment(),
    )


def _collect(
    work_dir: Path, repetitions: int, traces: list[Trace], trace: Trace | None
) -> Recording:
    """Join the repetitions' files, and what was sampled meanwhile, into the run's one."""
    parts = []
    for index in range(repetitions):
        path = samples_path(work_dir, index)
        parts.append(Recording.load(path))
        path.unlink()
    found = Recording.concatenate(parts)
    recording = replace(
        found,
        iterations=throttling.with_tags(found.iterations, trace),
        trace=TraceSamples.of(traces),
    )
    recording.save(work_dir / FILE_NAME)
    return recording


def _traces(work_dir: Path, spec: RunSpec) -> list[Trace]:
    """One for each repetition; none with the sampler off."""
    if not spec.sample_hertz:
        return []
    parts = []
    for index in range(spec.repetitions):
        path = trace_path(work_dir, index)
        parts.append(trace_file.load(path))
        path.unlink()
    return parts


def _served_paths(work_dir: Path, spec: RunSpec) -> list[Path]:
    if spec.scenario is not Scenario.SERVER:
        return []
    return [served_path(samples_path(work_dir, index)) for index in range(spec.repetitions)]


def _on_device(
    recording: Recording, spec: RunSpec, accelerator: str
) -> tuple[Latency | None, str | None]:
    """Statistics by the accelerator's own clock."""
    groups = recording.iterations.device_groups()
    if groups:
        return stats.summarise(groups), None
    if accelerator == "cpu":
        return None, "ran on cpu"
    if spec.scenario in (Scenario.OFFLINE, Scenario.SERVER):
        return None, f"the scenario {spec.scenario} does not time single calls on the device"
    return None, f"{spec.runtime} does not tell the device's own time of a call"


def _undisturbed(recording: Recording, spec: RunSpec) -> tuple[Latency | None, str | None]:
    """Statistics of the blocks that nobody disturbed."""
    if spec.scenario in (Scenario.OFFLINE, Scenario.SERVER):
        return None, f"the scenario {spec.scenario} has no blocks that could be left out"
    if not len(recording.blocks):
        return None, "the blocks were not recorded"
    tagged = disturbance.disturbed(recording.blocks)
    if not tagged.any():
        return None, "no block was disturbed: the latency is that of all"
    groups = disturbance.undisturbed_groups(recording.iterations, recording.blocks, tagged)
    if not groups:
        return None, "every block was disturbed"
    return stats.summarise(groups), None


def _energy(
    trace: Trace | None, windows: list[Window], spec: RunSpec, reports: list[RepetitionReport]
) -> EnergySummary:
    if trace is None:
        return EnergySummary(None, "the sampler was off (sample_hertz 0)")
    work = Work(
        windows=windows,
        items_per_call=spec.batch_size,
        idle=[span for report in reports for span in report.idle],
    )
    return summarise_energy(trace, work, accelerator=reports[0].facts.accelerator)


def _tuning() -> tuple[TuneReport | None, str | None]:
    try:
        return in_force(), None
    except InputError as error:
        return None, str(error)


def _stop(
    spec: RunSpec, latency: Latency | None, reports: list[RepetitionReport]
) -> StopReport | None:
    if spec.scenario is not Scenario.SINGLE_STREAM or latency is None:
        return None
    return StopReport(
        percentile=spec.stop.percentile,
        goal=spec.stop.relative_half_width,
        relative_half_width=stats.relative_half_width(getattr(latency, spec.stop.percentile)),
        converged_repetitions=sum(report.converged for report in reports),
        repetitions=len(reports),
    )


def _run_flags(command: Summarise, trace: Trace | None) -> list[Flag | None]:
    reports = [each.report for each in command.repeated]
    before = command.prepared.preflight
    unsteady = [r for r in reports if not r.steady]
    longest = max(r.figures.warmup_seconds for r in reports)
    fallback = reports[0].facts.fallback
    lost = trace.lost if trace else None
    others = sum(r.other_share * r.seconds for r in command.repeated)
    reason = command.memory.reason
    return [
        *(preflight_flags(before, read_preflight()) if before else ()),
        flags.single_repetition() if len(reports) == 1 else None,
        flags.not_steady(len(unsteady), longest) if unsteady else None,
        flags.busy_device(others / sum(r.seconds for r in command.repeated)),
        flags.cpu_fallback(fallback) if fallback else None,
        flags.sampler_lost(lost) if lost else None,
        flags.sensor_failed(health.troubles(trace)) if trace else None,
        flags.memory_pass_failed(reason) if reason else None,
    ]


def _model_info(command: Summarise) -> ModelInfo:
    model = command.request.spec.model
    converted = command.prepared.converted
    parameters = command.repeated[0].report.facts.parameters
    if converted is not None:
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
