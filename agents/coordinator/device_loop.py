"""One device's loop: ask, decide, act. All that happens to its runs happens here, in turn."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import Executor
from typing import TypeVar

from agents.coordinator.calls import (
    AgentFailedError,
    Agents,
    DeviceUnreachableError,
    StrangeResultError,
)
from agents.coordinator.database import StoreFullError
from agents.coordinator.presence import Presence
from agents.coordinator.queue import (
    Abort,
    Action,
    Collect,
    GiveUp,
    MarkRunning,
    ShowProgress,
    StartNext,
    accepts,
    decide,
    key_of,
    measured_now,
)
from agents.coordinator.samples import SampleStore
from agents.coordinator.store import Store
from agents.coordinator.transfer import Transfers
from agents.messages import AssignedRun, Assignment, AttemptKey, Progress, Run
from profiler.base import Frozen
from profiler.errors import FleetmarkError
from profiler.events import Phase
from profiler.failure import result_without_figures
from profiler.result import FailureKind, RunError, RunStatus
from profiler.spec import ArtifactRef

log = logging.getLogger(__name__)

Value = TypeVar("Value")


class Timing(Frozen):
    """Seconds.

    Attributes:
        idle: between questions to an idle device; a new run wakes the loop at once.
        news: how long a busy device may keep a question until it has news.
        retry: after a question that was not answered.
        lease: an attempt is given up when its device was silent for so long.
    """

    idle: float = 2.0
    news: float = 2.0
    retry: float = 1.0
    lease: float = 30.0


class DeviceLoop:
    """Brings one device and the store together, again and again.

    Args:
        device_id: whose loop this is.
        executor: threads for the blocking calls.
        judge: told of every run whose result was stored and counts.
    """

    def __init__(
        self,
        device_id: str,
        agents: Agents,
        store: Store,
        samples: SampleStore,
        transfers: Transfers,
        presence: Presence,
        executor: Executor,
        timing: Timing | None = None,
        clock: Callable[[], float] = time.monotonic,
        judge: Callable[[str], None] = lambda _run_id: None,
    ) -> None:
        self.device_id = device_id
        self._agents = agents
        self._store = store
        self._samples = samples
        self._transfers = transfers
        self._presence = presence
        self._executor = executor
        self._timing = timing or Timing()
        self._clock = clock
        self._judge = judge
        self._wake = asyncio.Event()
        self._known = False
        self._version = -1
        self._heard = clock()
        self._busy = False

    def wake(self) -> None:
        """There may be something to do now. To be called on the loop's thread."""
        self._wake.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            pause = await self._guarded()
            if pause > 0:
                await self._sleep(pause)

    async def _sleep(self, seconds: float) -> None:
        # Not wait_for: before Python 3.12 it swallows a cancellation that comes together with what
        # it waits for (CPython issue 81839), and the loop would never end.
        alarm = asyncio.get_running_loop().call_later(seconds, self._wake.set)
        try:
            await self._wake.wait()
        finally:
            alarm.cancel()
            self._wake.clear()

    async def _guarded(self) -> float:
        """A turn; what goes wrong in it is told and tried again: no device is left alone."""
        try:
            return await self._turn_or_silence()
        except StoreFullError as error:
            log.error("%s: %s", self.device_id, error)  # noqa: TRY400 - the text says it all
        except Exception:
            log.exception("the loop of device %s failed; it goes on", self.device_id)
        return self._timing.retry

    async def _turn_or_silence(self) -> float:
        try:
            return await self._turn()
        except DeviceUnreachableError as error:
            self._known = False
            await self._call(self._unreachable, str(error))
        return self._timing.retry

    async def _call(self, function: Callable[..., Value], *args: object) -> Value:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, function, *args)

    async def _turn(self) -> float:
        if not self._known:
            await self._call(self._agents.ensure_agent, self.device_id)
            self._known, self._version, self._busy = True, -1, False
        wait = self._timing.news if self._busy else 0.0
        status = await self._call(self._agents.status, self.device_id, wait, self._version)
        self._heard = self._clock()
        self._version = status.version
        self._presence.answered(self.device_id, measured_now(status))
        active = await self._call(self._store.active_on, self.device_id)
        self._busy = bool(status.current)
        for action in decide(active, status):
            await self._act(action)
        return 0.0 if self._busy else self._timing.idle

    async def _act(self, action: Action) -> None:
        if isinstance(action, Collect):
            await self._call(self._collect, action.key)
        elif isinstance(action, Abort):
            await self._call(self._agents.abort, self.device_id, action.key)
        elif isinstance(action, MarkRunning):
            await self._call(self._store.mark_running, key_of(action.run))
        elif isinstance(action, ShowProgress):
            self._presence.show(action.run.id, action.progress)
        elif isinstance(action, GiveUp):
            await self._call(self._give_up, action.run, action.reason)
        elif isinstance(action, StartNext):
            await self._call(self._start_next)

    # --- the actions, each in a thread -------------------------------------------------------

    def _collect(self, key: AttemptKey) -> None:
        try:
            result, raw = self._agents.fetch(self.device_id, key)
        except StrangeResultError as error:
            # Asked for again it would be as strange, and the device could do nothing else.
            self._refuse_result(key, str(error))
            return
        if raw is not None:
            self._keep_samples(key, raw)
        counted = self._store.finish(key, result)
        self._presence.show(key.run_id, None)
        if not counted:
            log.info("a late result of run %s, attempt %d", key.run_id, key.attempt)
        try:
            self._agents.acknowledge(self.device_id, key)
        finally:
            # After it: what fails here must not keep the device from dropping the result.
            if counted:
                self._judge(key.run_id)

    def _refuse_result(self, key: AttemptKey, message: str) -> None:
        run = self._store.run(key.run_id)
        if accepts(run, key, RunStatus.FAILED):
            self._refuse(run, message)
        log.warning("run %s, attempt %d: %s", key.run_id, key.attempt, message)
        self._agents.acknowledge(self.device_id, key)

    def _keep_samples(self, key: AttemptKey, raw: bytes) -> None:
        try:
            self._samples.put(key.run_id, key.attempt, raw)
        except FleetmarkError as error:
            # The figures stand without them; refused for ever, the device could not go on.
            log.warning("%s", error)
        except OSError as error:
            raise StoreFullError(f"the raw iterations cannot be stored: {error}") from error

    def _give_up(self, run: Run, reason: str) -> None:
        target = self._store.give_up(key_of(run), reason)
        self._presence.show(run.id, None)
        if target is not None:
            log.warning("run %s, attempt %d: %s → %s", run.id, run.attempt, reason, target)

    def _unreachable(self, reason: str) -> None:
        self._presence.missing(self.device_id, reason)
        silent = self._clock() - self._heard
        if silent < self._timing.lease:
            return
        for run in self._store.active_on(self.device_id):
            self._give_up(run, f"the device was silent for {silent:.0f} s ({reason})")

    def _start_next(self) -> None:
        runs = self._store.assign_next(self.device_id)
        if not runs:
            return
        try:
            self._send_model(runs)
        except OSError as error:
            self._refuse_all(runs, f"the model cannot be read on the coordinator: {error}")
            return
        except AgentFailedError as error:
            self._refuse_all(runs, f"the device could not take the model: {error}")
            return
        except DeviceUnreachableError as error:
            for run in runs:
                self._give_up(run, f"the model did not reach the device: {error}")
            raise
        self._show_all(runs, Progress(phase=Phase.STARTING, fraction=0))
        assignment = Assignment(
            job_id=runs[0].job_id,
            device=runs[0].device,
            runs=tuple(AssignedRun(key=key_of(run), spec=run.spec) for run in runs),
        )
        self._busy = True
        self._agents.start(self.device_id, assignment)

    def _send_model(self, runs: tuple[Run, ...]) -> None:
        # One job, one model.
        model = runs[0].spec.model
        if not isinstance(model, ArtifactRef):
            return

        def show(fraction: float) -> None:
            self._show_all(runs, Progress(phase=Phase.SENDING_MODEL, fraction=fraction))

        self._transfers.send(self.device_id, model, show)

    def _show_all(self, runs: tuple[Run, ...], progress: Progress) -> None:
        for run in runs:
            self._presence.show(run.id, progress)

    def _refuse_all(self, runs: tuple[Run, ...], message: str) -> None:
        for run in runs:
            self._refuse(run, message)

    def _refuse(self, run: Run, message: str) -> None:
        result = result_without_figures(
            run_id=run.id,
            attempt=run.attempt,
            job_id=run.job_id,
            device=run.device,
            spec=run.spec,
            status=RunStatus.FAILED,
            error=RunError(kind=FailureKind.DEVICE_ERROR, message=message),
            started_at=run.created_at,
            environment=None,
            environment_reason="the run did not reach the device",
        )
        self._store.finish(key_of(run), result)
        self._presence.show(run.id, None)
