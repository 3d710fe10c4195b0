"""A function in a fresh process that shares the parent's imports.

``fork`` after the engine's libraries were imported, and before any tensor work, starts a process in
about 15 ms where an import takes seconds. The child's answer comes back as JSON over a pipe.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable
from typing import TypeVar

from pydantic import ValidationError

from profiler.base import Frozen
from profiler.errors import (
    DeviceError,
    ModelError,
    OutOfMemory,
    RunFailure,
    RunTimeout,
    Unsupported,
)
from profiler.process import die_with_parent
from profiler.result import FailureKind

FAILURES: dict[FailureKind, type[RunFailure]] = {
    kind.kind: kind for kind in (ModelError, DeviceError, RunTimeout, OutOfMemory, Unsupported)
}

# How engines say that an allocation failed; they have no common exception type.
OUT_OF_MEMORY_SIGNS = (
    "out of memory",
    "can't allocate memory",
    "cannot allocate memory",
    "failed to allocate memory",
    "bad_alloc",
    "bad allocation",
)

Answer = TypeVar("Answer", bound=Frozen)


class _Failure(Frozen):
    failure: FailureKind
    message: str


def classify(error: BaseException) -> RunFailure:
    """The typed failure for whatever a model or an engine raised."""
    if isinstance(error, RunFailure):
        return error
    text = f"{type(error).__name__}: {error}"
    if isinstance(error, MemoryError) or any(s in text.lower() for s in OUT_OF_MEMORY_SIGNS):
        return OutOfMemory(text)
    return ModelError(text)


def describe_exit(status: int, what: str) -> RunFailure:
    """The typed failure of a child that ended without an answer, from its wait status."""
    if not os.WIFSIGNALED(status):
        return ModelError(f"{what} ended itself with exit code {os.waitstatus_to_exitcode(status)}")
    number = os.WTERMSIG(status)
    # Most real-time signals have no name.
    name = signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"
    if number == signal.SIGKILL:
        return OutOfMemory(f"{what} was killed (SIGKILL), as the kernel does when memory runs out")
    return ModelError(f"{what} crashed with {name}")


def call_in_child(function: Callable[[], Answer], answer: type[Answer], what: str) -> Answer:
    """Run ``function`` in a forked child and return its answer.

    Args:
        function: runs in the child.
        answer: the type to parse the child's answer as.
        what: names the child in messages, such as ``repetition 2``.

    Raises:
        RunFailure: the child raised, crashed, was killed or answered nonsense.
    """
    reader, writer = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        _child(function, writer)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        raw = pipe.read()
    _, status = os.waitpid(pid, 0)
    if status != 0:
        raise describe_exit(status, what)
    return _parse(raw, answer, what)


def _parse(raw: bytes, answer: type[Answer], what: str) -> Answer:
    mark, body = raw[:1], raw[1:]
    try:
        if mark == b"+":
            return answer.model_validate_json(body)
        failure = _Failure.model_validate_json(body)
    except ValidationError as error:
        raise ModelError(f"{what} ended without an answer") from error
    raise FAILURES.get(failure.failure, ModelError)(failure.message)


def _child(function: Callable[[], Answer], writer: int) -> None:
    """Never returns: the child must not run on into its parent's code."""
    code = 1
    try:
        die_with_parent()
        # The parent's own input is not the model's to read: the worker's next command is in it.
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.close(null)
        try:
            message = b"+" + function().model_dump_json().encode()
        except BaseException as error:  # noqa: BLE001 - all of it goes to the parent, typed
            if not isinstance(error, RunFailure):
                traceback.print_exc()
            failure = classify(error)
            text = str(failure)
            message = b"-" + _Failure(failure=failure.kind, message=text).model_dump_json().encode()
        with os.fdopen(writer, "wb") as pipe:
            pipe.write(message)
        code = 0
    finally:
        try:
            # A model may have closed or replaced either; that is no way out of here.
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            # No atexit handlers: they belong to the parent, and an engine's may hang.
            os._exit(code)
