"""The store: every transition one transaction, every run one result, and nothing forgotten."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, func, select

from agents.coordinator import schema
from agents.coordinator.database import StoreFullError, migrate, open_engine, reading
from agents.coordinator.expand import expand
from agents.coordinator.queue import MOST_RUNS_TOGETHER
from agents.coordinator.rows import DeviceRecord, job_state
from agents.coordinator.store import Store
from agents.coordinator.store_errors import NotFoundError
from agents.messages import AttemptKey, Axes, Job, JobState, Run, RunState
from profiler.errors import InputError
from profiler.result import FailureKind, RunError, RunResult, RunStatus
from tests.builders import (
    KEY,
    NOW,
    key_of,
    make_failed,
    make_inventory,
    make_registration,
    make_request,
    make_result,
)


class Clock:
    now = NOW

    def __call__(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    found = open_engine(f"sqlite:///{tmp_path / 'store.db'}")
    migrate(found)
    yield found
    found.dispose()


@pytest.fixture
def store(engine: Engine) -> Store:
    return Store(engine, Clock())


@pytest.fixture
def device(store: Store) -> DeviceRecord:
    return store.register(make_registration())


def submit(store: Store, *devices: DeviceRecord, **changes: Any) -> tuple[Job, tuple[Run, ...]]:
    request = make_request(**changes)
    return store.add_job(request, expand(request, devices))


def result_of(run: Run, **changes: Any) -> RunResult:
    values = {"run_id": run.id, "attempt": run.attempt, "job_id": run.job_id, "device": run.device}
    return make_result(**values | changes)


def assigned(store: Store, device: DeviceRecord) -> Run:
    """The device's next run, where it gets one."""
    (run,) = store.assign_next(device.id)
    return run


# --- devices ---------------------------------------------------------------------------------


def test_a_device_is_registered_as_it_is(store: Store) -> None:
    asked = make_registration(labels={"room": "lab"})
    found = store.register(asked)
    assert found.name == "pi5-a"
    assert found.labels == {"room": "lab"}
    assert found.inventory == asked.inventory
    assert found.versions == asked.versions
    assert store.devices() == (found,)
    assert found.registered_at.tzinfo is timezone.utc


def test_a_name_that_is_taken_is_refused_with_what_to_do(store: Store) -> None:
    first = store.register(make_registration())
    with pytest.raises(InputError) as caught:
        store.register(make_registration(device_key="x" * 43, address="192.0.2.99"))
    assert caught.value.field == "name"
    assert "192.0.2.7" in caught.value.problem
    assert "fleetmark devices remove pi5-a" in caught.value.remedy
    assert store.devices() == (first,)


def test_a_device_that_comes_back_takes_up_its_name_and_history(store: Store) -> None:
    first = store.register(make_registration())
    _, runs = submit(store, first)
    again = store.register(
        make_registration(address="192.0.2.8", inventory=make_inventory(cpu_count=8))
    )
    assert again.id == first.id
    assert again.registered_at == first.registered_at
    assert again.address == "192.0.2.8"
    assert again.inventory.cpu_count == 8
    assert store.assign_next(again.id) == (store.run(runs[0].id),)


def test_the_key_itself_is_not_stored(store: Store, engine: Engine) -> None:
    store.register(make_registration())
    with reading(engine) as db:
        row = db.execute(select(schema.devices)).one()
    assert KEY not in [str(value) for value in row]


def test_a_heartbeat_counts_with_the_right_key_only(store: Store, device: DeviceRecord) -> None:
    assert store.seen(device.id, KEY)
    later = store.devices()[0].last_seen_at
    assert later is not None
    assert device.last_seen_at is not None
    assert later > device.last_seen_at
    assert not store.seen(device.id, "x" * 43)
    assert not store.seen("another", KEY)
    assert store.devices()[0].last_seen_at == later


def test_a_removed_device_leaves_its_results_and_its_name(
    store: Store, device: DeviceRecord
) -> None:
    submit(store, device, axes=Axes(batch_size=(1, 2)))
    done, _ = store.assign_next(device.id)
    store.finish(key_of(done), result_of(done))
    submit(store, device)
    assert store.remove_device("pi5-a") == device.id
    assert store.devices() == ()
    assert not store.seen(device.id, KEY)
    states = [run.state for run in store.runs_of(done.job_id)]
    assert states == [RunState.SUCCEEDED, RunState.CANCELLED]
    assert len(store.results(10)) == 3
    # The name is free, for any device.
    other = store.register(make_registration(device_key="x" * 43))
    assert other.id != device.id
    assert store.assign_next(other.id) == ()


def test_a_device_that_is_not_there_cannot_be_removed(store: Store, device: DeviceRecord) -> None:
    with pytest.raises(NotFoundError, match="pi5-z"):
        store.remove_device("pi5-z")
    store.remove_device("pi5-a")
    with pytest.raises(NotFoundError):
        store.remove_device("pi5-a")
    with pytest.raises(NotFoundError):
        store.remove_device(f"pi5-a#{device.id}")


def test_the_longest_name_can_be_removed_twice(store: Store) -> None:
    for _ in range(2):
        store.register(make_registration("a" * 63))
        store.remove_device("a" * 63)
    assert store.devices() == ()


# --- jobs ------------------------------------------------------------------------------------


def test_a_job_is_stored_with_all_its_runs(store: Store, device: DeviceRecord) -> None:
    job, runs = submit(store, device, axes=Axes(batch_size=(1, 8)), max_attempts=2)
    assert job.state is JobState.QUEUED
    assert job.runs == {RunState.QUEUED: 2}
    assert [run.spec.batch_size for run in runs] == [1, 8]
    assert {(run.state, run.attempt, run.max_attempts) for run in runs} == {(RunState.QUEUED, 0, 2)}
    assert store.job(job.id) == job
    assert store.jobs(10) == (job,)


def test_a_job_whose_runs_cannot_be_stored_is_not_stored(
    store: Store, device: DeviceRecord
) -> None:
    ghost = device.model_copy(update={"id": "ghost"})
    request = make_request()
    plan = [*expand(request, (device,)), *expand(request, (ghost,))]
    with pytest.raises(Exception, match="FOREIGN KEY"):
        store.add_job(request, plan)
    assert store.jobs(10) == ()
    assert store.pending(10) == ()


def test_jobs_are_listed_newest_first(store: Store, device: DeviceRecord) -> None:
    ids = [submit(store, device)[0].id for _ in range(3)]
    assert [job.id for job in store.jobs(2)] == [ids[2], ids[1]]


def test_ids_that_nothing_has_are_not_found(store: Store) -> None:
    for call in (store.job, store.run, store.cancel_job):
        with pytest.raises(NotFoundError, match="nope"):
            call("nope")
    assert store.result("nope") is None


@pytest.mark.parametrize(
    ("counts", "state"),
    [
        ({"queued": 2}, "queued"),
        ({"queued": 1, "succeeded": 1}, "running"),
        ({"assigned": 1}, "running"),
        ({"running": 1, "failed": 1}, "running"),
        ({"succeeded": 2}, "succeeded"),
        ({"succeeded": 1, "failed": 1}, "failed"),
        ({"cancelled": 1, "failed": 1}, "failed"),
        ({"cancelled": 1, "succeeded": 1}, "cancelled"),
        ({"succeeded": 1, "queued": 0}, "succeeded"),
    ],
)
def test_the_state_of_a_job_is_that_of_its_runs(counts: dict[str, int], state: str) -> None:
    assert job_state({RunState(k): n for k, n in counts.items()}) == state


# --- transitions -----------------------------------------------------------------------------


def test_the_oldest_waiting_runs_are_assigned_first(store: Store, device: DeviceRecord) -> None:
    other = store.register(make_registration("pi5-b"))
    _, first = submit(store, device, other, axes=Axes(batch_size=(1, 2)))
    _, second = submit(store, device)
    for expected in (first, second):
        runs = store.assign_next(device.id)
        assert [run.id for run in runs] == [r.id for r in expected if r.device == "pi5-a"]
        assert {(run.state, run.attempt) for run in runs} == {(RunState.ASSIGNED, 1)}
        assert [store.run(run.id) for run in runs] == list(runs)
        for run in runs:
            store.finish(key_of(run), result_of(run))
    assert store.assign_next(device.id) == ()
    assert {run.device for run in store.assign_next(other.id)} == {"pi5-b"}


def test_no_more_runs_are_assigned_than_may_take_turns(store: Store, device: DeviceRecord) -> None:
    count = MOST_RUNS_TOGETHER + 1
    _, runs = submit(store, device, axes=Axes(batch_size=tuple(range(1, count + 1))))
    groups = [[run.id for run in store.assign_next(device.id)] for _ in range(2)]
    assert [len(group) for group in groups] == [MOST_RUNS_TOGETHER, 1]
    assert groups[0] + groups[1] == [run.id for run in runs]


def test_runs_are_assigned_together_or_not_at_all(
    store: Store, device: DeviceRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit(store, device, axes=Axes(batch_size=(1, 2)))
    move, moved = store._move, []

    def full_at_the_second(*args: Any, **kwargs: Any) -> Run:
        moved.append(args)
        if len(moved) == 2:
            raise StoreFullError("the disk under the store is full")
        return move(*args, **kwargs)

    monkeypatch.setattr(store, "_move", full_at_the_second)
    with pytest.raises(StoreFullError):
        store.assign_next(device.id)
    assert {(run.state, run.attempt) for run in store.pending(10)} == {(RunState.QUEUED, 0)}
    assert len(store.assign_next(device.id)) == 2


def test_a_run_that_was_lost_is_assigned_alone(store: Store, device: DeviceRecord) -> None:
    submit(store, device, axes=Axes(batch_size=(1, 2, 3)))
    first, second, third = store.assign_next(device.id)
    store.mark_running(key_of(first))
    for run in (first, second, third):
        store.give_up(key_of(run), "silent")
    assert [run.id for run in store.assign_next(device.id)] == [first.id]
    # These had not begun: whatever it was, they did not do it.
    assert [run.id for run in store.assign_next(device.id)] == [second.id, third.id]


def test_active_are_the_assigned_and_the_running(store: Store, device: DeviceRecord) -> None:
    submit(store, device, axes=Axes(batch_size=(1, 2)))
    submit(store, device)
    first, second = store.assign_next(device.id)
    store.mark_running(key_of(second))
    found = store.active_on(device.id)
    assert [run.id for run in found] == [first.id, second.id]
    assert [run.state for run in found] == [RunState.ASSIGNED, RunState.RUNNING]
    assert found[1].started_at is not None
    assert store.queued_counts() == {"pi5-a": 1}
    assert len(store.pending(10)) == 3


def test_marking_is_safe_to_repeat_and_fenced(store: Store, device: DeviceRecord) -> None:
    submit(store, device)
    run = assigned(store, device)
    store.mark_running(key_of(run).model_copy(update={"attempt": 9}))
    assert store.run(run.id).state is RunState.ASSIGNED
    store.mark_running(key_of(run))
    began = store.run(run.id).started_at
    store.mark_running(key_of(run))
    assert store.run(run.id).started_at == began
    store.finish(key_of(run), result_of(run))
    store.mark_running(key_of(run))
    assert store.run(run.id).state is RunState.SUCCEEDED


@pytest.mark.parametrize("running", [False, True])
def test_a_finished_run_has_one_result(store: Store, device: DeviceRecord, running: bool) -> None:
    job, _ = submit(store, device)
    run = assigned(store, device)
    if running:
        store.mark_running(key_of(run))
    assert store.finish(key_of(run), result_of(run))
    found = store.run(run.id)
    assert found.state is RunState.SUCCEEDED
    assert found.finished_at is not None
    assert store.result(run.id) == result_of(run)
    assert store.job(job.id).state is JobState.SUCCEEDED


def test_a_failed_result_keeps_its_error(store: Store, device: DeviceRecord) -> None:
    submit(store, device)
    run = assigned(store, device)
    error = RunError(kind=FailureKind.MODEL_ERROR, message="crashed", stderr_tail="Segmentation")
    failed = make_failed(error, run_id=run.id, attempt=1)
    assert store.finish(key_of(run), failed)
    assert store.run(run.id).state is RunState.FAILED
    assert store.run(run.id).error == error


def late_count(engine: Engine) -> int:
    with reading(engine) as db:
        return int(db.execute(select(func.count()).select_from(schema.late_results)).scalar_one())


def test_a_result_delivered_twice_counts_once(
    store: Store, device: DeviceRecord, engine: Engine
) -> None:
    """The first acknowledgement was lost on its way."""
    submit(store, device)
    run = assigned(store, device)
    assert store.finish(key_of(run), result_of(run))
    assert not store.finish(key_of(run), result_of(run))
    assert len(store.results(10)) == 1
    assert late_count(engine) == 0


def test_a_late_result_of_an_old_attempt_is_kept_apart(store: Store, device: DeviceRecord) -> None:
    submit(store, device)
    first = assigned(store, device)
    assert store.give_up(key_of(first), "silent") is RunState.QUEUED
    second = assigned(store, device)
    assert second.attempt == 2
    assert not store.finish(key_of(first), result_of(first))
    assert store.run(first.id).state is RunState.ASSIGNED
    assert store.late_results(first.id) == 1
    assert store.results(10) == ()
    assert store.finish(key_of(second), result_of(second))
    assert [r.attempt for r in store.results(10)] == [2]


def test_a_late_result_delivered_twice_is_kept_once(store: Store, device: DeviceRecord) -> None:
    submit(store, device)
    first = assigned(store, device)
    store.give_up(key_of(first), "silent")
    assigned(store, device)
    for _ in range(3):
        assert not store.finish(key_of(first), result_of(first))
    assert store.late_results(first.id) == 1


def test_a_late_result_is_taken_while_the_run_waits_again(
    store: Store, device: DeviceRecord
) -> None:
    submit(store, device)
    run = assigned(store, device)
    store.give_up(key_of(run), "silent")
    assert store.finish(key_of(run), result_of(run))
    assert store.run(run.id).state is RunState.SUCCEEDED
    assert store.assign_next(device.id) == ()


def test_a_result_of_a_run_that_nobody_knows_is_kept_apart(store: Store) -> None:
    stray = make_result(run_id="stray")
    key = AttemptKey(run_id="stray", attempt=1)
    assert not store.finish(key, stray)
    assert not store.finish(key, stray)
    assert store.late_results("stray") == 1


def test_a_run_that_is_lost_too_often_has_failed_with_a_result(
    store: Store, device: DeviceRecord
) -> None:
    job, _ = submit(store, device, max_attempts=3)
    ends = []
    for _ in range(3):
        run = assigned(store, device)
        ends.append(store.give_up(key_of(run), "the device was silent for 30 s"))
    assert ends == [RunState.QUEUED, RunState.QUEUED, RunState.FAILED]
    assert store.assign_next(device.id) == ()
    found = store.run(run.id)
    assert found.state is RunState.FAILED
    assert found.error is not None
    assert found.error.kind is FailureKind.LOST
    assert "attempt 3 of 3" in found.error.message
    result = store.result(run.id)
    assert result is not None
    assert result.status is RunStatus.FAILED
    assert result.error == found.error
    assert result.attempt == 3
    assert result.environment_reason
    assert store.job(job.id).state is JobState.FAILED


def test_giving_up_is_fenced(store: Store, device: DeviceRecord) -> None:
    submit(store, device)
    first = assigned(store, device)
    store.give_up(key_of(first), "silent")
    assert store.give_up(key_of(first), "silent") is None
    second = assigned(store, device)
    assert store.give_up(key_of(first), "silent") is None
    assert store.run(second.id).state is RunState.ASSIGNED
    store.finish(key_of(second), result_of(second))
    assert store.give_up(key_of(second), "silent") is None


def test_a_run_that_waits_again_says_why_and_has_not_ended(
    store: Store, device: DeviceRecord
) -> None:
    submit(store, device)
    run = assigned(store, device)
    store.give_up(key_of(run), "the link was cut")
    found = store.run(run.id)
    assert found.reason == "the link was cut"
    assert found.finished_at is None
    assert found.error is None
    # A lost run keeps its place in the queue.
    submit(store, device)
    assert assigned(store, device).id == run.id


def test_cancelling_ends_what_is_not_over(store: Store, device: DeviceRecord) -> None:
    job, runs = submit(store, device, axes=Axes(batch_size=(1, 2, 3)))
    done, working, _ = store.assign_next(device.id)
    store.finish(key_of(done), result_of(done))
    assert {run.id for run in store.cancel_job(job.id)} == {runs[1].id, runs[2].id}
    assert store.cancel_job(job.id) == ()
    assert store.job(job.id).state is JobState.CANCELLED
    assert store.job(job.id).runs == {RunState.SUCCEEDED: 1, RunState.CANCELLED: 2}
    assert store.active_on(device.id) == ()
    found = store.result(working.id)
    assert found is not None
    assert found.status is RunStatus.CANCELLED
    assert found.error is None


def test_what_the_device_says_of_a_cancelled_run_changes_nothing(
    store: Store, device: DeviceRecord, engine: Engine
) -> None:
    job, _ = submit(store, device)
    run = assigned(store, device)
    store.cancel_job(job.id)
    cancelled = result_of(run, status=RunStatus.CANCELLED, latency=None, latency_reason="cancelled")
    assert not store.finish(key_of(run), cancelled)
    assert late_count(engine) == 0
    # It was faster than the cancellation: its figures are kept, and not counted.
    assert not store.finish(key_of(run), result_of(run))
    assert late_count(engine) == 1
    assert store.job(job.id).state is JobState.CANCELLED


def test_every_transition_is_on_record(store: Store, device: DeviceRecord, engine: Engine) -> None:
    submit(store, device, max_attempts=2)
    run = assigned(store, device)
    store.mark_running(key_of(run))
    store.give_up(key_of(run), "silent")
    run = assigned(store, device)
    store.finish(key_of(run), result_of(run))
    with reading(engine) as db:
        t = schema.transitions.c
        rows = db.execute(select(t.state, t.attempt, t.reason).order_by(t.seq)).all()
    assert [tuple(row) for row in rows] == [
        ("queued", 0, None),
        ("assigned", 1, None),
        ("running", 1, None),
        ("queued", 1, "silent"),
        ("assigned", 2, None),
        ("succeeded", 2, None),
    ]


# --- results ---------------------------------------------------------------------------------


def finished(store: Store, device: DeviceRecord, **changes: Any) -> Run:
    submit(store, device)
    run = assigned(store, device)
    store.finish(key_of(run), result_of(run, **changes))
    return run


def test_results_are_listed_newest_first_and_filtered(store: Store, device: DeviceRecord) -> None:
    other = store.register(make_registration("pi5-b"))
    runs = [finished(store, device), finished(store, other), finished(store, device)]
    assert [r.run_id for r in store.results(10)] == [run.id for run in reversed(runs)]
    assert [r.run_id for r in store.results(1)] == [runs[2].id]
    assert [r.run_id for r in store.results(10, device="pi5-b")] == [runs[1].id]
    assert [r.run_id for r in store.results(10, job_id=runs[0].job_id)] == [runs[0].id]
    assert store.results(10, job_id=runs[0].job_id, device="pi5-b") == ()


def test_the_latest_result_of_every_series(store: Store, device: DeviceRecord) -> None:
    other = store.register(make_registration("pi5-b"))
    finished(store, device)
    newest = finished(store, device, throughput_items_per_second=95.0)
    series = [
        finished(store, device, batch_size=8),
        finished(store, device, runtime="onnxruntime"),
        finished(store, device, precision="bf16"),
        finished(store, device, accelerator="cuda:0"),
        finished(store, device, model="mobilenet_v3_large"),
        finished(store, other),
    ]
    error = RunError(kind=FailureKind.TIMEOUT, message="x")
    submit(store, device)
    run = assigned(store, device)
    store.finish(key_of(run), make_failed(error, run_id=run.id))
    found, _ = store.figures.latest_and_recent(0)
    assert [r.run_id for r in found] == [newest.id, *(run.id for run in series)]
    store.remove_device("pi5-b")
    assert len(store.figures.latest_and_recent(0)[0]) == len(series)


def test_runs_are_counted_by_how_they_ended(store: Store, device: DeviceRecord) -> None:
    finished(store, device)
    finished(store, device)
    job, _ = submit(store, device)
    store.cancel_job(job.id)
    submit(store, device)
    counts = {(c.device, c.model, c.status): c.count for c in store.run_counts()}
    assert counts == {
        ("pi5-a", "resnet18", RunStatus.SUCCEEDED): 2,
        ("pi5-a", "resnet18", RunStatus.CANCELLED): 1,
    }
    assert store.job_counts() == {
        JobState.QUEUED: 1,
        JobState.RUNNING: 0,
        JobState.SUCCEEDED: 2,
        JobState.FAILED: 0,
        JobState.CANCELLED: 1,
    }


# --- after a crash ---------------------------------------------------------------------------


def everything(store: Store) -> list[object]:
    return [
        store.devices(),
        store.jobs(100),
        store.pending(100),
        store.results(100),
        store.queued_counts(),
        store.job_counts(),
        store.run_counts(),
        store.figures.latest_and_recent(100),
        store.baselines.history(100),
        [store.runs_of(job.id) for job in store.jobs(100)],
    ]


def test_another_process_finds_everything_as_it_was(
    store: Store, device: DeviceRecord, tmp_path: Path
) -> None:
    finished(store, device)
    submit(store, device, axes=Axes(batch_size=(1, 2, 4)))
    run, *_ = store.assign_next(device.id)
    store.mark_running(key_of(run))
    # Nothing is closed: that is what kill -9 leaves.
    engine = open_engine(f"sqlite:///{tmp_path / 'store.db'}")
    migrate(engine)
    again = Store(engine)
    assert everything(again) == everything(store)
    assert again.finish(key_of(run), result_of(run))
    engine.dispose()


class Life:
    """What can happen to one device's runs, in whatever order."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.device = store.register(make_registration())
        self.attempts: list[Run] = []
        self.runs: list[str] = []

    def submit(self) -> None:
        axes = Axes(batch_size=(1, 2))
        _, runs = submit(self.store, self.device, max_attempts=2, axes=axes)
        self.runs += [run.id for run in runs]

    def assign(self) -> None:
        self.attempts += self.store.assign_next(self.device.id)

    def begin(self) -> None:
        for run in self.attempts[-1:]:
            self.store.mark_running(key_of(run))

    def finish(self) -> None:
        for run in self.attempts[-1:]:
            self.store.finish(key_of(run), result_of(run))

    def finish_late(self) -> None:
        for run in self.attempts[:1]:
            self.store.finish(key_of(run), result_of(run))

    def lose(self) -> None:
        for run in self.attempts[-1:]:
            self.store.give_up(key_of(run), "silent")

    def cancel(self) -> None:
        for job in self.store.jobs(1):
            self.store.cancel_job(job.id)

    def remove(self) -> None:
        self.store.remove_device("pi5-a")
        self.device = self.store.register(make_registration())


STEPS = [
    Life.submit, Life.assign, Life.begin, Life.finish, Life.finish_late, Life.lose, Life.cancel,
    Life.remove,
]  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(steps=st.lists(st.sampled_from(STEPS), max_size=30))
def test_whatever_happens_every_run_is_open_or_has_one_result(
    steps: list[Callable[[Life], None]],
) -> None:
    engine = open_engine("sqlite://")
    migrate(engine)
    life = Life(Store(engine, Clock()))
    for step in steps:
        step(life)
    results = [result.run_id for result in life.store.results(1000)]
    assert len(results) == len(set(results))
    for name in life.runs:
        assert life.store.run(name).state.final is (name in results)
    assert {run.id for run in life.store.pending(1000)} == set(life.runs) - set(results)
    engine.dispose()
