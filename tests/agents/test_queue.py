"""The state machine, and that whatever a device says no run is lost and none counted twice."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from agents.coordinator.queue import (
    ALLOWED,
    MOST_RUNS_TOGETHER,
    MOST_SECONDS_TOGETHER,
    MOST_WORKERS_TOGETHER,
    Abort,
    Action,
    Collect,
    GiveUp,
    MarkRunning,
    ShowProgress,
    StartNext,
    accepts,
    after_loss,
    decide,
    key_of,
    may_become,
    measured_now,
    together,
)
from agents.coordinator.store import STATE_OF
from agents.messages import AttemptKey, Progress, Run, RunState
from profiler.events import Phase
from profiler.result import RunStatus
from tests.builders import NOW, make_current, make_run, make_spec, make_status

ASSIGNED = make_run(state=RunState.ASSIGNED)
RUNNING = make_run(state=RunState.RUNNING)
KEY = key_of(RUNNING)
OTHER = AttemptKey(run_id="run2", attempt=1)
OLD = AttemptKey(run_id="run1", attempt=0)
PROGRESS = Progress(phase=Phase.MEASURING, fraction=0.5)
WAITING = Progress(phase=Phase.WAITING, fraction=0.25)
MINE, NOT_MINE = make_current(KEY, PROGRESS), make_current(OTHER, WAITING)
SECOND = make_run(id="run2", state=RunState.ASSIGNED)
GONE = "the device's agent restarted and does not know the run"


def test_nothing_comes_after_the_end() -> None:
    for state in RunState:
        assert state.final is (not ALLOWED[state])
        assert not may_become(state, state)


def test_every_state_can_reach_an_end() -> None:
    for state in RunState:
        if not state.final:
            assert {RunState.CANCELLED, RunState.FAILED, RunState.SUCCEEDED} <= ALLOWED[state]


def test_a_run_is_never_running_without_having_been_assigned() -> None:
    assert [s for s in RunState if may_become(s, RunState.RUNNING)] == [RunState.ASSIGNED]
    assert [s for s in RunState if may_become(s, RunState.ASSIGNED)] == [RunState.QUEUED]


@pytest.mark.parametrize(
    ("active", "status", "actions"),
    [
        # idle
        ((), {}, [StartNext()]),
        # busy with what the store knows
        ((RUNNING,), {"current": (MINE,)}, [ShowProgress(RUNNING, PROGRESS)]),
        (
            (ASSIGNED,),
            {"current": (MINE,)},
            [MarkRunning(ASSIGNED), ShowProgress(ASSIGNED, PROGRESS)],
        ),
        # several take turns: all of them have begun
        (
            (ASSIGNED, SECOND),
            {"current": (MINE, NOT_MINE)},
            [
                MarkRunning(ASSIGNED),
                ShowProgress(ASSIGNED, PROGRESS),
                MarkRunning(SECOND),
                ShowProgress(SECOND, WAITING),
            ],
        ),
        # one has failed before the others are done: the device is not free yet
        (
            (RUNNING, SECOND),
            {"current": (MINE,), "finished": (OTHER,)},
            [Collect(OTHER), ShowProgress(RUNNING, PROGRESS)],
        ),
        # done: collected, and the next one starts at once
        ((RUNNING,), {"finished": (KEY,)}, [Collect(KEY), StartNext()]),
        (
            (RUNNING, SECOND),
            {"finished": (KEY, OTHER)},
            [Collect(KEY), Collect(OTHER), StartNext()],
        ),
        # done, but the agent has not cleared its desk yet
        ((RUNNING,), {"current": (MINE,), "finished": (KEY,)}, [Collect(KEY)]),
        # results of attempts that nobody waits for are collected too
        ((), {"finished": (OTHER,)}, [Collect(OTHER), StartNext()]),
        (
            (RUNNING,),
            {"current": (MINE,), "finished": (OTHER,)},
            [Collect(OTHER), ShowProgress(RUNNING, PROGRESS)],
        ),
        # the agent restarted
        ((RUNNING,), {}, [GiveUp(RUNNING, GONE), StartNext()]),
        ((ASSIGNED,), {}, [GiveUp(ASSIGNED, GONE), StartNext()]),
        ((RUNNING, SECOND), {}, [GiveUp(RUNNING, GONE), GiveUp(SECOND, GONE), StartNext()]),
        # it works on what is not wanted (any more), alone or beside what is
        ((), {"current": (NOT_MINE,)}, [Abort(OTHER)]),
        (
            (RUNNING,),
            {"current": (MINE, NOT_MINE)},
            [Abort(OTHER), ShowProgress(RUNNING, PROGRESS)],
        ),
        ((RUNNING,), {"current": (NOT_MINE,)}, [Abort(OTHER), GiveUp(RUNNING, GONE)]),
        ((RUNNING,), {"current": (make_current(OLD),)}, [Abort(OLD), GiveUp(RUNNING, GONE)]),
        # another attempt of the same run is no news of this one
        ((RUNNING,), {"finished": (OLD,)}, [Collect(OLD), GiveUp(RUNNING, GONE), StartNext()]),
    ],
)
def test_what_to_do_next(
    active: tuple[Run, ...], status: dict[str, Any], actions: list[Action]
) -> None:
    assert decide(active, make_status(**status)) == actions


def test_the_run_at_work_is_the_one_that_does_not_wait() -> None:
    assert measured_now(make_status()) is None
    assert measured_now(make_status(current=(NOT_MINE, MINE))) == KEY.run_id
    # Between two turns nobody has said anything yet.
    assert measured_now(make_status(current=(NOT_MINE,))) == OTHER.run_id


def waiting(count: int, **spec: Any) -> list[Run]:
    return [
        make_run(id=f"run{n}", state=RunState.QUEUED, attempt=0, spec=make_spec(**spec))
        for n in range(count)
    ]


def test_runs_go_together_up_to_a_number() -> None:
    assert together([]) == ()
    runs = waiting(MOST_RUNS_TOGETHER + 1)
    assert together(runs[:3]) == tuple(runs[:3])
    assert together(runs) == tuple(runs[:-1])


def test_runs_go_together_for_minutes_and_not_for_hours() -> None:
    runs = waiting(4, max_time_seconds=MOST_SECONDS_TOGETHER / 3)
    assert together(runs) == tuple(runs[:3])
    # One that alone takes longer is measured all the same.
    long, short = waiting(1, max_time_seconds=2 * MOST_SECONDS_TOGETHER), waiting(1)
    assert together(long + short) == tuple(long)
    assert together(short + long) == tuple(short)


def test_no_more_go_together_than_have_room_for_their_workers() -> None:
    runs = [run for n in range(1, 4) for run in waiting(1, threads=n)]
    runs += waiting(1, threads=1, runtime="onnxruntime")
    assert len(runs) == MOST_WORKERS_TOGETHER
    same = waiting(1, threads=1, batch_size=8)
    other = waiting(1, threads=2, runtime="onnxruntime")
    assert together(runs + same) == tuple(runs + same)
    assert together(runs + other) == tuple(runs)


def test_a_run_that_had_begun_when_its_device_was_lost_goes_alone() -> None:
    """It may be what took the device down: with it the others would lose all their attempts."""
    fresh, lost = waiting(2), make_run(state=RunState.QUEUED, attempt=1, started_at=NOW)
    assert together([lost, *fresh]) == (lost,)
    assert together([lost, lost]) == (lost,)
    assert together([*fresh, lost]) == tuple(fresh)
    # The model did not reach the device: nothing of it had begun.
    unsent = make_run(state=RunState.QUEUED, attempt=1)
    assert together([unsent, *fresh]) == (unsent, *fresh)


@pytest.mark.parametrize(
    ("state", "attempt", "counts"),
    [
        (RunState.ASSIGNED, 2, True),
        (RunState.RUNNING, 2, True),
        (RunState.QUEUED, 2, True),
        (RunState.RUNNING, 1, False),
        (RunState.RUNNING, 3, False),
        (RunState.SUCCEEDED, 2, False),
        (RunState.FAILED, 2, False),
        (RunState.CANCELLED, 2, False),
    ],
)
def test_only_the_newest_attempt_of_an_open_run_counts(
    state: RunState, attempt: int, counts: bool
) -> None:
    run = make_run(state=state, attempt=2)
    key = AttemptKey(run_id=run.id, attempt=attempt)
    for status in (RunStatus.SUCCEEDED, RunStatus.FAILED):
        assert accepts(run, key, status) is counts


def test_an_attempt_that_was_given_up_and_aborted_cancels_no_run() -> None:
    run = make_run(state=RunState.QUEUED)
    assert not accepts(run, key_of(run), RunStatus.CANCELLED)
    assert accepts(RUNNING, KEY, RunStatus.CANCELLED)


def test_a_run_is_tried_as_often_as_it_may_be() -> None:
    ends = [after_loss(make_run(attempt=n, max_attempts=3)) for n in (1, 2, 3)]
    assert ends == [RunState.QUEUED, RunState.QUEUED, RunState.FAILED]


class Fleet(RuleBasedStateMachine):
    """A store and a device that restarts, loses messages and finishes when it likes."""

    def __init__(self) -> None:
        super().__init__()
        self.runs: dict[str, Run] = {}
        self.results: dict[str, list[int]] = {}
        self.current: list[AttemptKey] = []
        self.outbox: dict[AttemptKey, RunStatus] = {}
        self.started: list[AttemptKey] = []
        self.cancelled: set[str] = set()
        self.in_flight: list[AttemptKey] = []

    def _set(self, run: Run, state: RunState, attempt: int | None = None) -> None:
        assert may_become(run.state, state)
        update = {"state": state, "attempt": run.attempt if attempt is None else attempt}
        if state is RunState.RUNNING:
            update["started_at"] = NOW
        self.runs[run.id] = run.model_copy(update=update)
        if state.final:
            self.results.setdefault(run.id, []).append(run.attempt)

    # --- users -------------------------------------------------------------------------------

    @rule(attempts=st.integers(1, 3), count=st.integers(1, 3))
    def submit(self, attempts: int, count: int) -> None:
        job = f"job{len(self.runs)}"
        for _ in range(count):
            name = f"run{len(self.runs)}"
            self.runs[name] = make_run(
                id=name, job_id=job, state=RunState.QUEUED, attempt=0, max_attempts=attempts
            )

    @rule(pick=st.integers(0, 100))
    def cancel(self, pick: int) -> None:
        waiting = [run for run in self.runs.values() if not run.state.final]
        if waiting:
            run = waiting[pick % len(waiting)]
            self.cancelled.add(run.id)
            self._set(run, RunState.CANCELLED)

    # --- the device --------------------------------------------------------------------------

    @precondition(lambda self: self.current)
    @rule(pick=st.integers(0, 100), clears=st.booleans())
    def finish(self, pick: int, clears: bool) -> None:
        """The outbox is written before the desk is cleared; the coordinator may look in between."""
        key = self.current[pick % len(self.current)]
        self.outbox.setdefault(key, RunStatus.SUCCEEDED)
        if clears:
            self.current.remove(key)

    @rule()
    def restart(self) -> None:
        self.current = []

    @precondition(lambda self: self.in_flight)
    @rule()
    def a_delayed_start_arrives(self) -> None:
        keys, self.in_flight = self.in_flight, []
        self._begin(keys)

    def _begin(self, keys: list[AttemptKey]) -> None:
        """As the agent does: not beside another assignment, and not what is finished."""
        if not self.current:
            self.current = [key for key in keys if key not in self.outbox]
            self.started += self.current

    # --- the coordinator ---------------------------------------------------------------------

    @rule(start_is=st.sampled_from(["heard", "lost", "late"]), acknowledged=st.booleans())
    def turn(self, start_is: str, acknowledged: bool) -> None:
        active = tuple(
            r for r in self.runs.values() if r.state in (RunState.ASSIGNED, RunState.RUNNING)
        )
        current = tuple(make_current(key) for key in self.current)
        status = make_status(current=current, finished=tuple(self.outbox))
        for action in decide(active, status):
            self._act(action, start_is, acknowledged)

    @rule()
    def silence(self) -> None:
        """The device was not heard of for a lease; it works on all the same."""
        for run in list(self.runs.values()):
            if run.state in (RunState.ASSIGNED, RunState.RUNNING):
                self._set(run, after_loss(run))

    def _act(self, action: Action, start_is: str, acknowledged: bool) -> None:
        if isinstance(action, Collect):
            run = self.runs[action.key.run_id]
            if accepts(run, action.key, self.outbox[action.key]):
                self._set(run, STATE_OF[self.outbox[action.key]])
            if acknowledged:
                del self.outbox[action.key]
        elif isinstance(action, Abort):
            self.current.remove(action.key)
            self.outbox.setdefault(action.key, RunStatus.CANCELLED)
        elif isinstance(action, MarkRunning):
            self._set(action.run, RunState.RUNNING)
        elif isinstance(action, GiveUp):
            self._set(action.run, after_loss(action.run))
        elif isinstance(action, StartNext):
            self._start(start_is)

    def _start(self, start_is: str) -> None:
        waiting = [run for run in self.runs.values() if run.state is RunState.QUEUED]
        group = together([run for run in waiting if run.job_id == waiting[0].job_id])
        for run in group:
            self._set(run, RunState.ASSIGNED, run.attempt + 1)
        keys = [key_of(self.runs[run.id]) for run in group]
        if start_is == "heard":
            assert not self.current
            self._begin(keys)
        elif start_is == "late":
            self.in_flight = keys

    # --- what must hold ----------------------------------------------------------------------

    @invariant()
    def every_run_waits_is_worked_on_or_has_ended_once(self) -> None:
        for run in self.runs.values():
            assert len(self.results.get(run.id, [])) == (1 if run.state.final else 0)
            assert run.attempt <= run.max_attempts

    @invariant()
    def only_users_cancel(self) -> None:
        ended = {run.id for run in self.runs.values() if run.state is RunState.CANCELLED}
        assert ended == self.cancelled

    @invariant()
    def no_attempt_was_started_twice(self) -> None:
        assert len(self.started) == len(set(self.started))

    @invariant()
    def one_assignment_at_a_time(self) -> None:
        active = [r for r in self.runs.values() if r.state in (RunState.ASSIGNED, RunState.RUNNING)]
        assert len({run.job_id for run in active}) <= 1
        assert len(active) <= MOST_RUNS_TOGETHER

    def teardown(self) -> None:
        """From wherever it is, a device that behaves brings every run to its end."""
        self.in_flight = []
        for _ in range(4 * len(self.runs) + 4):
            self.turn("heard", acknowledged=True)
            while self.current:
                self.finish(0, clears=True)
        assert all(run.state.final for run in self.runs.values())
        assert not self.outbox
        self.every_run_waits_is_worked_on_or_has_ended_once()


Fleet.TestCase.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)
TestFleet = Fleet.TestCase
