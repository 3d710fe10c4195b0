"""What measuring costs the measured: the sampler, and the fleet's processes on the device.

In one process, with one loaded model, short blocks alternate with the suspect held still (A) and
running (B), as A B B A or B A A B: what drifts steadily through the four cancels. The same blocks
with nothing changed are the control: what lies inside its interval cannot be told from nothing.
The cost passes when the *upper* 95 % bound is below 1 %, not when it fails to be seen.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from time import perf_counter_ns

import numpy as np

from profiler.comparing import log_ratio
from profiler.errors import DeviceError
from profiler.overhead.pause import Paused
from profiler.overhead.plan import OverheadMeasured, OverheadPlan, Round, Subject
from profiler.result import Interval, OverheadFigure
from profiler.runtimes.base import LoadRequest, RuntimeAdapter
from profiler.sensors.sampler import Sampler
from profiler.sensors.setup import ALL_SENSORS, SensorSetup
from profiler.sensors.site import HERE
from profiler.stamps import Stamps
from profiler.timing import Clock, timed_block

BLOCK_NS = 250_000_000
# A block's median is of at least so many iterations.
BLOCK_ITERATIONS = 8
# The first iterations after a change find the caches as the change left them.
LEAD_IN = 1
# The bound that has to hold.
PASSES_BELOW = 0.01
LEAST_ROUNDS = 10
# The sampler's first tick comes after one period.
READY_SECONDS = 5.0

_SAMPLERS = frozenset({Subject.SAMPLER, Subject.RECORDED})


class Bench:
    """Blocks of one loaded model.

    Args:
        call: one inference.
        synchronize: waits for the accelerator, or ``None``.
        clock: monotonic, nanoseconds.
    """

    def __init__(
        self,
        call: Callable[[], object],
        synchronize: Callable[[], None] | None,
        clock: Clock = perf_counter_ns,
    ) -> None:
        self._call = call
        self._synchronize = synchronize
        self._clock = clock

    def block(self) -> float:
        """Median latency of a block, in seconds."""
        stamps = Stamps()
        until = self._clock() + BLOCK_NS
        while len(stamps) < BLOCK_ITERATIONS + LEAD_IN or stamps[-1][1] < until:
            timed_block(self._call, self._synchronize, until, stamps, self._clock)
        return float(np.median(stamps[LEAD_IN:].seconds()))

    def round(
        self, subject: Subject, start: Callable[[], None], stop: Callable[[], None], first: bool
    ) -> Round:
        """Four blocks; ``first``: the subject runs in the outer ones."""
        still: list[float] = []
        running: list[float] = []
        for runs in (first, not first, not first, first):
            (start if runs else stop)()
            (running if runs else still).append(self.block())
        return Round(subject=subject, still=(still[0], still[1]), running=(running[0], running[1]))


def measure_overhead(
    adapter: RuntimeAdapter,
    request: LoadRequest,
    plan: OverheadPlan,
    progress: Callable[[float], None],
    sensors: SensorSetup = ALL_SENSORS,
) -> OverheadMeasured:
    """Measure all subjects, their rounds interleaved, in this process.

    Args:
        adapter: of the engine.
        request: of the model.
        plan: what to measure.
        progress: is told the part that is done.
        sensors: what the sampler of this device reads, as in a run.

    Raises:
        RunFailure: the model does not load or does not run, or a sampler does not start.
    """
    draw = random.Random(plan.seed)  # noqa: S311 - an order of measurement, not a secret
    with ExitStack() as stack:
        # Forked before the model is loaded, as in a run; and held still until their first round.
        paused = {Subject.SAMPLER: _paused_sampler(stack, plan.hertz, HERE, sensors)}
        if plan.recorded_root is not None:
            paused[Subject.RECORDED] = _paused_sampler(
                stack, plan.hertz, plan.recorded_root, ALL_SENSORS
            )
        if plan.fleet_pids:
            paused[Subject.FLEET] = stack.enter_context(Paused(plan.fleet_pids))
        loaded = adapter.load(request)
        bench = Bench(loaded.call, loaded.synchronize)
        _warm_up(bench, plan.warmup_seconds)
        rounds: list[Round] = []
        subjects: list[Subject] = [Subject.CONTROL, *paused]
        for subject in _SAMPLERS & set(paused):
            paused[subject].stop()
        for number in range(plan.rounds):
            for subject in draw.sample(subjects, len(subjects)):
                first = bool(draw.getrandbits(1))
                rounds += [_round(bench, subject, paused, first)]
            progress((number + 1) / plan.rounds)
    return OverheadMeasured(rounds=tuple(rounds))


def _paused_sampler(stack: ExitStack, hertz: float, root: Path, sensors: SensorSetup) -> Paused:
    """A sampler of the sources under ``root`` that is ready; ``stack`` ends it.

    Raises:
        DeviceError: it did not come to its first reading.
    """
    cpus = os.sched_getaffinity(0)
    sampler = Sampler.start_for(sensors, hertz=hertz, workload_cpus=cpus, root=root)
    stack.callback(sampler.stop)
    if not sampler.wait_ready(READY_SECONDS):
        raise DeviceError(f"the sampler of {root} took no reading in {READY_SECONDS:g} s")
    return stack.enter_context(Paused([sampler.pid]))


def _warm_up(bench: Bench, seconds: float) -> None:
    end = perf_counter_ns() + int(seconds * 1e9)
    while perf_counter_ns() < end:
        bench.block()


def _round(bench: Bench, subject: Subject, paused: dict[Subject, Paused], first: bool) -> Round:
    if subject == Subject.CONTROL:
        return bench.round(subject, _nothing, _nothing, first)
    found = paused[subject]
    try:
        return bench.round(subject, found.resume, found.stop, first)
    finally:
        # Between its rounds the fleet runs, as it does in every run, and no sampler does.
        (found.stop if subject in _SAMPLERS else found.resume)()


def _nothing() -> None:
    """The control changes nothing."""


def figures(rounds: Sequence[Round]) -> tuple[OverheadFigure, ...]:
    """Each subject's cost, relative to the latency at rest, with its 95 % bounds.

    Raises:
        ValueError: there are too few rounds for a bound.
    """
    by_subject: dict[Subject, list[float]] = {}
    for each in rounds:
        by_subject.setdefault(each.subject, []).append(each.log_ratio)
    if min(map(len, by_subject.values())) < LEAST_ROUNDS:
        raise ValueError(f"a bound needs {LEAST_ROUNDS} rounds of each")
    control = _relative(by_subject.pop(Subject.CONTROL))
    return tuple(
        OverheadFigure(
            what=what.value,
            relative=relative,
            pairs=2 * len(logs),
            control=control,
            passes=relative.high is not None and relative.high < PASSES_BELOW,
        )
        for what, logs in by_subject.items()
        for relative in [_relative(logs)]
    )


def _relative(logs: Sequence[float]) -> Interval:
    found = log_ratio.of_pairs(logs).interval()
    low = None if found.low is None else found.low - 1
    high = None if found.high is None else found.high - 1
    return Interval(value=found.value - 1, low=low, high=high)
