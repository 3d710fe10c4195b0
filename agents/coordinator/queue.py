"""The run's state machine and what to do next on a device. Pure: no Ray, no store, no clock.

queued ─▶ assigned ─▶ running ─▶ succeeded | failed | cancelled
▲         │           │
└─────────┴───────────┘  lost: again while attempts are left, then failed(lost)
"""

from __future__ import annotations

from dataclasses import dataclass

from agents.messages import AgentStatus, AttemptKey, Progress, Run, RunState

ALLOWED: dict[RunState, frozenset[RunState]] = {
    # A late result of an attempt that was given up may still arrive before the next one starts.
    RunState.QUEUED: frozenset(
        {RunState.ASSIGNED, RunState.CANCELLED, RunState.SUCCEEDED, RunState.FAILED}
    ),
    RunState.ASSIGNED: frozenset(
        {
            RunState.RUNNING,
            RunState.QUEUED,
            RunState.SUCCEEDED,
            RunState.FAILED,
            RunState.CANCELLED,
        }
    ),
    RunState.RUNNING: frozenset(
        {RunState.QUEUED, RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED}
    ),
    RunState.SUCCEEDED: frozenset(),
    RunState.FAILED: frozenset(),
    RunState.CANCELLED: frozenset(),
}

ACTIVE = (RunState.ASSIGNED, RunState.RUNNING)


def may_become(state: RunState, target: RunState) -> bool:
    """Whether the state machine has this edge."""
    return target in ALLOWED[state]


def accepts(run: Run, key: AttemptKey) -> bool:
    """Whether a result of ``key`` counts for ``run``.

    It does when it is the newest attempt and the run is not over: also when the run waits to be
    assigned again, for then the work that was thought lost is there after all.
    """
    return run.attempt == key.attempt and not run.state.final


@dataclass(frozen=True)
class Collect:
    """Fetch a finished attempt from the device's outbox, store it, acknowledge it."""

    key: AttemptKey


@dataclass(frozen=True)
class Abort:
    """Tell the device to end an attempt that is not wanted any more."""

    key: AttemptKey


@dataclass(frozen=True)
class MarkRunning:
    """The device has begun."""

    run: Run


@dataclass(frozen=True)
class ShowProgress:
    """Keep the progress for those who watch."""

    run: Run
    progress: Progress


@dataclass(frozen=True)
class GiveUp:
    """The attempt is lost: queue the run again, or fail it when no attempt is left."""

    run: Run
    reason: str


@dataclass(frozen=True)
class StartNext:
    """The device is idle: hand it its next run."""


Action = Collect | Abort | MarkRunning | ShowProgress | GiveUp | StartNext


def key_of(run: Run) -> AttemptKey:
    return AttemptKey(run_id=run.id, attempt=run.attempt)


def decide(active: tuple[Run, ...], status: AgentStatus) -> list[Action]:
    """What brings store and device together again.

    Args:
        active: the device's runs that the store holds as assigned or running.
        status: what the device's agent just said.
    """
    wanted = {key_of(run): run for run in active}
    actions: list[Action] = [Collect(key) for key in status.finished]
    current = status.current
    if current is not None and current not in wanted:
        actions.append(Abort(current))
    for key, run in wanted.items():
        actions.extend(_follow(run, key, status))
    if current is None and not _left(wanted, actions):
        actions.append(StartNext())
    return actions


def _follow(run: Run, key: AttemptKey, status: AgentStatus) -> list[Action]:
    if key in status.finished:
        return []
    if key != status.current:
        return [GiveUp(run, "the device's agent restarted and does not know the run")]
    actions: list[Action] = [MarkRunning(run)] if run.state is RunState.ASSIGNED else []
    if status.progress is not None:
        actions.append(ShowProgress(run, status.progress))
    return actions


def _left(wanted: dict[AttemptKey, Run], actions: list[Action]) -> bool:
    """Whether a run stays on the device after the actions."""
    collected = {action.key for action in actions if isinstance(action, Collect)}
    lost = {key_of(action.run) for action in actions if isinstance(action, GiveUp)}
    return bool(set(wanted) - collected - lost)


def after_loss(run: Run) -> RunState:
    """Where a run goes whose attempt was lost."""
    return RunState.FAILED if run.attempt >= run.max_attempts else RunState.QUEUED
