"""The run's state machine and what to do next on a device. Pure: no Ray, no store, no clock.

queued ─▶ assigned ─▶ running ─▶ succeeded | failed | cancelled
▲         │           │
└─────────┴───────────┘  lost: again while attempts are left, then failed(lost)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from agents.messages import AgentStatus, AttemptKey, Progress, Run, RunState
from profiler.events import Phase
from profiler.result import RunStatus

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


def accepts(run: Run, key: AttemptKey, status: RunStatus) -> bool:
    """Whether a result of ``key`` counts for ``run``.

    It does when it is the newest attempt and the run is not over: also when the run waits to be
    assigned again, for then the work that was thought lost is there after all. Unless it is that
    of our own ``Abort`` of that attempt: nobody has cancelled the run.
    """
    aborted = run.state is RunState.QUEUED and status is RunStatus.CANCELLED
    return run.attempt == key.attempt and not run.state.final and not aborted


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
    """The device is idle: hand it its next runs."""


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
    current = {each.key: each.progress for each in status.current}
    actions: list[Action] = [Collect(key) for key in status.finished]
    actions += [Abort(key) for key in current if key not in wanted]
    for key, run in wanted.items():
        if key not in status.finished:
            actions += _follow(run, current.get(key))
    if not current:
        # What the store held as active is collected or given up by now.
        actions.append(StartNext())
    return actions


def _follow(run: Run, progress: Progress | None) -> list[Action]:
    """News of a run that has no result yet; ``None`` when the device does not know it."""
    if progress is None:
        return [GiveUp(run, "the device's agent restarted and does not know the run")]
    begun: list[Action] = [MarkRunning(run)] if run.state is RunState.ASSIGNED else []
    return [*begun, ShowProgress(run, progress)]


def measured_now(status: AgentStatus) -> str | None:
    """Which of the device's runs has its turn; ``None`` when the device is idle."""
    if not status.current:
        return None
    at_work = [each for each in status.current if each.progress.phase is not Phase.WAITING]
    return (at_work or status.current)[0].key.run_id


def after_loss(run: Run) -> RunState:
    """Where a run goes whose attempt was lost."""
    return RunState.FAILED if run.attempt >= run.max_attempts else RunState.QUEUED


# --- which runs a device gets together -------------------------------------------------------

# Runs that take turns have no result before the last turn, and a device that is lost in between
# costs all of them an attempt. So they are few, and their measuring takes minutes, not hours: what
# changes with the time of day is not what the turns are for.
MOST_RUNS_TOGETHER = 8
MOST_SECONDS_TOGETHER = 600.0
# Each needs a worker of its own with its engine's libraries in memory, some 300 MB for torch.
MOST_WORKERS_TOGETHER = 4


def together(waiting: Sequence[Run]) -> tuple[Run, ...]:
    """The runs that a device gets next: their repetitions take turns there.

    A run that had begun when its device was lost is measured alone. If it was one of these that
    took the device down, the others do not meet it again, and each has its attempts for itself.

    Args:
        waiting: one job's queued runs on one device, in their order.

    Returns:
        as many of the first ones as fit; at least one, if there are any.
    """
    group: list[Run] = []
    for run in waiting:
        if group and not _fits(group, run):
            break
        group.append(run)
        if run.started_at is not None:
            break
    return tuple(group)


def _fits(group: Sequence[Run], run: Run) -> bool:
    everyone = (*group, run)
    return (
        run.started_at is None
        and len(everyone) <= MOST_RUNS_TOGETHER
        and sum(each.spec.max_time_seconds for each in everyone) <= MOST_SECONDS_TOGETHER
        and len({(each.spec.runtime, each.spec.threads) for each in everyone})
        <= MOST_WORKERS_TOGETHER
    )
