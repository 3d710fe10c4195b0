"""One device's loop against a real store: whatever the device does, its runs come to an end."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from agents.coordinator.calls import AgentFailedError, StrangeResultError
from agents.coordinator.database import StoreFullError, migrate, open_engine
from agents.coordinator.device_loop import DeviceLoop, Timing
from agents.coordinator.expand import expand
from agents.coordinator.fleet import DeviceUnreachableError
from agents.coordinator.presence import Presence
from agents.coordinator.rows import DeviceRecord
from agents.coordinator.samples import SampleStore
from agents.coordinator.store import Store
from agents.messages import (
    AgentStatus,
    Assignment,
    AttemptKey,
    Axes,
    CurrentRun,
    DeviceState,
    Progress,
    Run,
    RunState,
    StartAnswer,
)
from profiler.errors import FleetmarkError
from profiler.events import Phase
from profiler.result import FailureKind, RunResult
from profiler.samples import Iterations
from profiler.spec import ArtifactRef
from tests.builders import make_artifact, make_registration, make_request, make_result

TIMING = Timing(idle=0.005, news=0.005, retry=0.005, lease=30.0)


class Device:
    """The agent on a device, as the loop sees it; tests move it."""

    def __init__(self) -> None:
        self.strange: set[str] = set()
        self.lock = threading.RLock()
        self.current: dict[AttemptKey, Progress] = {}
        self.outbox: dict[AttemptKey, tuple[RunResult, bytes | None]] = {}
        self.version = 0
        self.reachable = True
        self.up = False
        self.started: list[AttemptKey] = []
        self.assignments: list[Assignment] = []
        self.aborted: list[AttemptKey] = []
        self.acknowledged: list[AttemptKey] = []
        self.finish_at_once = True
        self.raw: bytes | None = None
        self.lose_next_start = False
        self.lose_next_acknowledgement = False

    def _reach(self) -> None:
        if not self.reachable:
            raise DeviceUnreachableError("no answer within 10 s")

    def ensure_agent(self, device_id: str) -> None:
        self._reach()
        self.up = True

    def status(self, device_id: str, wait_seconds: float, version: int) -> AgentStatus:
        self._reach()
        if not self.up:
            raise DeviceUnreachableError("its agent is not up yet")
        with self.lock:
            return AgentStatus(
                device_id=device_id,
                version=self.version,
                current=tuple(
                    CurrentRun(key=key, progress=progress) for key, progress in self.current.items()
                ),
                finished=tuple(self.outbox),
                cached_models=(),
            )

    def key(self) -> AttemptKey:
        """The first of those that take turns."""
        return next(iter(self.current))

    def start(self, device_id: str, assignment: Assignment) -> StartAnswer:
        self._reach()
        if self.lose_next_start:
            self.lose_next_start = False
            raise DeviceUnreachableError("no answer within 10 s")
        with self.lock:
            if self.current:
                return StartAnswer(outcome="busy")
            keys = [run.key for run in assignment.runs]
            self.current = dict.fromkeys(keys, Progress(phase=Phase.STARTING, fraction=0))
            self.version += 1
            self.started += keys
            self.assignments.append(assignment)
            if self.finish_at_once:
                for key in keys:
                    self.finish(key)
        return StartAnswer(outcome="accepted")

    def finish(self, key: AttemptKey | None = None, **changes: Any) -> None:
        with self.lock:
            key = key or self.key()
            values = {"run_id": key.run_id, "attempt": key.attempt} | changes
            self.outbox[key] = (make_result(**values), self.raw)
            del self.current[key]
            self.version += 1

    def restart(self) -> None:
        with self.lock:
            self.current = {}
            self.up = False
            self.version = 0

    def abort(self, device_id: str, key: AttemptKey) -> None:
        self._reach()
        with self.lock:
            self.aborted.append(key)
            if key in self.current:
                self.finish(key, status="cancelled")

    def fetch(self, device_id: str, key: AttemptKey) -> tuple[RunResult, bytes | None]:
        self._reach()
        if key.run_id in self.strange:
            raise StrangeResultError("the device's result is not understood (1 differences)")
        return self.outbox[key]

    def acknowledge(self, device_id: str, key: AttemptKey) -> None:
        self._reach()
        if self.lose_next_acknowledgement:
            self.lose_next_acknowledgement = False
            raise DeviceUnreachableError("no answer within 10 s")
        with self.lock:
            self.acknowledged.append(key)
            self.outbox.pop(key, None)


class FakeTransfers:
    """Brings models, or fails as it is told."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.sent: list[str] = []

    def send(self, device_id: str, model: ArtifactRef, show: Callable[[float], None]) -> None:
        show(0.5)
        if self.error is not None:
            raise self.error
        self.sent.append(model.digest)


async def _until(condition: Callable[[], bool]) -> None:
    for _ in range(10_000):
        if condition():
            return
        await asyncio.sleep(0.002)
    pytest.fail("it did not come about")


class World:
    def __init__(self, root: Path) -> None:
        self.engine = open_engine(f"sqlite:///{root / 'store.db'}")
        migrate(self.engine)
        self.store = Store(self.engine)
        self.record: DeviceRecord = self.store.register(make_registration())
        self.device = Device()
        self.samples = SampleStore(root / "samples")
        self.transfers = FakeTransfers()
        self.presence = Presence(lambda: datetime.now(timezone.utc))
        self.seconds = 0.0
        # One thread: a loop asks for one thing at a time, and ``drive`` waits for the last of them.
        self.executor = ThreadPoolExecutor(1)
        self.judged: list[str] = []
        self.judge: Callable[[str], None] = self.judged.append

    def submit(self, **changes: Any) -> tuple[Run, ...]:
        request = make_request(**changes)
        return self.store.add_job(request, expand(request, (self.record,)))[1]

    def state(self, run: Run) -> RunState:
        return self.store.run(run.id).state

    def drive(self, until: Callable[[], bool]) -> DeviceLoop:
        """A loop of its own, as a coordinator that has just started has, until ``until``."""

        async def main() -> DeviceLoop:
            loop = DeviceLoop(
                self.record.id,
                self.device,
                self.store,
                self.samples,
                self.transfers,  # type: ignore[arg-type]
                self.presence,
                self.executor,
                TIMING,
                lambda: self.seconds,
                judge=self.judge,
            )
            task = asyncio.create_task(loop.run())

            def done() -> bool:
                assert not task.done(), "the loop ended"
                loop.wake()
                return until()

            try:
                await _until(done)
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
            return loop

        loop = asyncio.run(main())
        # The loop was cancelled; what a thread did for it may still be under way.
        self.executor.submit(int).result()
        return loop

    def after_a_lease(self) -> bool:
        """Time goes on, a lease at a time."""
        self.seconds += 31.0
        return True


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    found = World(tmp_path)
    yield found
    found.executor.shutdown()
    found.engine.dispose()


def view(world: World) -> Any:
    return world.presence.view(world.record)


def test_jobs_are_done_one_after_the_other(world: World) -> None:
    runs = [*world.submit(), *world.submit(), *world.submit()]
    world.drive(lambda: all(world.state(run).final for run in runs))
    assert [key.run_id for key in world.device.started] == [run.id for run in runs]
    assert len(world.device.assignments) == 3
    assert {world.state(run) for run in runs} == {RunState.SUCCEEDED}
    assert len(world.device.acknowledged) == 3
    assert world.device.outbox == {}


def test_the_runs_of_a_job_are_handed_over_together(world: World) -> None:
    runs = world.submit(axes=Axes(batch_size=(1, 2, 4)))
    other = world.submit()
    world.drive(lambda: all(world.state(run).final for run in (*runs, *other)))
    first, second = world.device.assignments
    assert [(run.key.run_id, run.key.attempt) for run in first.runs] == [(r.id, 1) for r in runs]
    assert [run.spec for run in first.runs] == [run.spec for run in runs]
    assert (first.job_id, first.device) == (runs[0].job_id, "pi5-a")
    assert [run.key.run_id for run in second.runs] == [run.id for run in other]


def take_turns(world: World, count: int = 3) -> tuple[Run, ...]:
    """Runs that the device has begun together."""
    world.device.finish_at_once = False
    runs = world.submit(axes=Axes(batch_size=tuple(range(1, count + 1))))
    world.drive(lambda: {world.state(run) for run in runs} == {RunState.RUNNING})
    return runs


def attempt(run: Run, number: int = 1) -> AttemptKey:
    return AttemptKey(run_id=run.id, attempt=number)


def test_runs_that_take_turns_are_all_seen_to_run(world: World) -> None:
    first, second, _ = take_turns(world)
    waiting = Progress(phase=Phase.WAITING, fraction=0.2)
    measuring = Progress(phase=Phase.MEASURING, fraction=0.4)
    world.device.current.update({attempt(first): waiting, attempt(second): measuring})
    world.drive(lambda: world.presence.progress(second.id) == measuring)
    assert world.presence.progress(first.id) == waiting
    assert view(world).state is DeviceState.BUSY
    assert view(world).current_run_id == second.id


def test_a_run_that_fails_early_is_told_early_and_the_device_is_not_free(world: World) -> None:
    first, second, third = take_turns(world)
    (after,) = world.submit()
    world.device.finish(attempt(second))
    world.drive(lambda: world.state(second).final)
    assert world.presence.progress(second.id) is None
    assert {world.state(run) for run in (first, third)} == {RunState.RUNNING}
    assert view(world).state is DeviceState.BUSY
    assert world.state(after) is RunState.QUEUED
    world.device.finish(attempt(first))
    world.device.finish(attempt(third))
    world.drive(lambda: world.state(after) is RunState.RUNNING)
    assert {world.state(run) for run in (first, third)} == {RunState.SUCCEEDED}


def test_an_agent_that_restarts_among_turns_costs_what_it_had_not_finished(world: World) -> None:
    first, second, third = take_turns(world)
    world.device.finish(attempt(first))
    world.device.restart()
    world.device.finish_at_once = True
    world.drive(lambda: all(world.state(run).final for run in (first, second, third)))
    assert [world.store.run(run.id).attempt for run in (first, second, third)] == [1, 2, 2]
    # Each for itself: one of them may be why it restarted.
    assert [len(each.runs) for each in world.device.assignments] == [3, 1, 1]


def test_a_silent_device_loses_all_that_took_turns(world: World) -> None:
    runs = take_turns(world)
    world.device.reachable = False
    world.drive(
        lambda: world.after_a_lease() and {world.state(run) for run in runs} == {RunState.QUEUED}
    )
    # It worked on, and comes back with one of them done and the others under way.
    world.device.finish(attempt(runs[1]))
    world.device.reachable = True
    world.drive(lambda: world.state(runs[1]).final)
    assert world.store.run(runs[1].id).attempt == 1
    world.device.finish_at_once = True
    world.drive(lambda: all(world.state(run).final for run in runs))
    assert {key.run_id for key in world.device.aborted} == {runs[0].id, runs[2].id}
    assert [world.store.run(run.id).attempt for run in runs] == [2, 1, 2]
    assert {world.state(run) for run in runs} == {RunState.SUCCEEDED}


def test_a_coordinator_that_was_killed_finds_all_that_take_turns(world: World) -> None:
    runs = take_turns(world)
    world.device.finish(attempt(runs[2]))
    # ``drive`` starts a new loop each time: nothing of the old one is left but the store.
    world.drive(lambda: world.state(runs[2]).final)
    for run in runs[:2]:
        world.device.finish(attempt(run))
    world.drive(lambda: all(world.state(run).final for run in runs))
    assert [world.store.run(run.id).attempt for run in runs] == [1, 1, 1]
    assert len(world.device.assignments) == 1


def test_a_model_that_cannot_be_sent_fails_all_that_were_to_take_turns(world: World) -> None:
    world.transfers.error = FileNotFoundError(2, "No such file", "models/aa/aaaa")
    runs = world.submit(
        model=make_artifact(), axes=Axes(runtime=("onnxruntime",), batch_size=(1, 2))
    )
    world.drive(lambda: all(world.state(run).final for run in runs))
    assert {world.state(run) for run in runs} == {RunState.FAILED}
    assert world.device.assignments == []


def test_a_model_is_sent_once_for_all_that_take_turns(world: World) -> None:
    runs = world.submit(
        model=make_artifact(), axes=Axes(runtime=("onnxruntime",), batch_size=(1, 2))
    )
    world.drive(lambda: all(world.state(run).final for run in runs))
    assert world.transfers.sent == ["a" * 64]
    assert len(world.device.assignments) == 1


def test_a_run_is_seen_to_run(world: World) -> None:
    world.device.finish_at_once = False
    (run,) = world.submit()
    world.drive(lambda: world.state(run) is RunState.RUNNING)
    world.device.current[attempt(run)] = Progress(phase=Phase.MEASURING, fraction=0.4)
    world.drive(
        lambda: (p := world.presence.progress(run.id)) is not None and p.phase is Phase.MEASURING
    )
    assert view(world).state is DeviceState.BUSY
    assert view(world).current_run_id == run.id
    world.device.finish()
    world.drive(lambda: world.state(run).final and view(world).state is DeviceState.ONLINE)
    assert world.presence.progress(run.id) is None


def test_raw_iterations_come_along(world: World, tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    Iterations.from_stamps(0, [], [(0, 10), (10, 20)]).save(path)
    world.device.raw = path.read_bytes()
    (run,) = world.submit()
    world.drive(lambda: world.state(run).final)
    assert world.samples.path(run.id, 1).exists()


def test_unreadable_iterations_cost_the_iterations_only(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.device.raw = b"nonsense"
    first, second = world.submit(axes=Axes(batch_size=(1, 2)))
    world.drive(lambda: world.state(second).final)
    assert world.state(first) is RunState.SUCCEEDED
    assert not world.samples.path(first.id, 1).exists()
    assert "unreadable iterations" in caplog.text


def test_a_device_that_comes_back_in_time_goes_on(world: World) -> None:
    world.device.finish_at_once = False
    (run,) = world.submit()
    world.drive(lambda: world.state(run) is RunState.RUNNING)
    world.device.reachable = False
    world.seconds = 29.0
    world.drive(lambda: view(world).state is DeviceState.OFFLINE)
    assert view(world).state_reason == "no answer within 10 s"
    assert world.state(run) is RunState.RUNNING
    world.device.reachable = True
    world.device.finish()
    world.drive(lambda: world.state(run).final)
    assert world.state(run) is RunState.SUCCEEDED
    assert world.store.run(run.id).attempt == 1


def test_a_device_that_is_silent_for_too_long_loses_its_run_and_gets_it_again(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.device.finish_at_once = False
    (run,) = world.submit()

    world.drive(lambda: world.state(run) is RunState.RUNNING)
    world.device.reachable = False
    world.drive(lambda: world.after_a_lease() and world.state(run) is RunState.QUEUED)
    assert "the device was silent for" in (world.store.run(run.id).reason or "")
    # It worked on, and finishes after the run was given up.
    world.device.finish()
    world.device.reachable = True
    world.drive(lambda: world.state(run).final)
    assert world.state(run) is RunState.SUCCEEDED
    assert world.store.run(run.id).attempt == 1
    assert world.store.late_results(run.id) == 0


def test_a_late_result_is_kept_apart_and_the_newest_attempt_counts(world: World) -> None:
    world.device.finish_at_once = False
    (run,) = world.submit()
    world.drive(lambda: world.state(run) is RunState.RUNNING)
    old = world.device.key()
    world.device.restart()
    world.drive(lambda: world.store.run(run.id).attempt == 2 and bool(world.device.current))
    # What was thought lost had been in the outbox of the old agent after all.
    world.device.outbox[old] = (make_result(run_id=run.id, attempt=1), None)
    world.drive(lambda: world.store.late_results(run.id) == 1)
    assert not world.state(run).final
    world.device.finish()
    world.drive(lambda: world.state(run).final)
    result = world.store.result(run.id)
    assert result is not None
    assert result.attempt == 2
    assert world.device.outbox == {}


def test_an_agent_that_restarted_gets_the_run_again(world: World) -> None:
    world.device.finish_at_once = False
    (run,) = world.submit()
    world.drive(lambda: world.state(run) is RunState.RUNNING)
    world.device.restart()
    world.device.finish_at_once = True
    world.drive(lambda: world.state(run).final)
    assert [key.attempt for key in world.device.started] == [1, 2]
    assert world.state(run) is RunState.SUCCEEDED


def test_an_agent_that_always_restarts_is_not_asked_for_ever(world: World) -> None:
    world.device.finish_at_once = False
    (run,) = world.submit(max_attempts=3)

    def restart_whenever_it_runs() -> bool:
        if world.state(run) is RunState.RUNNING:
            world.device.restart()
        return world.state(run).final

    world.drive(restart_whenever_it_runs)
    assert world.state(run) is RunState.FAILED
    result = world.store.result(run.id)
    assert result is not None
    assert result.error is not None
    assert result.error.kind is FailureKind.LOST
    assert len(world.device.started) == 3


def test_a_start_that_was_lost_is_made_good(world: World) -> None:
    world.device.lose_next_start = True
    (run,) = world.submit()
    world.drive(lambda: world.state(run).final)
    assert world.state(run) is RunState.SUCCEEDED


def test_an_acknowledgement_that_was_lost_counts_nothing_twice(world: World) -> None:
    world.device.lose_next_acknowledgement = True
    (run,) = world.submit()
    world.drive(lambda: world.state(run).final and not world.device.outbox)
    assert len(world.store.results(10)) == 1
    assert world.store.late_results(run.id) == 0


def test_every_result_that_counts_is_judged_once(world: World) -> None:
    (run,) = world.submit()
    world.device.lose_next_acknowledgement = True
    world.drive(lambda: len(world.device.acknowledged) == 1)
    assert world.judged == [run.id]


def test_a_judge_that_fails_costs_the_verdict_and_nothing_else(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(run_id: str) -> None:
        raise ZeroDivisionError(run_id)

    world.judge = fail
    (first,), (second,) = world.submit(), world.submit()
    with caplog.at_level(logging.ERROR):
        world.drive(lambda: world.state(second) is RunState.SUCCEEDED)
    assert [key.run_id for key in world.device.acknowledged] == [first.id, second.id]
    assert "ZeroDivisionError" in caplog.text


def test_a_cancelled_run_is_ended_on_the_device(world: World) -> None:
    world.device.finish_at_once = False
    first, second = world.submit(axes=Axes(batch_size=(1, 2), threads=(1,)), max_time_seconds=400)
    world.drive(lambda: world.state(first) is RunState.RUNNING)
    world.store.cancel_job(first.job_id)
    (other,) = world.submit()
    world.drive(lambda: world.state(other) is RunState.RUNNING)
    assert [key.run_id for key in world.device.aborted] == [first.id]
    assert world.state(second) is RunState.CANCELLED
    assert second.id not in {key.run_id for key in world.device.started}
    assert len(world.store.results(10, job_id=first.job_id)) == 2


def test_a_coordinator_that_was_killed_finds_the_run_again(world: World) -> None:
    world.device.finish_at_once = False
    (run,) = world.submit()
    world.drive(lambda: world.state(run) is RunState.RUNNING)
    # ``drive`` starts a new loop each time: nothing of the old one is left but the store.
    world.device.finish()
    world.drive(lambda: world.state(run).final)
    assert [key.attempt for key in world.device.started] == [1]


def test_a_coordinator_killed_between_assigning_and_starting(world: World) -> None:
    (run,) = world.submit()
    world.store.assign_next(world.record.id)
    world.drive(lambda: world.state(run).final)
    assert world.state(run) is RunState.SUCCEEDED
    assert [key.attempt for key in world.device.started] == [2]


# --- the disk is full ------------------------------------------------------------------------


def failing(times: int, function: Callable[..., Any], error: Exception) -> Callable[..., Any]:
    left = iter(range(times))

    def call(*args: Any, **kwargs: Any) -> Any:
        if next(left, None) is not None:
            raise error
        return function(*args, **kwargs)

    return call


FULL = StoreFullError("the disk under the store is full")


@pytest.mark.parametrize("method", ["finish", "assign_next", "mark_running"])
def test_a_full_store_is_tried_again(
    world: World, method: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(world.store, method, failing(3, getattr(world.store, method), FULL))
    world.device.finish_at_once = method != "mark_running"
    (run,) = world.submit()
    if method == "mark_running":
        world.drive(lambda: world.state(run) is RunState.RUNNING)
        world.device.finish()
    world.drive(lambda: world.state(run).final)
    assert world.state(run) is RunState.SUCCEEDED
    assert "is full" in caplog.text
    assert "Traceback" not in caplog.text


def test_a_store_that_is_full_when_a_run_must_be_given_up_leaves_the_device_its_loop(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.device.finish_at_once = False
    (run,) = world.submit()
    monkeypatch.setattr(world.store, "give_up", failing(3, world.store.give_up, FULL))

    world.drive(lambda: world.state(run) is RunState.RUNNING)
    world.device.reachable = False
    world.drive(lambda: world.after_a_lease() and world.state(run) is RunState.QUEUED)
    world.device.restart()
    world.device.reachable = True
    world.device.finish_at_once = True
    world.drive(lambda: world.state(run).final)
    assert world.state(run) is RunState.SUCCEEDED


def test_no_room_for_the_iterations_keeps_the_result_on_the_device(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "x.npz"
    Iterations.from_stamps(0, [], [(0, 10)]).save(path)
    world.device.raw = path.read_bytes()
    full = OSError(28, "No space left on device")
    monkeypatch.setattr(world.samples, "put", failing(3, world.samples.put, full))
    (run,) = world.submit()
    world.drive(lambda: world.state(run).final)
    assert world.samples.path(run.id, 1).exists()
    assert "No space left" in caplog.text
    assert "Traceback" not in caplog.text


def test_a_mistake_of_ours_does_not_end_the_loop(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    broken = failing(2, world.device.fetch, ZeroDivisionError())
    monkeypatch.setattr(world.device, "fetch", broken)
    (run,) = world.submit()
    world.drive(lambda: world.state(run).final)
    assert "it goes on" in caplog.text


# --- models ----------------------------------------------------------------------------------


def test_a_model_is_sent_before_its_run_starts(world: World) -> None:
    (run,) = world.submit(model=make_artifact())
    world.drive(lambda: world.state(run).final)
    assert world.transfers.sent == ["a" * 64]


def test_a_model_that_cannot_be_read_fails_its_run_and_not_the_next(world: World) -> None:
    world.transfers.error = FileNotFoundError(2, "No such file", "models/aa/aaaa")
    (run,) = world.submit(model=make_artifact())
    (other,) = world.submit()
    world.drive(lambda: world.state(other).final)
    result = world.store.result(run.id)
    assert result is not None
    assert result.error is not None
    assert result.error.kind is FailureKind.DEVICE_ERROR
    assert "No such file" in result.error.message
    assert world.state(other) is RunState.SUCCEEDED


def test_a_model_that_does_not_reach_the_device_is_tried_as_often_as_allowed(
    world: World,
) -> None:
    world.transfers.error = DeviceUnreachableError("no answer within 120 s")
    (run,) = world.submit(model=make_artifact(), max_attempts=2)
    world.drive(lambda: world.state(run).final)
    assert world.state(run) is RunState.FAILED
    assert world.store.run(run.id).attempt == 2
    error = world.store.run(run.id).error
    assert error is not None
    assert "no answer within 120 s" in error.message


def test_a_model_that_the_device_cannot_take_fails_its_run_at_once(world: World) -> None:
    """A full disk there is no lost connection: trying again would meet it again."""
    world.transfers.error = AgentFailedError("model_chunk failed: OSError(28, 'No space left')")
    (run,) = world.submit(model=make_artifact())
    world.drive(lambda: world.state(run).final)
    assert world.store.run(run.id).attempt == 1
    result = world.store.result(run.id)
    assert result is not None
    assert result.error is not None
    assert result.error.kind is FailureKind.DEVICE_ERROR
    assert "No space left" in result.error.message


def test_a_result_that_is_not_understood_fails_its_run_and_frees_the_device(world: World) -> None:
    (run,) = world.submit()
    (other,) = world.submit()
    world.device.strange.add(run.id)
    world.drive(lambda: world.state(other).final)
    result = world.store.result(run.id)
    assert result is not None
    assert result.error is not None
    assert result.error.kind is FailureKind.DEVICE_ERROR
    assert "not understood" in result.error.message
    assert world.state(other) is RunState.SUCCEEDED
    assert [key.run_id for key in world.device.acknowledged] == [run.id, other.id]


def test_a_loop_that_is_woken_and_cancelled_at_once_ends(world: World) -> None:
    async def main() -> None:
        loop = DeviceLoop(
            world.record.id, world.device, world.store, world.samples,
            world.transfers, world.presence, world.executor, Timing(idle=3600),
        )  # type: ignore[arg-type]  # fmt: skip
        for _ in range(3):
            task = asyncio.create_task(loop.run())
            await _until(lambda: bool(loop._wake._waiters))
            loop.wake()
            task.cancel()
            done, _ = await asyncio.wait([task], timeout=5)
            assert done, "the cancellation was swallowed"
            assert task.cancelled()

    asyncio.run(main())


def test_an_idle_loop_is_woken(world: World) -> None:
    """Without waking it would sleep for an hour."""
    timing = Timing(idle=3600, news=0.01, retry=0.01, lease=30)

    async def main() -> Run:
        loop = DeviceLoop(
            world.record.id, world.device, world.store, world.samples,
            world.transfers, world.presence, world.executor, timing,
        )  # type: ignore[arg-type]  # fmt: skip
        task = asyncio.create_task(loop.run())
        await _until(lambda: view(world).state is DeviceState.ONLINE)
        await asyncio.sleep(0.02)
        (run,) = world.submit()
        loop.wake()
        await _until(lambda: world.state(run) is not RunState.QUEUED)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return run

    run = asyncio.run(main())
    assert world.device.started[0].run_id == run.id


def test_unreachable_is_an_error_of_ours() -> None:
    assert issubclass(DeviceUnreachableError, FleetmarkError)
