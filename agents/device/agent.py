"""The agent on a device, as a Ray actor: takes models, runs one run at a time, keeps the results.

The class knows nothing of Ray: the coordinator makes an actor of it. Its methods are short and
safe to repeat; a run goes on in a thread, in which ``profiler.session`` follows the worker.
"""

from __future__ import annotations

import logging
import os
import shutil
import threading
import time
from datetime import datetime, timezone
from pathlib import Path

from agents.device.bench import Bench
from agents.device.cache import ModelCache
from agents.device.config import CONFIG_VARIABLE, AgentConfig
from agents.device.outbox import Outbox
from agents.device.telemetry import AgentState, start_metrics
from agents.messages import AgentStatus, Assignment, AttemptKey, Progress, StartAnswer
from profiler.device.fingerprint import load_overhead
from profiler.events import Phase, ProgressEvent, WorkerRequest
from profiler.failure import result_without_figures
from profiler.pool import WorkerPool
from profiler.result import FailureKind, RunError, RunResult, RunStatus
from profiler.samples import FILE_NAME
from profiler.session import new_work_dir, run_worker
from profiler.spec import ArtifactRef

log = logging.getLogger(__name__)

# News for people; more often would wake the device while it measures.
PROGRESS_SECONDS = 0.5


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
        self._news = threading.Condition()
        self._version = 0
        self._current: AttemptKey | None = None
        self._progress: Progress | None = None
        self._progress_at = 0.0
        self._cancel = threading.Event()
        self._state = AgentState()
        self._metrics = start_metrics(self._config, self._state)
        self._bench = Bench(self._make_pool, self._config.keep_warm_seconds)
        self._bench.start()

    # --- asked by the coordinator ------------------------------------------------------------

    def status(self, wait_seconds: float, version: int) -> str:
        """``AgentStatus`` as JSON; waits for news after ``version``, so that nobody need poll."""
        with self._news:
            if wait_seconds > 0:
                self._news.wait_for(lambda: self._version != version, timeout=wait_seconds)
            return AgentStatus(
                device_id=self._config.device_id,
                version=self._version,
                current=self._current,
                progress=self._progress,
                finished=self._outbox.keys(),
                cached_models=self._models.digests(),
            ).model_dump_json()

    def start(self, assignment_json: str) -> str:
        """Begin a run, unless another is on: one at a time, whatever the scheduler thinks."""
        assignment = Assignment.model_validate_json(assignment_json)
        key = AttemptKey(run_id=assignment.run_id, attempt=assignment.attempt)
        with self._news:
            if self._outbox.has(key):
                return StartAnswer(outcome="already_finished").model_dump_json()
            if self._current is not None and self._current != key:
                return StartAnswer(outcome="busy").model_dump_json()
            if self._current is None:
                self._begin(key, assignment)
        return StartAnswer(outcome="accepted").model_dump_json()

    def abort(self, key_json: str) -> None:
        """End an attempt that is not wanted any more; its cancelled result goes to the outbox."""
        key = AttemptKey.model_validate_json(key_json)
        with self._news:
            if self._current == key:
                self._cancel.set()

    def fetch(self, key_json: str) -> tuple[str, bytes | None]:
        """A finished attempt: ``RunResult`` as JSON, and its raw iterations."""
        return self._outbox.get(AttemptKey.model_validate_json(key_json))

    def acknowledge(self, key_json: str) -> None:
        """The coordinator has stored it."""
        with self._news:
            self._outbox.drop(AttemptKey.model_validate_json(key_json))

    def model_offset(self, digest: str) -> int:
        return self._models.offset(digest)

    def model_chunk(self, digest: str, size: int, offset: int, chunk: bytes) -> None:
        self._models.append(digest, size, offset, chunk)

    # --- the run -----------------------------------------------------------------------------

    def _begin(self, key: AttemptKey, assignment: Assignment) -> None:
        self._current = key
        self._progress = Progress(phase=Phase.STARTING, fraction=0)
        self._cancel = threading.Event()
        self._changed()
        self._bench.do(lambda pool: self._run(key, assignment, pool))

    def _make_pool(self) -> WorkerPool:
        return WorkerPool(
            python=self._config.worker_python, base_environment=self._config.environment
        )

    def _changed(self) -> None:
        self._version += 1
        self._state.busy = self._current is not None
        self._news.notify_all()

    def _run(self, key: AttemptKey, assignment: Assignment, pool: WorkerPool) -> None:
        try:
            self._measure(key, assignment, pool)
        except Exception as error:
            # Nobody waits for the bench, so what goes wrong in it must become the run's result.
            log.exception("run %s failed on this device", key.run_id)
            self._outbox.put(key, _device_failure(key, assignment, error), None)
        finally:
            with self._news:
                self._current = None
                self._progress = None
                self._changed()

    def _measure(self, key: AttemptKey, assignment: Assignment, pool: WorkerPool) -> None:
        work = new_work_dir(self._work, key.run_id, key.attempt)
        try:
            model = assignment.spec.model
            file = self._models.path(model.digest) if isinstance(model, ArtifactRef) else None
            request = WorkerRequest(
                run_id=key.run_id,
                attempt=key.attempt,
                job_id=assignment.job_id,
                device=assignment.device,
                spec=assignment.spec,
                model_path=file,
                cache_dir=self._config.cache_dir,
                work_dir=work,
                overhead=load_overhead(self._config.cache_dir),
            )
            result = run_worker(
                request,
                on_progress=self._on_progress,
                cancel=self._cancel,
                pool=pool,
            )
            self._keep(key, result, work / FILE_NAME)
        finally:
            shutil.rmtree(work, ignore_errors=True)

    def _keep(self, key: AttemptKey, result: RunResult, raw: Path) -> None:
        try:
            self._outbox.put(key, result, raw.read_bytes() if raw.exists() else None)
        except OSError:
            # A disk without room for the raw iterations may have some for the figures.
            log.exception("run %s: the raw iterations cannot be kept", key.run_id)
            self._outbox.put(key, result, None)
        self._state.count(result)

    def _on_progress(self, event: ProgressEvent) -> None:
        now = time.monotonic()
        with self._news:
            before = self._progress
            if (
                before
                and before.phase is event.phase
                and now - self._progress_at < PROGRESS_SECONDS
            ):
                return
            self._progress_at = now
            self._progress = Progress.model_validate(event.model_dump(exclude={"kind"}))
            self._changed()


def _device_failure(key: AttemptKey, assignment: Assignment, error: Exception) -> RunResult:
    """The result of a run that the agent itself could not carry out."""
    message = f"the agent could not carry out the run: {type(error).__name__}: {error}"
    return result_without_figures(
        run_id=key.run_id,
        attempt=key.attempt,
        job_id=assignment.job_id,
        device=assignment.device,
        spec=assignment.spec,
        status=RunStatus.FAILED,
        error=RunError(kind=FailureKind.DEVICE_ERROR, message=message),
        started_at=datetime.now(timezone.utc),
        environment=None,
        environment_reason="the run did not begin",
    )
