"""The agent on a device, as a Ray actor: takes models, measures what it is given, keeps results.

The class knows nothing of Ray: the coordinator makes an actor of it. Its methods are short and
safe to repeat; the runs go on in a thread, in which ``profiler.session`` follows the workers. The
runs of an assignment take turns there: one repetition at a time is measured.
"""

from __future__ import annotations

import logging
import os
import random
import shutil
import threading
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path

from agents.device.bench import Bench
from agents.device.cache import ModelCache
from agents.device.config import CONFIG_VARIABLE, AgentConfig
from agents.device.desk import Desk
from agents.device.outbox import Outbox
from agents.device.telemetry import AgentState, start_metrics
from agents.messages import AgentStatus, AssignedRun, Assignment, AttemptKey, StartAnswer
from profiler.device.fingerprint import load_overhead
from profiler.events import ProgressEvent, WorkerRequest
from profiler.failure import result_without_figures
from profiler.pool import WorkerPool
from profiler.result import FailureKind, Overhead, RunError, RunResult, RunStatus
from profiler.samples import FILE_NAME
from profiler.session import measure, new_work_dir
from profiler.spec import ArtifactRef

log = logging.getLogger(__name__)


class DeviceAgent:
    """One device's agent.

    Args:
        device_id: as the coordinator knows it; must be the one in the daemon's configuration.
    """

    def __init__(self, device_id: str) -> None:
        path = Path(os.environ[CONFIG_VARIABLE])
        self._config = AgentConfig.model_validate_json(path.read_bytes())
        if self._config.device_id != device_id:
            raise ValueError(f"{path} is of device {self._config.device_id}, not {device_id}")
        self._models = ModelCache(self._config.cache_dir / "models")
        self._outbox = Outbox(self._config.state_dir / "outbox")
        self._work = self._config.state_dir / "work"
        # What a killed agent left; its runs are lost and will come again.
        shutil.rmtree(self._work, ignore_errors=True)
        self._state = AgentState()
        self._desk = Desk(self._state)
        self._metrics = start_metrics(self._config, self._state)
        self._bench = Bench(self._make_pool, self._config.keep_warm_seconds)
        self._bench.start()

    # --- asked by the coordinator ------------------------------------------------------------

    def status(self, wait_seconds: float, version: int) -> str:
        """``AgentStatus`` as JSON; waits for news after ``version``, so that nobody need poll."""
        with self._desk.lock:
            # The desk before the outbox: what ends in between is seen twice, not nowhere.
            version, current = self._desk.look(wait_seconds, version)
            return AgentStatus(
                device_id=self._config.device_id,
                version=version,
                current=current,
                finished=self._outbox.keys(),
                cached_models=self._models.digests(),
            ).model_dump_json()

    def start(self, assignment_json: str) -> str:
        """Begin an assignment, unless another is on, whatever the scheduler thinks."""
        assignment = Assignment.model_validate_json(assignment_json)
        with self._desk.lock:
            busy_with = self._desk.assigned
            if busy_with:
                same = busy_with == assignment.keys
                return StartAnswer(outcome="accepted" if same else "busy").model_dump_json()
            left = tuple(run for run in assignment.runs if not self._outbox.has(run.key))
            if not left:
                return StartAnswer(outcome="already_finished").model_dump_json()
            self._begin(assignment.model_copy(update={"runs": left}))
        return StartAnswer(outcome="accepted").model_dump_json()

    def abort(self, key_json: str) -> None:
        """End an attempt that is not wanted any more; its cancelled result goes to the outbox."""
        self._desk.cancel(AttemptKey.model_validate_json(key_json))

    def fetch(self, key_json: str) -> tuple[str, bytes | None]:
        """A finished attempt: ``RunResult`` as JSON, and its raw iterations."""
        return self._outbox.get(AttemptKey.model_validate_json(key_json))

    def acknowledge(self, key_json: str) -> None:
        """The coordinator has stored it."""
        with self._desk.lock:
            self._outbox.drop(AttemptKey.model_validate_json(key_json))

    def model_offset(self, digest: str) -> int:
        return self._models.offset(digest)

    def model_chunk(self, digest: str, size: int, offset: int, chunk: bytes) -> None:
        self._models.append(digest, size, offset, chunk)

    # --- the runs ----------------------------------------------------------------------------

    def _begin(self, assignment: Assignment) -> None:
        cancels = self._desk.begin([run.key for run in assignment.runs])
        self._bench.do(lambda pool: self._run(assignment, cancels, pool))

    def _make_pool(self) -> WorkerPool:
        return WorkerPool(
            python=self._config.worker_python, base_environment=self._config.environment
        )

    def _run(
        self, assignment: Assignment, cancels: Sequence[threading.Event], pool: WorkerPool
    ) -> None:
        try:
            self._measure(assignment, cancels, pool)
        except Exception as error:
            # Nobody waits for the bench, so what goes wrong in it must become the runs' result.
            log.exception("job %s failed on this device", assignment.job_id)
            for run in assignment.runs:
                if self._desk.has(run.key):
                    self._deliver(run.key, _device_failure(run, assignment, error), None)
        finally:
            for run in assignment.runs:
                self._desk.clear(run.key)

    def _measure(
        self, assignment: Assignment, cancels: Sequence[threading.Event], pool: WorkerPool
    ) -> None:
        runs = assignment.runs
        overhead = load_overhead(self._config.cache_dir)
        requests: list[WorkerRequest] = []

        def on_progress(place: int, event: ProgressEvent) -> None:
            run = runs[place]
            if event.latencies is not None:
                self._state.latencies.add(run.key.run_id, run.spec, event.latencies)
            self._desk.progress(run.key, event)

        def on_result(place: int, result: RunResult) -> None:
            self._deliver(runs[place].key, result, requests[place].work_dir)

        try:
            requests.extend(self._request(run, assignment, overhead) for run in runs)
            measure(
                requests,
                pool,
                on_progress=on_progress,
                on_result=on_result,
                cancels=cancels,
                seed=_order_seed(assignment),
            )
        finally:
            for request in requests:
                shutil.rmtree(request.work_dir, ignore_errors=True)

    def _request(
        self, run: AssignedRun, assignment: Assignment, overhead: Overhead | None
    ) -> WorkerRequest:
        model = run.spec.model
        return WorkerRequest(
            run_id=run.key.run_id,
            attempt=run.key.attempt,
            job_id=assignment.job_id,
            device=assignment.device,
            spec=run.spec,
            model_path=self._models.path(model.digest) if isinstance(model, ArtifactRef) else None,
            cache_dir=self._config.cache_dir,
            work_dir=new_work_dir(self._work, run.key.run_id, run.key.attempt),
            overhead=overhead,
            sensors=self._config.sensors,
            newest_path=self._state.newest.path,
        )

    def _deliver(self, key: AttemptKey, result: RunResult, work_dir: Path | None) -> None:
        """To the outbox, and then off the desk. What fails of it costs the other runs nothing."""
        try:
            self._keep(key, result, work_dir)
        except OSError:
            # The coordinator finds the run neither here nor there, and gives the attempt up.
            log.exception("run %s: its result cannot be kept", key.run_id)
        finally:
            self._desk.clear(key)

    def _keep(self, key: AttemptKey, result: RunResult, work_dir: Path | None) -> None:
        raw = work_dir / FILE_NAME if work_dir is not None else None
        try:
            self._outbox.put(key, result, raw.read_bytes() if raw and raw.exists() else None)
        except OSError:
            # A disk without room for the raw iterations may have some for the figures.
            log.exception("run %s: the raw iterations cannot be kept", key.run_id)
            self._outbox.put(key, result, None)
        finally:
            if work_dir is not None:
                shutil.rmtree(work_dir, ignore_errors=True)
        self._state.count(result)


def _order_seed(assignment: Assignment) -> int:
    """Another for each assignment of a job, and the same ones when the job is submitted again."""
    spec = assignment.runs[0].spec
    text = f"{spec.seed}/{assignment.device}/{spec.model_dump_json()}"
    return random.Random(text).getrandbits(32)  # noqa: S311 - an order of measurement, no secret


def _device_failure(run: AssignedRun, assignment: Assignment, error: Exception) -> RunResult:
    """The result of a run that the agent itself could not carry out."""
    message = f"the agent could not carry out the run: {type(error).__name__}: {error}"
    return result_without_figures(
        run_id=run.key.run_id,
        attempt=run.key.attempt,
        job_id=assignment.job_id,
        device=assignment.device,
        spec=run.spec,
        status=RunStatus.FAILED,
        error=RunError(kind=FailureKind.DEVICE_ERROR, message=message),
        started_at=datetime.now(timezone.utc),
        environment=None,
        environment_reason="the run did not begin",
    )
