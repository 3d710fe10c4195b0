"""A worker as its owner sees it: a process, the commands it is given, the events it sends."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from time import monotonic

from pydantic import ValidationError

from profiler.commands import (
    EVENTS,
    Answer,
    AnyCommand,
    Event,
    MemoryMeasured,
    Preloaded,
    Prepared,
    Repeated,
)
from profiler.errors import DeviceError, RunFailure, RunTimeout
from profiler.events import FailureEvent, ProgressEvent, ResultEvent
from profiler.forked import FAILURES, describe_exit
from profiler.guard import MemoryGuard
from profiler.overhead.plan import OverheadMeasured
from profiler.result import FailureKind

POLL_SECONDS = 0.25
STDERR_BYTES = 64 * 1024
TAIL_LINES = 20
# The result carries all figures; a line beyond this is not one of ours.
LINE_LIMIT = 8 * 1024 * 1024

# How the lines of answers begin; progress that is not understood is no loss.
_ANSWERS = tuple(
    f'{{"kind":"{kind.model_fields["kind"].default}"'.encode()
    for kind in (Preloaded, Prepared, Repeated, MemoryMeasured, OverheadMeasured, ResultEvent)
)

OnProgress = Callable[[ProgressEvent], None]


class RunCancelled(Exception):  # noqa: N818 - not an error: someone asked for it
    """The run was cancelled by its user."""


class WorkerGoneError(Exception):
    """The worker ended without an answer; ``failure`` says how."""

    def __init__(self, failure: RunFailure) -> None:
        super().__init__(str(failure))
        self.failure = failure


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

    def forget(self) -> None:
        """What was said so far is another run's."""
        self._tail = b""

    def text(self) -> str:
        lines = self._tail.decode("utf-8", errors="replace").splitlines()
        return "\n".join(lines[-TAIL_LINES:])


class Lines:
    """Splits what the events channel delivers into lines; what is not an event is dropped.

    An answer that is one but for its details is a failure instead: nobody would wait for it but in
    vain. It comes from a worker under another Python that has another version of this package.
    """

    def __init__(self) -> None:
        self._rest = b""
        self.rejected = 0

    def feed(self, data: bytes) -> list[Event]:
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > LINE_LIMIT:
            self._rest = b""
            self.rejected += 1
        events: list[Event] = []
        for line in lines:
            try:
                events.append(EVENTS.validate_json(line))
            except ValidationError as error:
                self.rejected += 1
                if line.startswith(_ANSWERS):
                    events.append(_misunderstood(error))
        return events


def _misunderstood(error: ValidationError) -> FailureEvent:
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"])
    return FailureEvent(
        failure=FailureKind.DEVICE_ERROR,
        message=(
            f"the worker's answer is not understood ({place}: {first['msg']}); its Python must "
            "have the same version of fleetmark as this one"
        ),
    )


class WorkerProcess:
    """A running worker and its channels. It ends with the thread that started it.

    Args:
        python: the interpreter that it runs under.
        variables: its whole environment.

    Raises:
        DeviceError: it cannot be started.
    """

    def __init__(self, python: str, variables: Mapping[str, str]) -> None:
        events_reader, events_writer = os.pipe()
        stderr_reader, stderr_writer = os.pipe()
        try:
            self._process = subprocess.Popen(
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
        self._events = events_reader
        self._lines = Lines()
        self._pending: list[Event] = []
        self._code: int | None = None
        self.stderr = TailReader(stderr_reader)
        self.stderr.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._code is None and self._process.poll() is None

    def ask(
        self,
        command: AnyCommand,
        *,
        on_progress: OnProgress,
        cancel: threading.Event,
        seconds: float,
        timeout_message: str,
        memory_limit_bytes: int | None = None,
    ) -> Answer:
        """Give a command and wait for its answer.

        After a timeout, a cancellation or too much memory the worker is still at work: close it.

        Args:
            command: what to do.
            on_progress: called in this thread.
            cancel: set from another thread to give up.
            seconds: how long to wait.
            timeout_message: said when it took longer.
            memory_limit_bytes: of the worker and its children.

        Raises:
            WorkerGoneError: it ended.
            RunFailure: it reported one, took too long or too much memory.
            RunCancelled: ``cancel`` was set.
        """
        self._send(command)
        guard = MemoryGuard(self.pid, memory_limit_bytes)
        deadline = monotonic() + seconds
        with selectors.DefaultSelector() as selector:
            selector.register(self._events, selectors.EVENT_READ)
            while True:
                if cancel.is_set():
                    raise RunCancelled
                if monotonic() > deadline:
                    raise RunTimeout(timeout_message)
                guard.check()
                if not self._pending and selector.select(POLL_SECONDS):
                    self._receive(deadline, timeout_message)
                while self._pending:
                    event = self._pending.pop(0)
                    if isinstance(event, ProgressEvent):
                        on_progress(event)
                    elif isinstance(event, FailureEvent):
                        raise FAILURES.get(event.failure, DeviceError)(event.message)
                    else:
                        return event

    def _send(self, command: AnyCommand) -> None:
        assert self._process.stdin is not None  # noqa: S101 - it was asked for as a pipe
        # If it ended already, its exit status tells more than this error.
        with suppress(BrokenPipeError):
            self._process.stdin.write(command.model_dump_json().encode() + b"\n")
            self._process.stdin.flush()

    def _receive(self, deadline: float, timeout_message: str) -> None:
        data = os.read(self._events, 65536)
        if data:
            self._pending += self._lines.feed(data)
            return
        # The channel closed: the process is ending by itself, so wait for its own status.
        try:
            self._process.wait(timeout=max(1.0, deadline - monotonic()))
        except subprocess.TimeoutExpired as error:
            raise RunTimeout(timeout_message) from error
        raise WorkerGoneError(describe_code(self.close(), "the worker"))

    def close(self) -> int:
        """End the whole group, reap, and return the exit code as ``subprocess`` gives it."""
        if self._code is None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._code = self._process.wait()
            with suppress(BrokenPipeError):
                assert self._process.stdin is not None  # noqa: S101
                self._process.stdin.close()
            os.close(self._events)
            self.stderr.join(timeout=2)
        return self._code


def describe_code(code: int, what: str) -> RunFailure:
    """As ``describe_exit``, from the exit code that ``subprocess`` gives (negative: a signal)."""
    return describe_exit(-code if code < 0 else code << 8, what)
