"""The timed part of a repetition, by scenario; all of them between the edges of the sentinel."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter_ns

import numpy as np
from numpy.typing import NDArray

from profiler import stop
from profiler.blocks import TimedBlocks
from profiler.contention import read_counters
from profiler.errors import ModelError
from profiler.plan import OfflineBlock, Plan
from profiler.result import ServerReport
from profiler.runtimes.base import LoadedModel
from profiler.samples import Blocks, Iterations, Recording, SentinelSlices
from profiler.scenarios import offline, rate_search, served_file, trial
from profiler.scenarios.live_state import DeviceState
from profiler.scenarios.served import Served, join
from profiler.scenarios.server import Server, stretches
from profiler.scenarios.waiting import Waited
from profiler.sentinel import Sentinel
from profiler.shifts import Shifts, shifts_for
from profiler.spec import Scenario, StopSpec
from profiler.stamps import Stamps
from profiler.timing import timed_block

# A server's stretches end with no call waiting; then there is time for the sentinel.
STRETCH_SECONDS = 0.5
# Of the time, where no rate meets the bound and some rate has to be shown.
EASY_UTILIZATION = 0.3
# From fewer calls no service time is told.
LEAST_WARMUP_CALLS = 5


@dataclass(frozen=True)
class TimedPart:
    """What a scenario gives.

    Attributes:
        recording: raw data, warm-up included.
        iterations: that count.
        median_seconds: of them; in ``offline`` the time per call.
        converged: the stop rule was satisfied.
        offline: blocks of that scenario.
        search: of the scenario ``server`` with a bound.
        shifted_seconds: pauses between blocks that break the step with a sensor.
    """

    recording: Recording
    iterations: int
    median_seconds: float
    converged: bool
    offline: tuple[OfflineBlock, ...] = ()
    search: ServerReport | None = None
    shifted_seconds: float = 0.0


@dataclass(frozen=True)
class Situation:
    """A loaded, warm model and how long it may be measured.

    Attributes:
        warmup: stamps of the lead-in.
        seconds: for the timed part.
        tell: how far it is: share of the seconds, calls so far, their recent median in seconds,
            and the seconds of the calls since it was told last; ``None`` where none is timed.
        load_began_ns: of ``perf_counter_ns``, when the warm-up began.
        device: the last verdict on clocks and temperatures; ``None`` where nobody judges them.
        tell_settling: that the time is over and the device is waited for; and, as above, what is
            new.
    """

    loaded: LoadedModel
    plan: Plan
    warmup: Stamps
    seconds: float
    sentinel: Sentinel | None
    tell: Callable[[float, int, float | None, NDArray[np.float64] | None], None]
    load_began_ns: int = 0
    device: Callable[[], DeviceState | None] | None = None
    tell_settling: Callable[[Stamps, NDArray[np.float64]], None] = lambda _stamps, _new: None


def measure(now: Situation) -> TimedPart:
    """The timed part of the plan's scenario.

    Raises:
        RunFailure: the model does not run, or nothing can be measured in the time.
    """
    parts = {
        Scenario.SINGLE_STREAM: _single_stream,
        Scenario.SUSTAINED: _sustained,
        Scenario.OFFLINE: _offline,
        Scenario.SERVER: _server,
    }
    return parts[now.plan.scenario](_after_opening_edge(now))


def _after_opening_edge(now: Situation) -> Situation:
    """The situation with what the edges leave of its seconds: the last takes as long as the first.

    At least half of them: where there is hardly time, it is the model's.
    """
    if now.sentinel is None:
        return now
    start = perf_counter_ns()
    now.sentinel.edge()
    both = 2 * (perf_counter_ns() - start) / 1e9
    return replace(now, seconds=max(now.seconds / 2, now.seconds - both))


def _closing_edge(now: Situation) -> None:
    if now.sentinel is not None:
        now.sentinel.edge()


def _slices(now: Situation) -> SentinelSlices:
    return SentinelSlices.of(now.plan.index, now.sentinel.slices if now.sentinel else [])


class _Enough:
    """The stop rule of one repetition, asked between blocks."""

    def __init__(self, spec: StopSpec, start_ns: int) -> None:
        self.converged = False
        self._spec = spec
        self._start_ns = start_ns
        self._next = stop.first_check(spec)

    def __call__(self, stamps: Stamps) -> bool:
        if not self._spec.relative_half_width:
            return False
        elapsed = (stamps[-1][1] - self._start_ns) / 1e9
        if len(stamps) < self._next or elapsed < self._spec.min_seconds:
            return False
        self._next = stop.next_check(self._spec, len(stamps))
        self.converged = stop.judge(stamps.seconds(), self._spec).enough
        return self.converged


def _single_stream(now: Situation) -> TimedPart:
    shifts = _shifts(now)
    blocks = _blocks(now, shifts)
    start = perf_counter_ns()
    enough = _Enough(now.plan.stop, start)
    news = _News(now, start)

    def between(stamps: Stamps) -> bool:
        news.tell(stamps)
        return enough(stamps)

    blocks.run(max(0.0, now.seconds), between)
    return _one_by_one(now, blocks, shifts, converged=enough.converged)


def _sustained(now: Situation) -> TimedPart:
    """All of the time, since sustained load is about what comes later; then until it settled."""
    shifts = _shifts(now)
    blocks = _blocks(now, shifts)
    start = perf_counter_ns()
    waited = Waited(now.device)
    news = _News(now, start)

    def between(stamps: Stamps) -> bool:
        news.tell(stamps)
        waited.look(perf_counter_ns())
        return False

    blocks.run(max(0.0, now.seconds), between)
    limit_ns = now.load_began_ns + int(now.plan.settle_seconds * 1e9)

    def settled(stamps: Stamps) -> bool:
        now.tell_settling(stamps, news.new(stamps))
        return not waited.look(perf_counter_ns())

    if perf_counter_ns() < limit_ns and waited.look(perf_counter_ns()):
        blocks.run((limit_ns - perf_counter_ns()) / 1e9, settled)
    # Nothing is ended by it, but whether the figure is as narrow as was asked for is told.
    enough = stop.judge(blocks.counted().seconds(), now.plan.stop).enough
    return _one_by_one(now, blocks, shifts, converged=enough)


def _blocks(now: Situation, shifts: Shifts | None) -> TimedBlocks:
    return TimedBlocks(
        now.loaded.call,
        now.loaded.synchronize,
        timer=now.loaded.device_timer,
        sentinel=now.sentinel,
        pause=shifts,
        clock=perf_counter_ns,
    )


class _News:
    """Tells between blocks how far it is, and of each iteration once."""

    def __init__(self, now: Situation, start_ns: int) -> None:
        self._now = now
        self._start_ns = start_ns
        self._told = 0

    def tell(self, stamps: Stamps) -> None:
        seconds = (stamps[-1][1] - self._start_ns) / 1e9
        self._now.tell(seconds, len(stamps), stamps.recent_median_seconds(), self.new(stamps))

    def new(self, stamps: Stamps) -> NDArray[np.float64]:
        """Seconds of the iterations since the last."""
        found = stamps[self._told :].seconds()
        self._told = len(stamps)
        return found


def _one_by_one(
    now: Situation, blocks: TimedBlocks, shifts: Shifts | None, *, converged: bool
) -> TimedPart:
    _closing_edge(now)
    counted = blocks.counted()
    return TimedPart(
        recording=blocks.recording(now.plan.index, now.warmup),
        iterations=len(counted),
        median_seconds=float(np.median(counted.seconds())),
        converged=converged,
        shifted_seconds=shifts.seconds if shifts is not None else 0.0,
    )


def _shifts(now: Situation) -> Shifts | None:
    """Pauses, where the warm-up's calls kept in step with a sensor."""
    if not now.plan.looks_every_seconds or not now.warmup:
        return None
    call = float(np.median(_warm_seconds(now)))
    return shifts_for(call, now.plan.looks_every_seconds, now.plan.seed + now.plan.index)


def _warm_seconds(now: Situation) -> NDArray[np.float64]:
    """Latencies of the warm-up's later half, in measured order; a few calls where it was short."""
    stamps = now.warmup[len(now.warmup) // 2 :]
    while len(stamps) < LEAST_WARMUP_CALLS:
        timed_block(now.loaded.call, now.loaded.synchronize, 0, stamps, perf_counter_ns)
    return stamps.seconds()


def _offline(now: Situation) -> TimedPart:
    latency = float(np.median(_warm_seconds(now)))
    seconds = offline.block_seconds(latency, now.seconds)
    most = offline.most_calls(latency, seconds)
    found: list[OfflineBlock] = []
    before, after = [], []
    end = perf_counter_ns() + int(now.seconds * 1e9)
    start = perf_counter_ns()
    while not found or perf_counter_ns() < end:
        before.append(read_counters())
        until = min(perf_counter_ns() + int(seconds * 1e9), end)
        block = offline.offline_block(
            now.loaded.call, now.loaded.synchronize, until, perf_counter_ns, most
        )
        after.append(read_counters())
        found.append(OfflineBlock(**block._asdict()))
        calls = sum(each.calls for each in found)
        now.tell((block.end_ns - start) / 1e9, calls, None, None)
        if now.sentinel is not None:
            now.sentinel.between()
    _closing_edge(now)
    spans = [(each.start_ns, each.end_ns) for each in found]
    return TimedPart(
        recording=Recording(
            Iterations.from_stamps(now.plan.index, now.warmup, []),
            Blocks.of(now.plan.index, spans, before, after),
            _slices(now),
        ),
        iterations=calls,
        median_seconds=sum(b - a for a, b in spans) / 1e9 / calls,
        converged=True,
        offline=tuple(found),
    )


def _server(now: Situation) -> TimedPart:
    spec = now.plan.server
    assert spec is not None  # noqa: S101 - the spec of this scenario has one
    server = Server(
        now.loaded.call, now.loaded.synchronize, seed=now.plan.seed, repetition=now.plan.index
    )
    before = read_counters()
    report = None
    rate = spec.rate_per_second or now.plan.server_rate_per_second
    if rate is None:
        goal = rate_search.Goal(spec.percentile, spec.latency_bound_seconds or 0.0, now.seconds)
        answer = rate_search.search(server.offer, _warm_seconds(now), goal)
        report, found = answer.report, answer.served
        if found is None:
            # No rate can meet the bound; the report says why. Latencies at an easy one are better
            # than none.
            rate = EASY_UTILIZATION / float(_warm_seconds(now).mean())
            report = report.model_copy(update={"rate_per_second": rate})
            found = _served_at(now, server, rate)
        served = found
    else:
        served = _served_at(now, server, rate)
    after = read_counters()
    _closing_edge(now)
    served_file.save(served, served_path(now.plan.samples_path))
    done = Stamps.of(served.scheduled_ns, served.end_ns)
    if not len(done):
        raise ModelError(f"server: {trial.NO_CALLS}")
    span = (int(served.start_ns[0]), int(served.end_ns[-1]))
    return TimedPart(
        recording=Recording(
            Iterations.from_stamps(now.plan.index, now.warmup, done),
            Blocks.of(now.plan.index, [span], [before], [after]),
            _slices(now),
        ),
        iterations=len(done),
        median_seconds=float(np.median(served.latency_seconds())),
        converged=True,
        search=report,
    )


def _served_at(now: Situation, server: Server, rate: float) -> Served:
    parts: list[Served] = []
    start = perf_counter_ns()
    for part in stretches(server.offer, rate, now.seconds, STRETCH_SECONDS):
        parts.append(part)
        calls = sum(len(each.end_ns) for each in parts)
        latency = part.latency_seconds()
        recent = float(np.median(latency)) if len(latency) else None
        now.tell((perf_counter_ns() - start) / 1e9, calls, recent, latency)
        if now.sentinel is not None:
            now.sentinel.between()
    return join(parts)


def served_path(samples_path: Path) -> Path:
    """Where a repetition of the scenario ``server`` leaves its calls."""
    return samples_path.with_suffix(".served.npz")
