"""The other side of the worker: starts it, follows its events, ends it when it must end.

Used by ``fleetmark run`` and by the agent alike, so that a device of a fleet measures with the very
code that measures alone.
"""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from time import monotonic, perf_counter

from pydantic import ValidationError

from profiler.environment import read_environment, worker_environment
from profiler.errors import DeviceError, RunFailure, RunTimeout
from profiler.events import EVENTS, FailureEvent, ProgressEvent, ResultEvent, WorkerRequest
from profiler.failure import result_without_figures
from profiler.forked import FAILURES, describe_exit
from profiler.guard import MemoryGuard
from profiler.result import FailureKind, RunError, RunResult, RunStatus

POLL_SECONDS = 0.25
STDERR_BYTES = 64 * 1024
TAIL_LINES = 20
# The result event carries all figures; a line beyond this is not one of ours.
LINE_LIMIT = 8 * 1024 * 1024

OnProgress = Callable[[ProgressEvent], None]


class RunCancelled(Exception):  # noqa: N818 - not an error: someone asked for it
    """The run was cancelled by its user."""


class TailReader(threading.Thread):
    """Drains a pipe and keeps its end, so that a model which prints for ever fills nothing."""

    def __init__(self, descriptor: int) -> None:
        super().__init__(name="worker-stderr", daemon=True)
        self._descriptor = descriptor
        self._tail = b""

    def run(self) -> None:
        while chunk := os.read(self._descriptor, 65536):
            self._tail = (self._tail + chunk)[-STDERR_BYTES:]
        os.close(self._descriptor)

    def text(self) -> str:
        lines = self._tail.decode("utf-8", errors="replace").splitlines()
        return "\n".join(lines[-TAIL_LINES:])


class Worker:
    """A running worker process and its channels."""

    def __init__(self, request: WorkerRequest, python: str, variables: Mapping[str, str]) -> None:
        events_reader, events_writer = os.pipe()
        stderr_reader, stderr_writer = os.pipe()
        try:
            self.process = subprocess.Popen(
                [python, "-m", "profiler.worker", "--events-fd", str(events_writer)],
                stdin=subprocess.PIPE,
                stdout=stderr_writer,
                stderr=stderr_writer,
                pass_fds=(events_writer,),
                env=dict(variables),
                # A group of its own: the model's children end with it.
                start_new_session=True,
            )
        except OSError as error:
            os.close(events_reader)
            os.close(stderr_reader)
            raise DeviceError(f"the worker's Python cannot be started: {error}") from error
        finally:
            os.close(events_writer)
            os.close(stderr_writer)
        self.events = events_reader
        self.stderr = TailReader(stderr_reader)
        self.stderr.start()
        self._send(request)

    def _send(self, request: WorkerRequest) -> None:
        assert self.process.stdin is not None  # noqa: S101 - it was asked for as a pipe
        try:
            self.process.stdin.write(request.model_dump_json().encode())
            self.process.stdin.close()
        except BrokenPipeError:
            # It ended before it read; its exit status tells more than this error.
            return

    def close(self) -> int:
        """End the whole group, reap, and return the wait status as ``os.waitpid`` gives it."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        code = self.process.wait()
        os.close(self.events)
        self.stderr.join(timeout=2)
        return code


class _Lines:
    """Splits what the events channel delivers into lines; what is not an event is dropped."""

    def __init__(self) -> None:
        self._rest = b""
        self.rejected = 0

    def feed(self, data: bytes) -> list[ProgressEvent | ResultEvent | FailureEvent]:
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > LINE_LIMIT:
            self._rest = b""
            self.rejected += 1
        events = []
        for line in lines:
            try:
                events.append(EVENTS.validate_json(line))
            except ValidationError:
                self.rejected += 1
        return events


def _follow(
    worker: Worker,
    request: WorkerRequest,
    on_progress: OnProgress,
    cancel: threading.Event,
    deadline: float,
) -> RunResult | None:
    """Read events until the worker has ended; its result, or ``None`` if it ended without one.

    Raises:
        RunFailure: the worker reported one, took too long or too much memory.
        RunCancelled: ``cancel`` was set.
    """
    lines = _Lines()
    guard = MemoryGuard(worker.process.pid, request.spec.memory_limit_bytes)
    with selectors.DefaultSelector() as selector:
        selector.register(worker.events, selectors.EVENT_READ)
        while True:
            if cancel.is_set():
                raise RunCancelled
            if monotonic() > deadline:
                raise RunTimeout(
                    f"not finished after {request.spec.timeout_seconds:g} s; "
                    "raise --timeout if the model is meant to take that long"
                )
            guard.check()
            if not selector.select(POLL_SECONDS):
                continue
            data = os.read(worker.events, 65536)
            if not data:
                return None
            for event in lines.feed(data):
                if isinstance(event, ProgressEvent):
                    on_progress(event)
                elif isinstance(event, ResultEvent):
                    return event.result
                else:
                    raise FAILURES.get(event.failure, DeviceError)(event.message)


def run_worker(
    request: WorkerRequest,
    *,
    on_progress: OnProgress = lambda _: None,
    cancel: threading.Event | None = None,
    python: str = sys.executable,
    base_environment: Mapping[str, str] | None = None,
) -> RunResult:
    """Measure in a worker process. Always gives a result: a failure is one, with its error.

    Args:
        request: what to measure. ``work_dir`` must exist; raw iterations are left there.
        on_progress: called in this thread.
        cancel: when set from another thread, the worker is ended.
        python: the interpreter of the worker; another may hold a vendor's build of torch.
        base_environment: where the worker's environment is taken from; ``os.environ`` by default.
    """
    started_at = datetime.now(timezone.utc)
    threads = request.spec.threads or len(os.sched_getaffinity(0))
    base = os.environ if base_environment is None else base_environment
    variables = worker_environment(base, threads)
    try:
        return _run_once(request, on_progress, cancel or threading.Event(), python, variables)
    except RunCancelled:
        error = RunError(kind=FailureKind.DEVICE_ERROR, message="cancelled")
        return _without_figures(request, variables, error, started_at, RunStatus.CANCELLED)
    except _Ended as ended:
        failure = ended.failure
        error = RunError(kind=failure.kind, message=str(failure), stderr_tail=ended.stderr_tail)
        return _without_figures(request, variables, error, started_at, RunStatus.FAILED)


def _without_figures(
    request: WorkerRequest,
    variables: Mapping[str, str],
    error: RunError,
    started_at: datetime,
    status: RunStatus,
) -> RunResult:
    return result_without_figures(
        run_id=request.run_id,
        attempt=request.attempt,
        job_id=request.job_id,
        device=request.device,
        spec=request.spec,
        status=status,
        error=error,
        started_at=started_at,
        environment=read_environment(variables=variables),
    )


class _Ended(Exception):  # noqa: N818 - carries a failure to the one place that makes it a result
    def __init__(self, failure: RunFailure, stderr_tail: str) -> None:
        super().__init__(str(failure))
        self.failure = failure
        self.stderr_tail = stderr_tail


class _FirstWord:
    """Passes progress on, and times how long a new worker takes to say anything.

    Only this side can: what an interpreter and its imports take is over before the worker's own
    clock is read for the first time.
    """

    def __init__(self, on_progress: OnProgress) -> None:
        self._on_progress = on_progress
        self._asked = perf_counter()
        self._seconds: float | None = None

    def __call__(self, event: ProgressEvent) -> None:
        if self._seconds is None:
            self._seconds = perf_counter() - self._asked
        self._on_progress(event)

    def note_in(self, result: RunResult) -> RunResult:
        """The result with ``start`` before its other phases."""
        if self._seconds is None:
            return result
        phases = {"start": self._seconds} | result.phases_seconds
        return result.model_copy(update={"phases_seconds": phases})


def _run_once(
    request: WorkerRequest,
    on_progress: OnProgress,
    cancel: threading.Event,
    python: str,
    variables: Mapping[str, str],
) -> RunResult:
    deadline = monotonic() + request.spec.timeout_seconds
    first_word = _FirstWord(on_progress)
    try:
        worker = Worker(request, python, variables)
    except DeviceError as error:
        raise _Ended(error, "") from error
    failure: RunFailure | None = None
    result = None
    try:
        result = _follow(worker, request, first_word, cancel, deadline)
        if result is None:
            # The channel closed: the process is ending by itself, so wait for its own status.
            worker.process.wait(timeout=max(1.0, deadline - monotonic()))
    except subprocess.TimeoutExpired:
        failure = RunTimeout(f"not finished after {request.spec.timeout_seconds:g} s")
    except RunFailure as error:
        failure = error
    finally:
        code = worker.close()
    if result is not None:
        return first_word.note_in(result)
    failure = failure or describe_code(code, "the worker")
    raise _Ended(failure, worker.stderr.text())


def describe_code(code: int, what: str) -> RunFailure:
    """As ``describe_exit``, from the exit code that ``subprocess`` gives (negative: a signal)."""
    return describe_exit(-code if code < 0 else code << 8, what)


def new_work_dir(parent: Path, run_id: str, attempt: int) -> Path:
    """A fresh directory for one attempt's files, readable by its owner only."""
    path = parent / f"{run_id}-{attempt}"
    path.mkdir(mode=0o700, parents=True)
    return path
