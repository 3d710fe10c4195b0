"""A sustained repetition goes on until its device has settled: on our clock, then for real."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from profiler.base import Frozen
from profiler.commands import Prepared, Repeat, Repeated
from profiler.events import Phase, ProgressEvent, WorkerRequest
from profiler.forked import call_in_child
from profiler.repetition import repeat
from profiler.runner import Runner
from profiler.scenarios.live_state import DeviceState
from profiler.scenarios.settling import HOLD_SECONDS, Settling
from profiler.sensors.trace import Series
from profiler.spec import Runtime, Scenario, StopSpec
from tests.builders import make_spec
from tests.fake_model import REQUEST, FakeAdapter, default_plan

CALL_NS = 5_000_000
BUDGET_SECONDS = 10.0


class Clock:
    """Virtual nanoseconds: only the model takes time."""

    def __init__(self) -> None:
        self.now = 0

    def ns(self) -> int:
        return self.now

    def seconds(self) -> float:
        return self.now / 1e9


class Device:
    """What the sampler would say; ``verdict`` is asked for the seconds since the load began."""

    def __init__(self, clock: Clock, verdict: Callable[[float], bool | None]) -> None:
        self._clock = clock
        self._verdict = verdict
        self.began: float | None = None

    def begin_load(self) -> None:
        self.began = self._clock.seconds()

    def read(self) -> DeviceState | None:
        assert self.began is not None
        now = self._clock.seconds()
        verdict = self._verdict(now - self.began)
        if verdict is None:
            return DeviceState(seconds=now, settled=True, unknown="no sensors")
        return DeviceState(seconds=now, settled=verdict)


class Measured(Frozen):
    seconds: float
    converged: bool
    phases: tuple[Phase, ...]
    fractions: tuple[float, ...]


def sustained(
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
    verdict: Callable[[float], bool | None] | None,
    *,
    settle_seconds: float = 600.0,
) -> Measured:
    """Seconds of warm-up and timed part, and what was told."""
    clock = Clock()
    monkeypatch.setattr("profiler.repetition.perf_counter_ns", clock.ns)
    monkeypatch.setattr("profiler.timed_part.perf_counter_ns", clock.ns)
    monkeypatch.setattr("profiler.repetition.perf_counter", clock.seconds)
    from profiler import repetition, timing

    def block(call: Any, synchronize: Any, until_ns: int, stamps: Any) -> None:
        timing.timed_block(call, synchronize, until_ns, stamps, clock.ns)

    monkeypatch.setattr(repetition, "timed_block", block)

    def call() -> None:
        clock.now += CALL_NS

    events: list[ProgressEvent] = []
    plan = default_plan(
        path,
        scenario=Scenario.SUSTAINED,
        repetitions=1,
        budget_seconds=BUDGET_SECONDS,
        settle_seconds=settle_seconds,
        stop=StopSpec(),
    )
    device: Any = Device(clock, verdict) if verdict is not None else None

    def measure() -> Measured:
        report = repeat(FakeAdapter(call), REQUEST, plan, events.append, device)
        return Measured(
            seconds=report.measured_seconds,
            converged=report.converged,
            phases=tuple(phase for phase, _ in itertools.groupby(e.phase for e in events)),
            fractions=tuple(e.fraction for e in events),
        )

    # repeat() turns the collector off for good.
    return call_in_child(measure, Measured, "it")


def test_it_goes_on_until_the_device_has_settled_and_stayed_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = sustained(tmp_path / "r.npz", monkeypatch, lambda seconds: seconds > 100)
    assert found.seconds == pytest.approx(100 + HOLD_SECONDS, abs=0.6)
    assert found.phases[-1] is Phase.SETTLING
    assert max(found.fractions) <= 1


def test_a_device_that_settles_early_is_measured_for_all_of_its_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("profiler.scenarios.waiting.HOLD_SECONDS", 3.0)
    found = sustained(tmp_path / "r.npz", monkeypatch, lambda seconds: seconds > 5)
    assert found.seconds == pytest.approx(BUDGET_SECONDS, abs=0.01)
    assert Phase.SETTLING not in found.phases
    # Calls that are all alike are as narrow as anybody asks for, whatever ended them.
    assert found.converged


def test_at_the_limit_it_ends_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = sustained(tmp_path / "r.npz", monkeypatch, lambda _: False, settle_seconds=50)
    assert found.seconds == pytest.approx(50, abs=0.01)


@pytest.mark.parametrize("limit", [0.0, 5.0])
def test_a_limit_below_the_budget_is_no_limit_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: float
) -> None:
    found = sustained(tmp_path / "r.npz", monkeypatch, lambda _: False, settle_seconds=limit)
    assert found.seconds == pytest.approx(BUDGET_SECONDS, abs=0.01)


@pytest.mark.parametrize("verdict", [None, lambda _: None])
def test_a_device_without_sensors_is_measured_for_its_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verdict: Callable[[float], bool | None] | None
) -> None:
    found = sustained(tmp_path / "r.npz", monkeypatch, verdict)
    assert found.seconds == pytest.approx(BUDGET_SECONDS, abs=0.01)


def test_a_sampler_that_is_lost_in_the_middle_ends_the_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = sustained(
        tmp_path / "r.npz", monkeypatch, lambda seconds: False if seconds < 40 else None
    )
    assert found.seconds == pytest.approx(40, abs=0.6)


# From here on the worker, the sampler and, where the engine allows it, the repetition are real.

LOAD_SECONDS = 1.0
SETTLE_SECONDS = 30.0


class Waited(Frozen):
    repeated: Repeated
    other_process: bool


@pytest.mark.parametrize("forkable", [True, False])
@pytest.mark.parametrize("settles", [True, False])
def test_the_samplers_verdict_reaches_the_repetition(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, forkable: bool, settles: bool
) -> None:
    began = tmp_path / "began"

    def judged(traces: Sequence[Series], now: float, since: float) -> Settling:
        del traces
        began.write_text(f"{os.getpid()} {since}")
        if settles and now - since > LOAD_SECONDS:
            return Settling(settled=True)
        return Settling(settled=False, waiting_for=("x",))

    monkeypatch.setattr("profiler.scenarios.settling.settling", judged)
    monkeypatch.setattr("profiler.scenarios.waiting.HOLD_SECONDS", 0.2)
    adapter = FakeAdapter(lambda: time.sleep(0.002))
    adapter.forkable = forkable
    spec = make_spec(
        runtime=Runtime.ONNXRUNTIME, scenario=Scenario.SUSTAINED, repetitions=1, sentinel=False
    )
    request = WorkerRequest(
        run_id="r", device="here", spec=spec, cache_dir=tmp_path, work_dir=tmp_path
    )

    def worker() -> Waited:
        subject = Runner(lambda _: None)
        subject._engines[Runtime.ONNXRUNTIME] = adapter
        answer = subject.carry_out(
            Repeat(
                request=request,
                prepared=Prepared(converted=None, preflight=None, phases_seconds={}),
                index=0,
                position=0,
                # Long enough for the first verdict.
                budget_seconds=0.8,
                least_seconds=0.8,
                settle_seconds=SETTLE_SECONDS if settles else 2.5,
            )
        )
        assert isinstance(answer, Repeated)
        pid = int(began.read_text().split()[0])
        return Waited(repeated=answer, other_process=pid != os.getpid())

    found = call_in_child(worker, Waited, "the worker")
    assert found.other_process
    seconds = found.repeated.report.measured_seconds
    if settles:
        assert LOAD_SECONDS < seconds < SETTLE_SECONDS
    else:
        assert seconds >= 2.5
