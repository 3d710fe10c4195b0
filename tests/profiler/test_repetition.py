"""A repetition: cold figures apart, a warm-up that can settle, and what was measured on disk."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from profiler.base import Frozen
from profiler.errors import ModelError
from profiler.events import Phase, ProgressEvent
from profiler.forked import call_in_child
from profiler.latency_buckets import bucket_of, shapes
from profiler.plan import RepetitionReport
from profiler.repetition import WARMUP_SHARE, repeat
from profiler.runtimes.base import LoadRequest
from profiler.samples import Blocks, Iterations, SentinelSlices
from profiler.sentinel import EDGE_SLICES
from profiler.spec import REPETITIONS, RunSpec, StopSpec, WarmupSpec
from tests.fake_model import REQUEST, FakeAdapter, FakeModel, default_plan, run

# Of one repetition, with the defaults.
SECONDS = RunSpec.model_fields["max_time_seconds"].default / REPETITIONS


class _Clock:
    """Virtual nanoseconds: only the model takes time."""

    def __init__(self) -> None:
        self.now = 0

    def ns(self) -> int:
        return self.now

    def seconds(self) -> float:
        return self.now / 1e9


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> _Clock:
    found = _Clock()
    monkeypatch.setattr("profiler.repetition.perf_counter_ns", found.ns)
    monkeypatch.setattr("profiler.timed_part.perf_counter_ns", found.ns)
    monkeypatch.setattr("profiler.repetition.perf_counter", found.seconds)
    from profiler import repetition, timing

    def block(call: Any, synchronize: Any, until_ns: int, stamps: Any) -> None:
        timing.timed_block(call, synchronize, until_ns, stamps, found.ns)

    monkeypatch.setattr(repetition, "timed_block", block)
    return found


def test_a_calm_model_is_found_steady_within_the_default_budget(
    tmp_path: Path, clock: _Clock
) -> None:
    def call() -> None:
        clock.now += 5_000_000

    found = run(default_plan(tmp_path / "r.npz"), call)
    assert found.steady
    assert found.figures.warmup_seconds < WARMUP_SHARE * SECONDS
    assert found.figures.iterations > 0


def test_a_model_that_keeps_getting_faster_is_not(tmp_path: Path, clock: _Clock) -> None:
    latency = 8_000_000.0

    def call() -> None:
        nonlocal latency
        latency *= 0.998
        clock.now += int(latency)

    found = run(default_plan(tmp_path / "r.npz"), call)
    assert not found.steady
    assert found.figures.warmup_seconds == pytest.approx(WARMUP_SHARE * SECONDS, abs=0.02)


def test_a_model_too_slow_for_two_windows_is_not(tmp_path: Path, clock: _Clock) -> None:
    def call() -> None:
        clock.now += 100_000_000

    found = run(default_plan(tmp_path / "r.npz"), call)
    assert not found.steady
    assert found.figures.iterations >= 1


def test_the_budget_is_kept_and_the_lead_in_is_marked(tmp_path: Path, clock: _Clock) -> None:
    def call() -> None:
        clock.now += 5_000_000

    path = tmp_path / "r.npz"
    found = run(default_plan(path), call)
    kept = Iterations.load(path)
    lead_ins = len(Blocks.load(path))  # one for each block: they have 50 iterations
    assert lead_ins > 1
    assert int(kept.warmup.sum()) == found.figures.warmup_iterations + lead_ins
    assert int((~kept.warmup).sum()) == found.figures.iterations
    total = found.figures.warmup_seconds + 0.005 * (found.figures.iterations + lead_ins)
    assert total == pytest.approx(SECONDS, abs=0.011)
    assert found.figures.median_seconds == pytest.approx(0.005)
    assert found.figures.first_inference_seconds == pytest.approx(0.005)
    # The first inference is a figure of its own and no row of the file.
    rows = found.figures.warmup_iterations + found.figures.iterations + lead_ins
    assert len(kept.latency_ns) == rows
    assert not found.converged


@pytest.mark.parametrize(("load_seconds", "left"), [(0.5, 1.5), (30.0, 1.0)])
def test_loading_is_part_of_the_time_but_leaves_some(
    tmp_path: Path, clock: _Clock, load_seconds: float, left: float
) -> None:
    def call() -> None:
        clock.now += 5_000_000

    class Slow(FakeAdapter):
        def load(self, request: LoadRequest) -> FakeModel:
            clock.now += int(load_seconds * 1e9)
            return super().load(request)

    plan = default_plan(tmp_path / "r.npz", budget_seconds=2.0, least_seconds=1.0)
    found = call_in_child(
        lambda: repeat(Slow(call), REQUEST, plan, lambda _: None), RepetitionReport, "it"
    )
    assert found.figures.load_seconds == load_seconds
    assert found.measured_seconds == pytest.approx(left, abs=0.02)


def test_it_ends_as_soon_as_the_median_is_known_well_enough(tmp_path: Path, clock: _Clock) -> None:
    def call() -> None:
        clock.now += 5_000_000

    spec = StopSpec(min_seconds=0.6)
    found = run(default_plan(tmp_path / "r.npz", stop=spec), call)
    assert found.converged
    measured = found.measured_seconds - found.figures.warmup_seconds
    # At the end of the block in which the least time was over.
    assert 0.6 <= measured <= 0.6 + 0.25


def test_a_latency_that_grows_is_measured_to_the_end_of_its_time(
    tmp_path: Path, clock: _Clock
) -> None:
    def call() -> None:
        clock.now += 5_000_000 + clock.now // 100

    found = run(default_plan(tmp_path / "r.npz", stop=StopSpec(min_seconds=1.0)), call)
    assert not found.converged


def test_the_sentinel_is_timed_before_between_and_after(tmp_path: Path) -> None:
    path = tmp_path / "r.npz"
    # How often there is one between two blocks hangs on how long a single slice took.
    plan = default_plan(path, sentinel=True, budget_seconds=6.0)
    found = run(plan, lambda: time.sleep(0.002))
    slices, blocks = SentinelSlices.load(path), Blocks.load(path)
    assert found.sentinel_kind is not None
    assert found.sentinel_kind.startswith("layers-3/")
    ends = slices.start_ns + slices.duration_ns
    # Fewer than that on a slow machine.
    at_edge = (ends <= blocks.start_ns[0]).sum()
    assert 1 <= at_edge <= EDGE_SLICES
    assert (slices.start_ns >= blocks.end_ns[-1]).sum() >= at_edge
    inside = (slices.start_ns > blocks.start_ns[0]) & (ends < blocks.end_ns[-1])
    assert inside.any()
    # None of them lies inside a block: they would be a part of its latencies.
    for start, end in zip(blocks.start_ns, blocks.end_ns, strict=True):
        assert not ((ends > start) & (slices.start_ns < end)).any()


@pytest.mark.parametrize(("budget", "expected"), [(2.0, 2.0 - 0.04), (0.15, 0.10 + 0.11 / 2)])
def test_what_the_sentinel_takes_at_the_edges_is_part_of_the_budget(
    tmp_path: Path, clock: _Clock, monkeypatch: pytest.MonkeyPatch, budget: float, expected: float
) -> None:
    class Work:
        kind = "virtual"

        def __call__(self) -> None:
            clock.now += 10_000_000

    def call() -> None:
        clock.now += 5_000_000

    monkeypatch.setattr("profiler.repetition.LayersWork", Work)
    plan = default_plan(
        tmp_path / "r.npz",
        sentinel=True,
        budget_seconds=budget,
        least_seconds=0.05,
        stop=StopSpec(relative_half_width=0.0),
        warmup=WarmupSpec(min_iterations=0, max_seconds=0),
    )
    # Four slices make it ready, before the model is warmed up; four, and one that is not kept, are
    # an edge. What hardly has room for those is measured for half of its time all the same.
    assert run(plan, call).measured_seconds == pytest.approx(expected, abs=0.011)


def test_no_warm_up_when_none_is_wanted(tmp_path: Path, clock: _Clock) -> None:
    def call() -> None:
        clock.now += 5_000_000

    plan = default_plan(tmp_path / "r.npz", warmup=WarmupSpec(min_iterations=0, max_seconds=0))
    found = run(plan, call)
    assert found.figures.warmup_iterations == 0
    assert found.steady


def test_one_iteration_longer_than_the_budget_is_still_a_measurement(
    tmp_path: Path, clock: _Clock
) -> None:
    def call() -> None:
        clock.now += 30_000_000_000

    found = run(default_plan(tmp_path / "r.npz"), call)
    assert found.figures.iterations == 1


class _Told(Frozen):
    events: tuple[ProgressEvent, ...]


def test_progress_only_grows_and_ends_with_the_repetition(tmp_path: Path, clock: _Clock) -> None:
    def call() -> None:
        clock.now += 5_000_000

    plan = default_plan(tmp_path / "r.npz", index=1, repetitions=2)

    def told() -> _Told:
        events: list[ProgressEvent] = []
        repeat(FakeAdapter(call), REQUEST, plan, events.append)
        return _Told(events=tuple(events))

    events = call_in_child(told, _Told, "it").events
    assert events[0].phase is Phase.LOADING
    assert {e.phase for e in events} == {Phase.LOADING, Phase.WARMUP, Phase.MEASURING}
    fractions = [e.fraction for e in events]
    assert fractions == sorted(fractions)
    assert fractions[0] == 0.5
    assert 0.9 < fractions[-1] <= 1.0
    assert all(e.latencies is None for e in events if e.phase is not Phase.MEASURING)


def test_every_timed_iteration_is_told_of_once(tmp_path: Path, clock: _Clock) -> None:
    def call() -> None:
        clock.now += 5_000_000

    plan = default_plan(tmp_path / "r.npz")

    def told() -> _Told:
        events: list[ProgressEvent] = []
        repeat(FakeAdapter(call), REQUEST, plan, events.append)
        return _Told(events=tuple(events))

    events = call_in_child(told, _Told, "it").events
    blocks = [e.latencies for e in events if e.latencies is not None]
    assert len(blocks) > 1
    # Each of 5 ms, which is the bound of its bucket.
    assert {index for block in blocks for index in block.counts} == {bucket_of(0.005)}
    assert sum(sum(block.counts.values()) for block in blocks) == events[-1].iterations
    assert all(block.slowest_seconds == pytest.approx(0.005) for block in blocks)
    assert blocks[0].inputs == shapes([each.shape for each in FakeModel(call).inputs])


def test_a_model_that_raises_has_a_typed_failure(tmp_path: Path) -> None:
    def call() -> None:
        raise ValueError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(ModelError, match="ValueError: mat1 and mat2"):
        run(default_plan(tmp_path / "r.npz"), call)


def test_quiet_stretches_lie_before_the_warm_up_and_after_the_timed_part(tmp_path: Path) -> None:
    plan = default_plan(tmp_path / "r.npz").model_copy(
        update={"budget_seconds": 0.4, "idle_before_seconds": 0.05, "idle_after_seconds": 0.02}
    )
    found = run(plan, lambda: time.sleep(0.001))
    before, after = found.idle
    iterations = Iterations.load(tmp_path / "r.npz")
    ends = iterations.start_ns + iterations.latency_ns
    assert (before.when, after.when) == ("before", "after")
    assert before.end_seconds <= iterations.start_ns[0] / 1e9
    assert after.start_seconds >= ends[-1] / 1e9
    assert before.end_seconds - before.start_seconds >= 0.05
    assert after.end_seconds - after.start_seconds >= 0.02


def test_without_a_source_of_energy_no_time_is_spent_on_being_quiet(tmp_path: Path) -> None:
    assert run(default_plan(tmp_path / "r.npz"), lambda: time.sleep(0.001)).idle == ()
