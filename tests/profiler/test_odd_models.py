"""Models that misbehave: each is a result with flags, or a clear failure."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from profiler.commands import MemoryMeasured, Prepared, Repeated, Summarise
from profiler.errors import ModelError
from profiler.events import WorkerRequest
from profiler.forked import call_in_child
from profiler.plan import RepetitionReport
from profiler.result import RunResult
from profiler.runtimes.base import LoadedModel
from profiler.spec import StopSpec
from profiler.summary import samples_path, summarise
from tests.builders import NOW, make_spec
from tests.fake_model import REQUEST, FakeAdapter, FakeModel, default_plan, run

SECONDS = 0.6


def measured(
    work: Path, call: Callable[[], Any], repetitions: int = 2, **changes: Any
) -> RunResult:
    """The result of a run of this model, from real repetitions."""
    spec = make_spec(
        repetitions=repetitions, sample_hertz=0, stop={"min_seconds": 0.1, "min_iterations": 20}
    )
    repeated = []
    for index in range(repetitions):
        plan = default_plan(
            samples_path(work, index),
            index=index,
            repetitions=repetitions,
            budget_seconds=SECONDS,
            stop=spec.stop,
            **changes,
        )
        report = run(plan, call)
        repeated.append(Repeated(report=report, other_share=0.0, seconds=SECONDS, spent=False))
    command = Summarise(
        request=WorkerRequest(
            run_id="odd", device="here", spec=spec, cache_dir=work, work_dir=work
        ),
        prepared=Prepared(converted=None, preflight=None, phases_seconds={}),
        repeated=tuple(repeated),
        memory=MemoryMeasured(memory=None, reason="not asked for", seconds=0.0),
        order_seed=0,
        started_at=NOW,
    )
    return summarise(command, "0")


def names(result: RunResult) -> set[str]:
    return {flag.name for flag in result.flags}


def test_random_latency_is_not_converged(tmp_path: Path) -> None:
    draw = random.Random(4)
    found = measured(tmp_path, lambda: time.sleep(draw.choice((0.001, 0.002, 0.02, 0.04))))
    assert "not_converged" in names(found)
    assert found.latency is not None
    assert found.latency.p99 is None


def test_growing_latency_is_flagged_and_kept(tmp_path: Path) -> None:
    calls = 0

    def call() -> None:
        nonlocal calls
        calls += 1
        time.sleep(0.0005 + 0.0002 * calls)

    found = measured(tmp_path, call)
    assert {"not_steady", "not_converged"} <= names(found)
    assert found.latency is not None
    assert found.latency.n > 20


def test_one_that_leaks_memory_with_each_call_is_measured(tmp_path: Path) -> None:
    held: list[bytearray] = []
    found = measured(tmp_path, lambda: held.append(bytearray(10_000)))
    assert found.latency is not None
    assert found.latency.n > 1000
    assert held == []  # it was another process's memory


def test_one_of_microseconds_has_its_clock_accounted_for(tmp_path: Path) -> None:
    def call() -> None:
        end = time.perf_counter_ns() + 20_000
        while time.perf_counter_ns() < end:
            pass

    found = measured(tmp_path, call)
    assert "clock_overhead" in names(found)
    assert found.latency is not None
    assert found.latency.p50 is not None
    assert found.latency.n > 1000
    assert found.clock_overhead_seconds is not None
    # Subtracted, and never below nothing.
    assert 0 < found.latency.minimum < 25e-6


def test_one_call_longer_than_the_whole_budget(tmp_path: Path) -> None:
    found = measured(tmp_path, lambda: time.sleep(0.7))
    assert found.latency is not None
    # The warm-up takes one, the time is over, and one is measured all the same in each process.
    assert found.latency.n == 2
    assert found.latency.p50 is not None
    assert found.latency.p50.value >= 0.7
    assert found.latency.p90 is None
    assert found.latency.p90_reason
    assert "not_steady" in names(found)


def test_one_that_starts_threads_is_measured(tmp_path: Path) -> None:
    def call() -> None:
        for _ in range(3):
            threading.Thread(target=time.sleep, args=(0.05,), daemon=True).start()
        time.sleep(0.001)

    found = measured(tmp_path, call)
    assert found.latency is not None
    assert found.latency.n > 10


def test_outputs_that_share_memory_with_inputs_change_nothing(tmp_path: Path) -> None:
    data = np.ones(1000, dtype=np.float32)

    def call() -> Any:
        # In place: its answer is its input, doubled again at each call until it overflows.
        with np.errstate(over="ignore"):
            return np.multiply(data, 2, out=data)

    found = measured(tmp_path, call)
    assert found.latency is not None
    assert data.sum() == 1000


def test_one_that_raises_after_a_while_is_its_own_failure(tmp_path: Path) -> None:
    calls = 0

    def call() -> None:
        nonlocal calls
        calls += 1
        time.sleep(0.001)
        if calls == 40:
            raise RuntimeError("the cache is full")

    with pytest.raises(ModelError, match="RuntimeError: the cache is full"):
        measured(tmp_path, call)


class _Asynchronous(FakeModel):
    """An accelerator: calls return at once, the work is done when it is waited for."""

    def __init__(self) -> None:
        super().__init__(self._launch)
        self._pending = 0

    def _launch(self) -> None:
        self._pending += 1

    @property
    def synchronize(self) -> Callable[[], None]:  # type: ignore[override]
        return self._wait

    def _wait(self) -> None:
        time.sleep(0.004 * self._pending)
        self._pending = 0


class _Accelerator(FakeAdapter):
    def load(self, request: Any) -> LoadedModel:
        return _Asynchronous()


def test_a_missing_synchronisation_would_show(tmp_path: Path) -> None:
    """Without the wait inside the timed region the median would be microseconds."""
    plan = default_plan(tmp_path / "r.npz", budget_seconds=SECONDS, stop=StopSpec())
    adapter = _Accelerator(lambda: None)

    def once() -> RepetitionReport:
        from profiler.repetition import repeat

        return repeat(adapter, REQUEST, plan, lambda _: None)

    found = call_in_child(once, RepetitionReport, "it")
    assert found.figures.median_seconds >= 0.004
    assert found.figures.first_inference_seconds >= 0.004


def test_a_slow_beginning_stays_out_of_the_figures(tmp_path: Path) -> None:
    """Warm-up left in would move the upper percentiles at least."""
    calls = 0

    def call() -> None:
        nonlocal calls
        calls += 1
        time.sleep(0.05 if calls <= 4 else 0.002)

    found = measured(tmp_path, call)
    assert found.latency is not None
    assert found.latency.p90 is not None
    assert found.latency.p90.value < 0.04
