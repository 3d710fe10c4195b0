"""Wire types: what coordinator, devices, the command line and the page tell each other."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from profiler.base import Frozen, StrEnum
from profiler.device.inventory import Catalogs
from profiler.events import Phase
from profiler.result import FailureKind, RunError, RunResult
from profiler.runtimes.table import RuntimeStatus
from profiler.spec import (
    ACCELERATOR_PATTERN,
    InputSpec,
    ModelRef,
    Pixels,
    Precision,
    RunSpec,
    Runtime,
    Scenario,
    ServerSpec,
    StopSpec,
    WarmupSpec,
    refuse_contradictions,
)

# Devices and coordinator must speak the same version of these types.
PROTOCOL_VERSION = 2

NAME_PATTERN = r"^[a-z0-9]([a-z0-9.\-]{0,61}[a-z0-9])?$"
LABEL_KEY = re.compile(r"[a-z][a-z0-9_.\-]{0,62}")
LABEL_VALUE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\-]{0,62}")


def _plain_labels(value: dict[str, str]) -> dict[str, str]:
    for key, text in value.items():
        if not LABEL_KEY.fullmatch(key) or not LABEL_VALUE.fullmatch(text):
            raise ValueError(
                f"{key}={text!r} is no label; use lower-case keys and plain values, "
                "such as room=lab"
            )
    return value


Labels = Annotated[dict[str, str], AfterValidator(_plain_labels)]

# --- devices ---------------------------------------------------------------------------------


class Inventory(Frozen):
    """What a device is, as its agent found it at start-up.

    ``driver`` is that of the accelerators; ``None`` where there is none, or it does not tell.
    """

    kind: str
    hostname: str
    machine: str
    board: str | None
    cpu_model: str
    cpu_count: int
    memory_total_bytes: int | None
    accelerators: tuple[str, ...]
    driver: str | None = None
    runtimes: tuple[RuntimeStatus, ...]
    catalogs: Catalogs
    energy_sources: tuple[str, ...]
    energy_reason: str | None


class Versions(Frozen):
    """What must agree before a device can join: Ray needs one Ray and one Python per cluster."""

    fleetmark: str
    protocol: int
    ray: str
    python: str


class Registration(Frozen):
    """A device asks to join. ``device_key`` proves, on return, that the name is its own."""

    name: str = Field(pattern=NAME_PATTERN)
    device_key: str = Field(min_length=32, max_length=128)
    labels: Labels = Field(default_factory=dict)
    versions: Versions
    inventory: Inventory
    address: str = Field(min_length=1, max_length=255)
    metrics_port: int = Field(ge=1, le=65535)


class Admission(Frozen):
    """The coordinator's answer: how to join its Ray cluster."""

    device_id: str
    cluster_id: str
    ray_address: str
    ray_token: str
    metrics_token_sha256: str
    heartbeat_seconds: float


class Heartbeat(Frozen):
    """From a device's daemon, every few seconds. Tells that the daemon lives, raylet or not."""

    device_key: str
    cluster_id: str
    raylet_running: bool


class HeartbeatAnswer(Frozen):
    """``rejoin`` when the coordinator's Ray cluster is no longer the one that was joined."""

    rejoin: bool


class DeviceState(StrEnum):
    """``joining``: registered, its agent not answering yet. ``offline``: not heard of in time."""

    JOINING = "joining"
    ONLINE = "online"
    BUSY = "busy"
    OFFLINE = "offline"


class Device(Frozen):
    """A device as the coordinator knows it."""

    id: str
    name: str
    state: DeviceState
    state_reason: str | None = None
    labels: dict[str, str]
    inventory: Inventory
    versions: Versions
    address: str
    metrics_port: int
    registered_at: datetime
    last_seen_at: datetime | None
    current_run_id: str | None = None


# --- jobs and runs ---------------------------------------------------------------------------


class Axes(Frozen):
    """Swept parameters: one run per device and point. Duplicates are refused.

    No ``runtime`` means the model's own; the others have at least one value.
    """

    runtime: tuple[Runtime, ...] = ()
    precision: tuple[Precision, ...] = Field(default=(Precision.FP32,), min_length=1)
    batch_size: tuple[Annotated[int, Field(ge=1, le=65_536)], ...] = Field(
        default=(1,), min_length=1
    )
    threads: tuple[Annotated[int, Field(ge=1, le=1024)] | None, ...] = Field(
        default=(None,), min_length=1
    )

    resolution: tuple[tuple[Pixels, Pixels] | None, ...] = Field(default=(None,), min_length=1)

    @model_validator(mode="after")
    def _distinct(self) -> Axes:
        for name in ("runtime", "precision", "batch_size", "threads", "resolution"):
            values = getattr(self, name)
            if len(set(values)) != len(values):
                raise ValueError(f"{name} names a value twice: {', '.join(map(str, values))}")
        return self


class JobRequest(Frozen):
    """What a user submits: one model × axes × a device selector."""

    model: ModelRef
    devices: str = "all"
    axes: Axes = Axes()
    accelerator: str = Field(default="auto", pattern=ACCELERATOR_PATTERN.pattern)
    inputs: tuple[InputSpec, ...] | None = None
    scenario: Scenario = Scenario.SINGLE_STREAM
    server: ServerSpec | None = None
    warmup: WarmupSpec = WarmupSpec()
    stop: StopSpec = StopSpec()
    repetitions: int = Field(default=5, ge=1, le=100)
    max_time_seconds: float = Field(default=10.0, gt=0, le=86_400)
    settle_seconds: float = Field(default=600.0, ge=0, le=86_400)
    timeout_seconds: float = Field(default=600.0, gt=0, le=172_800)
    memory_limit_bytes: int | None = Field(default=None, gt=0)
    seed: int = Field(default=0, ge=0, le=2**63 - 1)
    max_attempts: int = Field(default=3, ge=1, le=20)

    @model_validator(mode="after")
    def _makes_sense(self) -> JobRequest:
        share = self.max_time_seconds / self.repetitions
        resized = any(self.axes.resolution)
        refuse_contradictions(self.scenario, self.server, self.inputs, resized, share)
        return self


class RunState(StrEnum):
    QUEUED = "queued"
    ASSIGNED = "assigned"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def final(self) -> bool:
        return self in (RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED)


class Progress(Frozen):
    """Where a run is, for people who watch."""

    phase: Phase
    fraction: float = Field(ge=0, le=1)
    repetition: int = 0
    repetitions: int = 1
    iterations: int = 0
    p50_seconds: float | None = None


class Run(Frozen):
    """One execution on one device. ``attempt`` counts from 1 at the first assignment."""

    id: str
    job_id: str
    device_id: str
    device: str
    spec: RunSpec
    state: RunState
    attempt: int
    max_attempts: int
    reason: str | None = None
    error: RunError | None = None
    progress: Progress | None = None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


class JobState(StrEnum):
    """From the runs: ``failed`` if any failed, ``cancelled`` if none did and one was cancelled."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def final(self) -> bool:
        return self in (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED)


class Job(Frozen):
    """A submitted job and how many of its runs are in which state."""

    id: str
    request: JobRequest
    model: str
    state: JobState
    runs: dict[RunState, int]
    created_at: datetime


class JobWithRuns(Frozen):
    """A job and its runs, in the order in which they were queued."""

    job: Job
    runs: tuple[Run, ...]


# --- listings --------------------------------------------------------------------------------


class DeviceList(Frozen):
    devices: tuple[Device, ...]


class JobList(Frozen):
    jobs: tuple[Job, ...]


class RunList(Frozen):
    """``runs`` are results, complete or failed; runs that are not over are in ``pending``."""

    runs: tuple[RunResult, ...]
    pending: tuple[Run, ...] = ()


class Problem(Frozen):
    """Every error of the HTTP API: what was wrong with what, and what to do instead."""

    field: str | None = None
    value: str | None = None
    problem: str
    remedy: str


# --- coordinator ↔ device agent --------------------------------------------------------------


class AttemptKey(Frozen):
    """One attempt at a run. It fences: what is said of one attempt is news of no other."""

    run_id: str
    attempt: int


class AssignedRun(Frozen):
    """One run of an assignment."""

    key: AttemptKey
    spec: RunSpec


class Assignment(Frozen):
    """Runs of one job handed to a device together: their repetitions take turns there."""

    job_id: str
    device: str
    runs: tuple[AssignedRun, ...] = Field(min_length=1)

    @property
    def keys(self) -> frozenset[AttemptKey]:
        return frozenset(run.key for run in self.runs)


class CurrentRun(Frozen):
    """An attempt that the device has begun and not ended, and where it is."""

    key: AttemptKey
    progress: Progress


class AgentStatus(Frozen):
    """What a device's agent answers when asked: its heartbeat.

    Attributes:
        version: counts its changes: asked with the last one, the agent waits for news.
        current: the runs that take turns now; one of them at a time is measured.
        finished: what waits in the outbox, oldest first.
    """

    device_id: str
    version: int
    current: tuple[CurrentRun, ...]
    finished: tuple[AttemptKey, ...]
    cached_models: tuple[str, ...]


class StartAnswer(Frozen):
    """``accepted``, or ``busy`` with other attempts: a device has one assignment at a time."""

    outcome: Literal["accepted", "busy", "already_finished"]


class Finished(Frozen):
    """A finished attempt, from the device's outbox; raw files travel beside it as bytes."""

    key: AttemptKey
    result: RunResult


LOST = FailureKind.LOST
