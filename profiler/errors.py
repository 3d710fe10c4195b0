"""Everything that fleetmark raises on purpose.

FleetmarkError
├── InputError           what the user asked for cannot be done; names field, value and remedy
│   └── ArtifactError    a model file was refused
└── RunFailure           a run ended without figures; carries its kind
    ├── ModelError       the model raised, crashed or does not fit its inputs
    ├── DeviceError      the device or its software failed
    ├── RunTimeout       the deadline passed
    ├── OutOfMemory      an allocation failed or the process was killed for its memory
    └── Unsupported      this device, runtime and model do not go together
"""

from __future__ import annotations

from typing import ClassVar

from profiler.result import FailureKind


class FleetmarkError(Exception):
    """Root of the tree; its text is one that a user can act on."""


class InputError(FleetmarkError):
    """A request that is refused before anything runs.

    Args:
        field: the name of the option or key, as the user wrote it.
        value: what was given.
        problem: what is wrong with it.
        remedy: what to do instead.
    """

    def __init__(self, field: str, value: object, problem: str, remedy: str) -> None:
        self.field = field
        self.value = str(value)
        self.problem = problem
        self.remedy = remedy
        super().__init__(f"{field}: {self.value!r} {problem}. {remedy}")


class ArtifactError(InputError):
    """A model file that is not what it claims to be, or that is not safe to open."""


class RunFailure(FleetmarkError):  # noqa: N818 - a failed run is a result, not an error of ours
    """A run that cannot give figures. The subclasses fix ``kind``."""

    kind: ClassVar[FailureKind]


class ModelError(RunFailure):
    kind = FailureKind.MODEL_ERROR


class DeviceError(RunFailure):
    kind = FailureKind.DEVICE_ERROR


class RunTimeout(RunFailure):
    kind = FailureKind.TIMEOUT


class OutOfMemory(RunFailure):
    kind = FailureKind.OUT_OF_MEMORY


class Unsupported(RunFailure):
    kind = FailureKind.UNSUPPORTED
