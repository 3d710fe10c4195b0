"""How a run ended."""

from __future__ import annotations

from profiler.base import Frozen, StrEnum


class RunStatus(StrEnum):
    """How a run ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class FailureKind(StrEnum):
    """Why a run failed. ``lost`` is the coordinator's: no attempt ever came back."""

    MODEL_ERROR = "model_error"
    DEVICE_ERROR = "device_error"
    TIMEOUT = "timeout"
    OUT_OF_MEMORY = "out_of_memory"
    UNSUPPORTED = "unsupported"
    LOST = "lost"


class RunError(Frozen):
    """The failure of a run: its kind, a sentence, and the end of what the worker wrote."""

    kind: FailureKind
    message: str
    stderr_tail: str = ""


class Flag(Frozen):
    """A warning on a result: what was seen and what to do about it."""

    name: str
    detail: str
    advice: str
