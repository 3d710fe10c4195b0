"""The coordinator's work, apart from HTTP: registration, jobs, loops, snapshots."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone

from agents.coordinator.admission import refuse_versions
from agents.coordinator.auth import Role, Tokens, sha256
from agents.coordinator.calls import Agents
from agents.coordinator.device_loop import DeviceLoop, Timing
from agents.coordinator.events import Streams
from agents.coordinator.expand import Plan, expand
from agents.coordinator.judge import Judge
from agents.coordinator.models import ModelStore
from agents.coordinator.presence import Presence
from agents.coordinator.rows import DeviceRecord
from agents.coordinator.samples import SampleStore
from agents.coordinator.selector import select
from agents.coordinator.store import Store
from agents.coordinator.store_errors import GoneError, NotFoundError
from agents.coordinator.telemetry import Telemetry
from agents.coordinator.transfer import Transfers
from agents.coordinator.watching import Watching
from agents.exporter import CoordinatorSnapshot, RunCount
from agents.messages import (
    Admission,
    Device,
    Heartbeat,
    HeartbeatAnswer,
    Job,
    JobRequest,
    JobWithRuns,
    Registration,
    RunList,
    Versions,
)
from agents.verdicts import History, Standing, StandingList, VerdictDetail
from agents.views import MeasuredModelList, Preview
from profiler.base import Frozen
from profiler.errors import InputError
from profiler.fit import refuse_inputs
from profiler.metrics import RUNS_NAMED
from profiler.result import RunResult
from profiler.spec import ArtifactRef

log = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 5.0
# Blocking calls to devices, at most this many at once.
THREADS = 64


class Cluster(Frozen):
    """The Ray cluster that devices join."""

    cluster_id: str
    address: str
    token: str


class Coordinator:
    """Everything between the API and the devices.

    Args:
        cluster: told to devices that register.
        versions: of this coordinator; a device must have the same Ray and Python.
    """

    def __init__(
        self,
        *,
        store: Store,
        models: ModelStore,
        samples: SampleStore,
        fleet: Agents,
        tokens: Tokens,
        cluster: Cluster,
        versions: Versions,
        timing: Timing | None = None,
    ) -> None:
        self._store = store
        self.models = models
        self.samples = samples
        self._fleet = fleet
        self._tokens = tokens
        self._cluster = cluster
        self._versions = versions
        self._timing = timing
        self._presence = Presence(lambda: datetime.now(timezone.utc))
        self.listings = store.listings
        self.watching = Watching(store, self._presence, Telemetry(tokens))
        self.streams = Streams()
        self._transfers = Transfers(fleet, models)
        self._judge = Judge(store, samples)
        self._executor = ThreadPoolExecutor(THREADS, thread_name_prefix="device")
        self._loops: dict[str, tuple[DeviceLoop, asyncio.Task[None]]] = {}
        self._event_loop: asyncio.AbstractEventLoop | None = None

    # --- life --------------------------------------------------------------------------------

    async def start(self) -> None:
        """Take up every device that the store knows."""
        self._event_loop = asyncio.get_running_loop()
        for record in self._store.devices():
            self._follow(record.id)
        self._event_loop.run_in_executor(self._executor, self._catch_up)

    def _catch_up(self) -> None:
        try:
            self._judge.catch_up()
        except Exception:
            # Nobody waits for it; the results themselves are there.
            log.exception("the verdicts on runs that were stored before are not complete")

    async def stop(self) -> None:
        self.streams.close()
        tasks = [task for _, task in self._loops.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._loops.clear()
        self._judge.close()
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _follow(self, device_id: str) -> None:
        """Start the device's loop, or wake it. On the event loop's thread."""
        if device_id in self._loops:
            self._loops[device_id][0].wake()
            return
        loop = DeviceLoop(
            device_id,
            self._fleet,
            self._store,
            self.samples,
            self._transfers,
            self._presence,
            self._executor,
            self._timing,
            judge=self._judge.judge,
        )
        self._loops[device_id] = (loop, asyncio.create_task(loop.run()))

    def _unfollow(self, device_id: str) -> None:
        loop = self._loops.pop(device_id, None)
        if loop is not None:
            loop[1].cancel()

    def _soon(self, function: Callable[[str], None], device_ids: Iterable[str]) -> None:
        """From any thread to the event loop's."""
        if self._event_loop is not None:
            for device_id in device_ids:
                self._event_loop.call_soon_threadsafe(function, device_id)

    # --- devices -----------------------------------------------------------------------------

    def register(self, asked: Registration) -> Admission:
        """Admit a device.

        Raises:
            InputError: its versions do not fit, or its name is taken.
        """
        refuse_versions(asked.versions, self._versions)
        record = self._store.register(asked)
        self._presence.joining(record.id)
        self._soon(self._follow, [record.id])
        log.info("device %s registered from %s", record.name, record.address)
        return Admission(
            device_id=record.id,
            cluster_id=self._cluster.cluster_id,
            ray_address=self._cluster.address,
            ray_token=self._cluster.token,
            metrics_token_sha256=sha256(self._tokens.token(Role.METRICS)),
            heartbeat_seconds=HEARTBEAT_SECONDS,
        )

    def heartbeat(self, device_id: str, beat: Heartbeat) -> HeartbeatAnswer:
        """Raises:
        NotFoundError: the device was removed, or its key is not its own.
        """
        if not self._store.seen(device_id, beat.device_key):
            if self._store.was_removed(device_id):
                raise GoneError("this device was removed from the fleet")
            raise NotFoundError("this device is not registered (any more)")
        return HeartbeatAnswer(rejoin=beat.cluster_id != self._cluster.cluster_id)

    def devices(self) -> tuple[Device, ...]:
        return tuple(self._presence.view(record) for record in self._store.devices())

    def device_names(self) -> tuple[str, ...]:
        return tuple(line.name for line in self._store.device_lines())

    def remove_device(self, name: str) -> None:
        device_id = self._store.remove_device(name)
        self._presence.forget(device_id)
        self._soon(self._unfollow, [device_id])
        self._fleet.forget(device_id)

    # --- models that were measured ------------------------------------------------------------

    def measured_models(self) -> MeasuredModelList:
        return MeasuredModelList(models=self._store.models.all())

    def remove_model(self, model: str) -> None:
        self._store.models.remove(model)

    # --- jobs --------------------------------------------------------------------------------

    def submit(self, request: JobRequest) -> JobWithRuns:
        """Queue a job: all of its runs, or none.

        Raises:
            InputError: the request makes no sense for this fleet; nothing was stored.
        """
        request, chosen, plan = self._planned(request)
        job, runs = self._store.add_job(request, plan)
        self._soon(self._wake, {record.id for record in chosen})
        return JobWithRuns(job=job, runs=self.watching.with_progress(runs))

    def preview(self, request: JobRequest) -> Preview:
        """What ``submit`` would queue.

        Raises:
            InputError: as ``submit`` does.
        """
        _, chosen, plan = self._planned(request)
        per_device = len(plan) // len(chosen)
        return Preview(
            runs=len(plan),
            devices=tuple(record.name for record in chosen),
            runs_per_device=per_device,
            seconds_per_device=per_device * request.max_time_seconds,
        )

    def _planned(self, request: JobRequest) -> tuple[JobRequest, tuple[DeviceRecord, ...], Plan]:
        records = {record.id: record for record in self._store.devices()}
        views = tuple(self._presence.view(record) for record in records.values())
        chosen = tuple(records[device.id] for device in select(request.devices, views))
        request = self._with_known_model(request)
        return request, chosen, expand(request, chosen)

    def _wake(self, device_id: str) -> None:
        if device_id in self._loops:
            self._loops[device_id][0].wake()

    def _with_known_model(self, request: JobRequest) -> JobRequest:
        """The request with the model as stored: what the client says of a file is not believed."""
        model = request.model
        if not isinstance(model, ArtifactRef):
            return request
        try:
            stored = self.models.stored(model.digest, model.name)
        except FileNotFoundError as error:
            raise InputError(
                "model", model.digest, "is not in the model store", "Upload the file first"
            ) from error
        path = self.models.path(stored.digest)
        refuse_inputs(
            stored, path, request.axes.batch_size, request.inputs, request.axes.resolution
        )
        return request.model_copy(update={"model": stored})

    def jobs(self, limit: int) -> tuple[Job, ...]:
        return self._store.jobs(limit)

    def job(self, job_id: str) -> JobWithRuns:
        job = self._store.job(job_id)
        return JobWithRuns(job=job, runs=self.watching.with_progress(self._store.runs_of(job_id)))

    def cancel(self, job_id: str) -> Job:
        """Cancel what is not over. A device that works on it is told at its next turn."""
        cancelled = self._store.cancel_job(job_id)
        for run in cancelled:
            self._presence.show(run.id, None)
        self._soon(self._wake, {run.device_id for run in cancelled})
        return self._store.job(job_id)

    # --- results -----------------------------------------------------------------------------

    def runs(self, limit: int, job_id: str | None, device: str | None) -> RunList:
        return RunList(
            runs=self._store.results(limit, job_id, device),
            pending=self.watching.with_progress(self._store.pending(limit, job_id, device)),
        )

    def result(self, run_id: str) -> RunResult:
        """Raises:
        NotFoundError: there is no such run, or it is not over.
        """
        run = self._store.run(run_id)
        result = self._store.result(run_id)
        if result is None:
            raise NotFoundError(f"run {run_id} is {run.state}; it has no result yet")
        return result

    # --- baselines ---------------------------------------------------------------------------

    def pin_baseline(self, run_id: str) -> Standing:
        """Compare what this run measured with it from now on, its latest run at once.

        Raises:
            NotFoundError: there is no such run, or it is not over.
            InputError: it did not succeed.
        """
        self._judge.judge(self._store.baselines.pin(run_id))
        return self._store.baselines.standing(run_id)

    def unpin_baseline(self, run_id: str) -> Standing:
        """Raises:
        NotFoundError: there is no such run, or nothing is pinned for what it measured.
        """
        self._judge.judge(self._store.baselines.unpin(run_id))
        return self._store.baselines.standing(run_id)

    def verdict(self, run_id: str) -> VerdictDetail:
        """Raises:
        NotFoundError: there is none, for a reason that it tells.
        """
        return self._store.baselines.verdict(run_id)

    def standings(self, limit: int, device: str | None, model: str | None) -> StandingList:
        return StandingList(standings=self._store.baselines.standings(limit, device, model))

    def history(self, limit: int, device: str | None, model: str | None) -> History:
        return History(runs=self._store.baselines.history(limit, device, model))

    # --- for Prometheus ----------------------------------------------------------------------

    def snapshot(self) -> CoordinatorSnapshot:
        latest, recent = self._store.figures.latest_and_recent(RUNS_NAMED)
        return CoordinatorSnapshot(
            build=self._versions,
            devices=self.devices(),
            latest=latest,
            verdicts=self._store.baselines.latest(),
            recent=recent,
            run_counts=tuple(
                RunCount.model_validate(count.model_dump()) for count in self._store.run_counts()
            ),
            job_counts=self._store.job_counts(),
            queued=self._store.queued_counts(),
        )

    def records(self) -> tuple[DeviceRecord, ...]:
        return self._store.devices()
