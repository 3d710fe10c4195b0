"""The state machine, and that whatever a device says no run is lost and none counted twice."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from agents.coordinator.queue import (
    ALLOWED,
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
)
from agents.messages import AttemptKey, Progress, Run, RunState
from profiler.events import Phase
from tests.builders import make_run, make_status

ASSIGNED = make_run(state=RunState.ASSIGNED)
RUNNING = make_run(state=RunState.RUNNING)
KEY = key_of(RUNNING)
OTHER = AttemptKey(run_id="run2", attempt=1)
OLD = AttemptKey(run_id="run1", attempt=0)
PROGRESS = Progress(phase=Phase.MEASURING, fraction=0.5)
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
        ((RUNNING,), {"current": KEY}, []),
        ((ASSIGNED,), {"current": KEY}, [MarkRunning(ASSIGNED)]),
        ((RUNNING,), {"current": KEY, "progress": PROGRESS}, [ShowProgress(RUNNING, PROGRESS)]),
        (
            (ASSIGNED,),
            {"current": KEY, "progress": PROGRESS},
            [MarkRunning(ASSIGNED), ShowProgress(ASSIGNED, PROGRESS)],
        ),
        # done: collected, and the next one starts at once
        ((RUNNING,), {"finished": (KEY,)}, [Collect(KEY), StartNext()]),
        # done, but the agent has not cleared its desk yet
        ((RUNNING,), {"current": KEY, "finished": (KEY,)}, [Collect(KEY)]),
        # results of attempts that nobody waits for are collected too
        ((), {"finished": (OTHER,)}, [Collect(OTHER), StartNext()]),
        ((RUNNING,), {"current": KEY, "finished": (OTHER,)}, [Collect(OTHER)]),
        # the agent restarted
        ((RUNNING,), {}, [GiveUp(RUNNING, GONE), StartNext()]),
        ((ASSIGNED,), {}, [GiveUp(ASSIGNED, GONE), StartNext()]),
        # it works on what is not wanted (any more)
        ((), {"current": OTHER}, [Abort(OTHER)]),
        ((RUNNING,), {"current": OTHER}, [Abort(OTHER), GiveUp(RUNNING, GONE)]),
        ((RUNNING,), {"current": OLD}, [Abort(OLD), GiveUp(RUNNING, GONE)]),
        # another attempt of the same run is no news of this one
        ((RUNNING,), {"finished": (OLD,)}, [Collect(OLD), GiveUp(RUNNING, GONE), StartNext()]),
    ],
)
def test_what_to_do_next(
    active: tuple[Run, ...], status: dict[str, Any], actions: list[Action]
) -> None:
    assert decide(active, make_status(**status)) == actions


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
    assert accepts(run, AttemptKey(run_id=run.id, attempt=attempt)) is counts


def test_a_run_is_tried_as_often_as_it_may_be() -> None:
    ends = [after_loss(make_run(attempt=n, max_attempts=3)) for n in (1, 2, 3)]
    assert ends == [RunState.QUEUED, RunState.QUEUED, RunState.FAILED]


class Fleet(RuleBasedStateMachine):
    """A store and a device that restarts, loses messages and finishes when it likes."""

    def __init__(self) -> None:
        super().__init__()
        self.runs: dict[str, Run] = {}
        self.results: dict[str, list[int]] = {}
        self.current: AttemptKey | None = None
        self.outbox: list[AttemptKey] = []
        self.started: list[AttemptKey] = []
        self.in_flight: AttemptKey | None = None

    def _set(self, run: Run, state: RunState, attempt: int | None = None) -> None:
        assert may_become(run.state, state)
        update = {"state": state, "attempt": run.attempt if attempt is None else attempt}
        self.runs[run.id] = run.model_copy(update=update)
        if state.final:
            self.results.setdefault(run.id, []).append(run.attempt)

    # --- users -------------------------------------------------------------------------------

    @rule(attempts=st.integers(1, 3))
    def submit(self, attempts: int) -> None:
        name = f"run{len(self.runs)}"
        self.runs[name] = make_run(id=name, state=RunState.QUEUED, attempt=0, max_attempts=attempts)

    @rule(pick=st.integers(0, 100))
    def cancel(self, pick: int) -> None:
        waiting = [run for run in self.runs.values() if not run.state.final]
        if waiting:
            self._set(waiting[pick % len(waiting)], RunState.CANCELLED)

    # --- the device --------------------------------------------------------------------------

    @precondition(lambda self: self.current is not None)
    @rule(clears=st.booleans())
    def finish(self, clears: bool) -> None:
        """The outbox is written before the desk is cleared; the coordinator may look in between."""
        if self.current not in self.outbox:
            self.outbox.append(self.current)
        if clears:
            self.current = None

    @rule()
    def restart(self) -> None:
        if self.current is not None:
            self.current = None

    @precondition(lambda self: self.in_flight is not None)
    @rule()
    def a_delayed_start_arrives(self) -> None:
        key, self.in_flight = self.in_flight, None
        assert key is not None
        if self.current is None and key not in self.outbox:
            self.current = key
            self.started.append(key)

    # --- the coordinator ---------------------------------------------------------------------

    @rule(start_is=st.sampled_from(["heard", "lost", "late"]), acknowledged=st.booleans())
    def turn(self, start_is: str, acknowledged: bool) -> None:
        active = tuple(
            r for r in self.runs.values() if r.state in (RunState.ASSIGNED, RunState.RUNNING)
        )
        status = make_status(current=self.current, finished=tuple(self.outbox))
        for action in decide(active, status):
            self._act(action, start_is, acknowledged)

    def _act(self, action: Action, start_is: str, acknowledged: bool) -> None:
        if isinstance(action, Collect):
            run = self.runs[action.key.run_id]
            if accepts(run, action.key):
                self._set(run, RunState.SUCCEEDED)
            if acknowledged:
                self.outbox.remove(action.key)
        elif isinstance(action, Abort):
            self.current = None
        elif isinstance(action, MarkRunning):
            self._set(action.run, RunState.RUNNING)
        elif isinstance(action, GiveUp):
            self._set(action.run, after_loss(action.run))
        elif isinstance(action, StartNext):
            self._start(start_is)

    def _start(self, start_is: str) -> None:
        waiting = [run for run in self.runs.values() if run.state is RunState.QUEUED]
        if not waiting:
            return
        run = waiting[0]
        self._set(run, RunState.ASSIGNED, run.attempt + 1)
        key = key_of(self.runs[run.id])
        if start_is == "heard" and key not in self.outbox:
            assert self.current is None
            self.current = key
            self.started.append(key)
        elif start_is == "late":
            self.in_flight = key

    # --- what must hold ----------------------------------------------------------------------

    @invariant()
    def every_run_waits_is_worked_on_or_has_ended_once(self) -> None:
        for run in self.runs.values():
            assert len(self.results.get(run.id, [])) == (1 if run.state.final else 0)
            assert run.attempt <= run.max_attempts

    @invariant()
    def no_attempt_was_started_twice(self) -> None:
        assert len(self.started) == len(set(self.started))

    @invariant()
    def one_at_a_time(self) -> None:
        active = [r for r in self.runs.values() if r.state in (RunState.ASSIGNED, RunState.RUNNING)]
        assert len(active) <= 1

    def teardown(self) -> None:
        """From wherever it is, a device that behaves brings every run to its end."""
        self.in_flight = None
        for _ in range(4 * len(self.runs) + 4):
            self.turn("heard", acknowledged=True)
            if self.current is not None:
                self.finish(clears=True)
        assert all(run.state.final for run in self.runs.values())
        assert not self.outbox
        self.every_run_waits_is_worked_on_or_has_ended_once()


Fleet.TestCase.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)
TestFleet = Fleet.TestCase
