"""What the device is working on, and when that is news."""

from __future__ import annotations

import pytest

from agents.device.desk import PROGRESS_SECONDS, Desk
from agents.device.telemetry import AgentState
from agents.messages import AttemptKey, CurrentRun
from profiler.events import Phase, ProgressEvent

A, B = (AttemptKey(run_id=name, attempt=1) for name in "ab")


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def state() -> AgentState:
    return AgentState()


@pytest.fixture
def desk(state: AgentState, clock: Clock) -> Desk:
    return Desk(state, clock)


def event(phase: Phase, fraction: float = 0.1) -> ProgressEvent:
    return ProgressEvent(phase=phase, fraction=fraction, iterations=3, p50_seconds=0.01)


def version(desk: Desk) -> int:
    return desk.look(0, -1)[0]


def runs(desk: Desk) -> dict[AttemptKey, CurrentRun]:
    return {each.key: each for each in desk.look(0, -1)[1]}


def phases(desk: Desk) -> list[Phase]:
    return [each.progress.phase for each in runs(desk).values()]


def test_it_is_free_until_something_is_begun(desk: Desk, state: AgentState) -> None:
    assert desk.assigned == frozenset()
    assert runs(desk) == {}
    desk.begin([A, B])
    assert desk.assigned == {A, B}
    assert phases(desk) == [Phase.STARTING, Phase.STARTING]
    assert state.busy


def test_it_is_free_again_once_the_last_has_ended(desk: Desk, state: AgentState) -> None:
    desk.begin([A, B])
    desk.clear(A)
    assert desk.has(B)
    assert not desk.has(A)
    # What was begun together is one assignment to its end.
    assert desk.assigned == {A, B}
    assert state.busy
    desk.clear(B)
    assert desk.assigned == frozenset()
    assert not state.busy


def test_each_has_its_own_end(desk: Desk) -> None:
    first, second = desk.begin([A, B])
    desk.cancel(AttemptKey(run_id="a", attempt=2))
    assert not first.is_set()
    desk.cancel(A)
    assert (first.is_set(), second.is_set()) == (True, False)


def test_one_has_its_turn_and_the_others_wait(desk: Desk) -> None:
    desk.begin([A, B])
    desk.progress(A, event(Phase.MEASURING, 0.2))
    assert phases(desk) == [Phase.MEASURING, Phase.WAITING]
    desk.progress(B, event(Phase.LOADING, 0.0))
    assert phases(desk) == [Phase.WAITING, Phase.LOADING]
    # How far it has come stays to be seen.
    assert runs(desk)[A].progress.fraction == 0.2
    assert runs(desk)[A].progress.p50_seconds == 0.01


def test_a_phase_is_news_at_once_and_the_rest_seldom(desk: Desk, clock: Clock) -> None:
    desk.begin([A, B])
    desk.progress(A, event(Phase.WARMUP))
    before = version(desk)
    for step in range(50):
        desk.progress(A, event(Phase.WARMUP, 0.1 + step / 1000))
    assert version(desk) == before
    clock.now += PROGRESS_SECONDS
    desk.progress(A, event(Phase.WARMUP, 0.2))
    assert version(desk) == before + 1
    desk.progress(A, event(Phase.MEASURING, 0.3))
    # Another's turn is news too, be it in the same phase.
    desk.progress(B, event(Phase.MEASURING, 0.3))
    assert version(desk) == before + 3


def test_what_is_said_of_one_that_has_ended_is_no_news(desk: Desk) -> None:
    desk.begin([A, B])
    desk.clear(A)
    before = version(desk)
    desk.progress(A, event(Phase.MEASURING))
    desk.cancel(A)
    desk.clear(A)
    assert version(desk) == before
    assert phases(desk) == [Phase.STARTING]
