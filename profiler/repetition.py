"""One repetition, in a process of its own: load → first inference → warm up → measure."""

from __future__ import annotations

import gc
from collections.abc import Callable
from time import perf_counter, perf_counter_ns, sleep
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from profiler import timed_part
from profiler.blocks import BLOCK_NS
from profiler.energy.idle import IdleSpan
from profiler.events import Phase, ProgressEvent
from profiler.latency_buckets import MeasuredLatencies, count, shapes
from profiler.plan import LoadedFacts, Plan, RepetitionReport
from profiler.result import InputInfo, RepetitionFigures
from profiler.runtimes.base import LoadedModel, LoadRequest, RuntimeAdapter
from profiler.scenarios.live_state import LiveState
from profiler.sentinel import LayersWork, Sentinel
from profiler.stamps import Stamps
from profiler.timing import clock_overhead_ns, timed_block
from profiler.warmup import QUICK_WINDOW_SECONDS, WINDOW_SECONDS, is_moving, is_steady

# Warm-up may use up to this share of a repetition's budget, so that something is left to measure.
WARMUP_SHARE = 0.4
# A window of the warm-up takes no more than this share of the time that the warm-up may take.
WINDOW_SHARE = 0.25

Emit = Callable[[ProgressEvent], None]
# See ``timed_part.Situation.tell``.
Count = Callable[["NDArray[np.float64] | None"], "MeasuredLatencies | None"]
Tell = Callable[[float, int, "float | None", "NDArray[np.float64] | None"], None]


def _facts(loaded: LoadedModel) -> LoadedFacts:
    return LoadedFacts(
        inputs=tuple(InputInfo(name=i.name, dtype=i.dtype, shape=i.shape) for i in loaded.inputs),
        precision=loaded.precision,
        accelerator=loaded.accelerator,
        threads=loaded.threads,
        parameters=loaded.parameters,
        fallback=loaded.fallback,
    )


def _first_call(loaded: LoadedModel) -> float:
    """Seconds of the first inference, which allocates, compiles and faults pages in."""
    start = perf_counter()
    loaded.call()
    if loaded.synchronize is not None:
        loaded.synchronize()
    return perf_counter() - start


def _warm_up(loaded: LoadedModel, plan: Plan, emit: Emit) -> tuple[Stamps, bool]:
    limit = min(plan.warmup.max_seconds, plan.budget_seconds * WARMUP_SHARE)
    if limit <= 0:
        return Stamps(), plan.warmup.min_iterations == 0
    # Two windows must fit into a short warm-up, or it could never be found steady.
    longest = WINDOW_SECONDS if plan.repetitions > 1 else QUICK_WINDOW_SECONDS
    window = min(longest, limit * WINDOW_SHARE)
    start = perf_counter_ns()
    steady = False
    latencies: list[float] = []

    def enough(stamps: Stamps) -> bool:
        nonlocal steady
        latencies.extend(stamps[len(latencies) :].seconds().tolist())
        steady = len(stamps) >= plan.warmup.min_iterations and is_steady(latencies, window)
        emit(_warmup_progress(plan, start, stamps))
        return steady

    stamps = _untimed_blocks(loaded, limit, enough, start)
    # At the end of its time: a device that is noisy but no longer on its way is warm.
    return stamps, steady or is_moving(latencies, window) is False


def _untimed_blocks(
    loaded: LoadedModel, seconds: float, enough: Callable[[Stamps], bool], start_ns: int
) -> Stamps:
    """Blocks of the warm-up: nothing but steadiness is judged between them."""
    stamps = Stamps()
    end = start_ns + int(seconds * 1e9)
    while True:
        until = min(perf_counter_ns() + BLOCK_NS, end)
        timed_block(loaded.call, loaded.synchronize, until, stamps)
        if enough(stamps) or stamps[-1][1] >= end:
            return stamps


def _warmup_progress(plan: Plan, start_ns: int, stamps: Stamps) -> ProgressEvent:
    done = (stamps[-1][1] - start_ns) / 1e9 / plan.budget_seconds
    # A warm-up whose last block took long must not run ahead of the measuring that follows.
    return ProgressEvent(
        phase=Phase.WARMUP,
        fraction=min(1.0, (plan.index + min(done, WARMUP_SHARE)) / plan.repetitions),
        repetition=plan.index,
        repetitions=plan.repetitions,
        iterations=len(stamps),
        p50_seconds=stamps.recent_median_seconds(),
    )


def repeat(
    adapter: RuntimeAdapter,
    request: LoadRequest,
    plan: Plan,
    emit: Emit,
    live: LiveState | None = None,
) -> RepetitionReport:
    """Measure once, in this process.

    Args:
        adapter: the engine.
        request: what it loads.
        plan: how to measure.
        emit: is told how far it is.
        live: what the sampler knows of the device; ``None`` where nobody judges it.

    Raises:
        RunFailure: the model does not load or does not run.
    """
    began = perf_counter()
    emit(_at(Phase.LOADING, plan))
    loaded, cold = _load(adapter, request)
    sentinel = Sentinel(LayersWork(), perf_counter_ns) if plan.sentinel else None
    idle = _quiet("before", plan.idle_before_seconds)
    begin = perf_counter()
    plan = _after_loading(plan, begin - began)
    if live is not None:
        live.begin_load()
    warmup, steady = _warm_up(loaded, plan, emit)
    warmup_seconds = perf_counter() - begin
    # Told before the first block: with slow iterations that one may be all there is.
    emit(_at(Phase.MEASURING, plan, WARMUP_SHARE))
    counted = _counter(loaded)
    part = timed_part.measure(
        timed_part.Situation(
            loaded=loaded,
            plan=plan,
            warmup=warmup,
            seconds=plan.budget_seconds - warmup_seconds,
            sentinel=sentinel,
            tell=_teller(plan, counted, emit),
            load_began_ns=int(begin * 1e9),
            device=live.read if live is not None else None,
            tell_settling=lambda stamps, new: emit(_settling(plan, stamps, counted(new))),
        )
    )
    idle += _quiet("after", plan.idle_after_seconds)
    part.recording.save(plan.samples_path)
    return RepetitionReport(
        figures=RepetitionFigures(
            index=plan.index,
            load_seconds=cold.load_seconds,
            first_inference_seconds=cold.first_seconds,
            warmup_iterations=len(warmup),
            warmup_seconds=warmup_seconds,
            iterations=part.iterations,
            median_seconds=part.median_seconds,
            position=plan.position,
        ),
        facts=_facts(loaded),
        steady=steady,
        converged=part.converged,
        clock_overhead_seconds=cold.clock_overhead_ns / 1e9,
        sentinel_kind=sentinel.kind if sentinel else None,
        measured_seconds=perf_counter() - begin,
        offline=part.offline,
        search=part.search,
        idle=tuple(idle),
        shifted_seconds=part.shifted_seconds,
    )


class _Cold(NamedTuple):
    """What is measured before the model is warm."""

    load_seconds: float
    first_seconds: float
    clock_overhead_ns: float


def _load(adapter: RuntimeAdapter, request: LoadRequest) -> tuple[LoadedModel, _Cold]:
    """The model after its first call, and nothing left for the garbage collector."""
    before = perf_counter()
    loaded = adapter.load(request)
    load_seconds = perf_counter() - before
    cold = _Cold(load_seconds, _first_call(loaded), clock_overhead_ns())
    # A collection in mid-iteration would be charged to the model; what exists now is left alone.
    gc.collect()
    gc.freeze()
    gc.disable()
    return loaded, cold


def _quiet(when: Literal["before", "after"], seconds: float) -> list[IdleSpan]:
    """Do nothing for so long, with the model loaded: the sampler's readings tell idle power."""
    if seconds <= 0:
        return []
    start = perf_counter()
    sleep(seconds)
    return [IdleSpan(when=when, start_seconds=start, end_seconds=perf_counter())]


def _after_loading(plan: Plan, seconds: float) -> Plan:
    """The plan with what loading, and being quiet before and after, leave of its time."""
    left = max(plan.budget_seconds - seconds - plan.idle_after_seconds, plan.least_seconds)
    return plan.model_copy(update={"budget_seconds": left})


def _counter(loaded: LoadedModel) -> Count:
    """Counts what was timed since it was told of last; there may be nothing."""
    inputs = shapes([each.shape for each in loaded.inputs])

    def counted(latencies: NDArray[np.float64] | None) -> MeasuredLatencies | None:
        if latencies is None or not len(latencies):
            return None
        return MeasuredLatencies(
            accelerator=loaded.accelerator,
            precision=loaded.precision,
            threads=loaded.threads,
            inputs=inputs,
            counts=count(latencies),
            sum_seconds=float(latencies.sum()),
            slowest_seconds=float(latencies.max()),
        )

    return counted


def _teller(plan: Plan, counted: Count, emit: Emit) -> Tell:
    """Tells of the timed part, between its blocks."""

    def tell(
        seconds: float,
        iterations: int,
        p50_seconds: float | None,
        latencies: NDArray[np.float64] | None,
    ) -> None:
        inside = min(1.0, WARMUP_SHARE + seconds / plan.budget_seconds)
        emit(
            ProgressEvent(
                phase=Phase.MEASURING,
                fraction=min(1.0, (plan.index + inside) / plan.repetitions),
                repetition=plan.index,
                repetitions=plan.repetitions,
                iterations=iterations,
                p50_seconds=p50_seconds,
                latencies=counted(latencies),
            )
        )

    return tell


def _settling(plan: Plan, stamps: Stamps, latencies: MeasuredLatencies | None) -> ProgressEvent:
    """The plan's time is over and the device is waited for; how long that takes nobody knows."""
    return ProgressEvent(
        phase=Phase.SETTLING,
        fraction=(plan.index + 1) / plan.repetitions,
        repetition=plan.index,
        repetitions=plan.repetitions,
        iterations=len(stamps),
        p50_seconds=stamps.recent_median_seconds(),
        latencies=latencies,
    )


def _at(phase: Phase, plan: Plan, inside: float = 0.0) -> ProgressEvent:
    return ProgressEvent(
        phase=phase,
        fraction=(plan.index + inside) / plan.repetitions,
        repetition=plan.index,
        repetitions=plan.repetitions,
    )
