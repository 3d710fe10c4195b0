"""What the worker tells while it runs: one JSON object a line, on a channel of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from profiler.base import Frozen, StrEnum
from profiler.latency_buckets import MeasuredLatencies
from profiler.result import FailureKind, Overhead, RunResult
from profiler.sensors.setup import SensorSetup
from profiler.spec import RunSpec


class Phase(StrEnum):
    """What a run is doing. The first three are the fleet's, the others the worker's.

    ``waiting``: it is on the device, and another run that it takes turns with is being measured.
    """

    QUEUED = "queued"
    SENDING_MODEL = "sending_model"
    WAITING = "waiting"
    STARTING = "starting"
    CONVERTING = "converting"
    LOADING = "loading"
    WARMUP = "warmup"
    MEASURING = "measuring"
    SETTLING = "settling"
    MEMORY = "memory"
    DONE = "done"


class WorkerRequest(Frozen):
    """One run, as the worker is told of it.

    Attributes:
        model_path: the artifact's file, verified; ``None`` for an architecture.
        cache_dir: converted models are kept here.
        work_dir: the worker writes raw iterations and the trace here.
        overhead: the device's own, as it was measured last; the result carries it.
        sensors: what the sampler reads on this device.
        newest_path: where the sampler tells others what it read last; ``None``: nobody asks.
    """

    run_id: str
    attempt: int = 1
    job_id: str | None = None
    device: str
    spec: RunSpec
    model_path: Path | None = None
    cache_dir: Path
    work_dir: Path
    overhead: Overhead | None = None
    sensors: SensorSetup = SensorSetup()
    newest_path: Path | None = None


class ProgressEvent(Frozen):
    """Where the run is. ``fraction`` (0 … 1) covers the whole run.

    ``latencies`` are of the iterations since the event before; ``None`` outside the timed part and
    where a scenario times none.
    """

    kind: Literal["progress"] = "progress"
    phase: Phase
    fraction: float = Field(ge=0, le=1)
    repetition: int = 0
    repetitions: int = 1
    iterations: int = 0
    p50_seconds: float | None = None
    latencies: MeasuredLatencies | None = None


class ResultEvent(Frozen):
    """The run's result; the last event of a worker that ends well."""

    kind: Literal["result"] = "result"
    result: RunResult


class FailureEvent(Frozen):
    """The run ended without figures, for a reason that the worker could tell."""

    kind: Literal["failure"] = "failure"
    failure: FailureKind
    message: str
