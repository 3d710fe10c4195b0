"""What to measure: one model, one runtime, one point of every axis.

A ``RunSpec`` is complete: the worker needs nothing else but the model's file. Fields left ``None``
are resolved on the device, and the result records what they were resolved to.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from profiler.base import Frozen, StrEnum


class Runtime(StrEnum):
    """Execution engines. The value is the name on the command line and in results."""

    TORCH = "torch"
    TORCHSCRIPT = "torchscript"
    TORCH_EXPORT = "torch_export"
    ONNXRUNTIME = "onnxruntime"


class Precision(StrEnum):
    """Arithmetic that a runtime is told to use."""

    FP32 = "fp32"
    FP16 = "fp16"
    BF16 = "bf16"


class ModelFormat(StrEnum):
    """Formats of a model file. Pickles are not among them, and never will be."""

    TORCHSCRIPT = "torchscript"
    EXPORTED_PROGRAM = "exported_program"
    ONNX = "onnx"


class Library(StrEnum):
    """Where a named architecture comes from."""

    TORCHVISION = "torchvision"
    TIMM = "timm"


class ArchitectureRef(Frozen):
    """A named architecture, built on the device with random weights from ``seed``: no download."""

    kind: Literal["architecture"] = "architecture"
    library: Library
    name: str = Field(min_length=1, max_length=200, pattern=r"^[A-Za-z0-9_.\-]+$")
    seed: int = Field(default=0, ge=0, le=2**63 - 1)

    @property
    def label(self) -> str:
        """The name that listings, results and metrics show."""
        return self.name


class ArtifactRef(Frozen):
    """A model file, known by the SHA-256 of its bytes."""

    kind: Literal["artifact"] = "artifact"
    digest: str = Field(pattern=r"^[0-9a-f]{64}$")
    format: ModelFormat
    name: str = Field(min_length=1, max_length=200)
    size_bytes: int = Field(gt=0)

    @property
    def label(self) -> str:
        """The name that listings, results and metrics show."""
        return self.name


ModelRef = Annotated[ArchitectureRef | ArtifactRef, Field(discriminator="kind")]


class InputSpec(Frozen):
    """One input tensor: its name, NumPy dtype and shape, batch dimension included."""

    name: str = Field(min_length=1, max_length=200)
    dtype: str
    shape: tuple[Annotated[int, Field(ge=0, le=2**31)], ...]

    @field_validator("dtype")
    @classmethod
    def _known_dtype(cls, value: str) -> str:
        if value not in INPUT_DTYPES:
            raise ValueError(f"{value!r} is no input dtype; one of {', '.join(INPUT_DTYPES)}")
        return value


INPUT_DTYPES = (
    "float32",
    "float16",
    "float64",
    "int64",
    "int32",
    "int16",
    "int8",
    "uint8",
    "bool",
)

ACCELERATOR_PATTERN = re.compile(r"^(auto|cpu|cuda(:\d+)?)$")


class Scenario(StrEnum):
    """Load patterns, in the terms of MLPerf LoadGen; figures of different ones are never mixed.

    ``single_stream``: one call after the other, synchronised each time; latency is the figure.
    ``offline``: calls as fast as they go, synchronised per block; throughput is the figure.
    ``server``: calls arrive at random at a rate; latency counts from the scheduled arrival.
    ``sustained``: ``single_stream`` for long enough to heat up; latency over time is the figure.
    """

    SINGLE_STREAM = "single_stream"
    OFFLINE = "offline"
    SERVER = "server"
    SUSTAINED = "sustained"


class ServerSpec(Frozen):
    """Load of the scenario ``server``: a rate, or a bound to search the highest rate for.

    Attributes:
        rate_per_second: mean rate of the Poisson arrivals; a call of ``batch_size`` items each.
        latency_bound_seconds: the highest rate is searched at which ``percentile`` stays below.
        percentile: which the bound is on.
    """

    rate_per_second: float | None = Field(default=None, gt=0, le=1e6)
    latency_bound_seconds: float | None = Field(default=None, gt=0, le=3600)
    percentile: Literal["p50", "p90", "p95", "p99"] = "p99"

    @model_validator(mode="after")
    def _one_of_both(self) -> ServerSpec:
        if (self.rate_per_second is None) == (self.latency_bound_seconds is None):
            raise ValueError("give either a rate or a latency bound to search the rate for")
        return self


Pixels = Annotated[int, Field(ge=1, le=65_536)]


class WarmupSpec(Frozen):
    """When the lead-in is over. Its iterations are stored, marked, and never enter a statistic."""

    min_iterations: int = Field(default=10, ge=0, le=1_000_000)
    max_seconds: float = Field(default=60.0, ge=0, le=3600)


class StopSpec(Frozen):
    """When a repetition has measured enough; its share of ``max_time_seconds`` ends it anyway.

    Attributes:
        percentile: whose interval is looked at.
        relative_half_width: half the width of its 95 % interval, relative to it, that is enough;
            0 measures for all of the time.
        min_seconds: of timed iterations, however narrow the interval.
        min_iterations: before the interval is looked at for the first time.
        growth: it is looked at again when the number of iterations has grown by this factor.
    """

    percentile: Literal["p50", "p90", "p95", "p99", "p999"] = "p50"
    relative_half_width: float = Field(default=0.01, ge=0, lt=1)
    min_seconds: float = Field(default=0.5, ge=0, le=86_400)
    min_iterations: int = Field(default=100, ge=1, le=10_000_000)
    growth: float = Field(default=1.25, gt=1, le=10)


# The type that pydantic gives an error of two fields; ``profiler.refusal`` words it.
CONTRADICTION = "contradiction"


def _contradiction(field: str, value: object, problem: str) -> PydanticCustomError:
    """An error of a whole specification that names the field which it is about."""
    context = {"problem": problem, "field": field, "value": str(value)}
    return PydanticCustomError(CONTRADICTION, "{problem}", context)


def refuse_contradictions(
    scenario: Scenario,
    server: ServerSpec | None,
    inputs: tuple[InputSpec, ...] | None,
    has_resolution: bool,
    repetition_seconds: float,
) -> None:
    """Raises:
    PydanticCustomError: two fields of a spec exclude each other.
    """
    rate = server.rate_per_second if server is not None else None
    if rate is not None and rate * repetition_seconds < 1:
        raise _contradiction(
            "rate_per_second", f"{rate:g}",
            f"is too low: none arrives in a repetition of {repetition_seconds:.3g} s. Give it more "
            "time or fewer repetitions",
        )  # fmt: skip
    if (scenario is Scenario.SERVER) != (server is not None):
        raise _contradiction(
            "scenario", scenario,
            "does not fit: the scenario server and a rate or latency bound go together. Give both "
            "or neither",
        )  # fmt: skip
    if has_resolution and inputs is not None:
        raise _contradiction(
            "inputs", ", ".join(each.name for each in inputs),
            "do not fit: resolution and inputs both set the shapes. Give one of them",
        )  # fmt: skip


# Fresh processes of a run. Seven and not five: where processes differ, as those of eager torch do
# by several percent, Student's interval over them is a quarter narrower; and not ten, since each
# has to load and to warm up.
REPETITIONS = 7
# Of a run's time, for a first look in one process: what windows of half a second need.
QUICK_SHARE = 0.2


def usual_repetitions(scenario: str) -> int:
    """Fresh processes where nothing else is asked for: ``sustained`` heats up in one."""
    return 1 if scenario == Scenario.SUSTAINED else REPETITIONS


def quick_seconds(max_time_seconds: float, scenario: Scenario) -> float:
    """Time of a first look in one process; ``sustained`` needs all of it to heat up."""
    return max_time_seconds * (1.0 if scenario is Scenario.SUSTAINED else QUICK_SHARE)


class RunSpec(Frozen):
    """One measurement.

    Attributes:
        accelerator: ``cpu``, ``cuda``, ``cuda:N``, or ``auto``: the first GPU that the runtime can
            use, else the CPU. The result names what was used.
        threads: threads inside one operator; ``None`` takes the CPUs that the worker may run on.
        inputs: overrides the model's own signature; shapes include the batch dimension.
        resolution: (height, width) of every image input, in place of the model's usual ones.
        server: the load of the scenario ``server``, and of no other.
        stop: when a repetition may end before its share of the time is over.
        max_time_seconds: of the run once its engine is imported: loading, warm-up, timed iterations
            and the memory pass, all repetitions together. Where loading takes most of it, each
            repetition still measures for half of its equal share, and the run takes longer.
            In ``sustained`` all of it is used, and more if need be: see ``settle_seconds``.
        settle_seconds: ``sustained`` goes on until clocks and temperatures have settled, and stayed
            so for half a minute, but for no longer than this in each repetition, counted from the
            begin of its warm-up; 0 never goes beyond ``max_time_seconds``. Nor is there a wait
            where neither can be read. No other scenario looks at it.
        timeout_seconds: deadline for the whole run, loading included.
        memory_limit_bytes: the worker is ended as ``out_of_memory`` above this resident size.
        sample_hertz: rate of the sampler; 0 turns it off.
        idle_seconds: where a source of energy is read, to do nothing for so long before the run's
            first warm-up and after its last iteration, so that idle power is known; a tenth of
            ``max_time_seconds`` each at most. 0 leaves it out.
        sentinel: time a small fixed piece of work between blocks of iterations.
    """

    model: ModelRef
    runtime: Runtime
    precision: Precision = Precision.FP32
    accelerator: str = Field(default="auto", pattern=ACCELERATOR_PATTERN.pattern)
    batch_size: int = Field(default=1, ge=1, le=65_536)
    threads: int | None = Field(default=None, ge=1, le=1024)
    inputs: tuple[InputSpec, ...] | None = None
    resolution: tuple[Pixels, Pixels] | None = None
    scenario: Scenario = Scenario.SINGLE_STREAM
    server: ServerSpec | None = None
    warmup: WarmupSpec = WarmupSpec()
    stop: StopSpec = StopSpec()
    repetitions: int = Field(default=REPETITIONS, ge=1, le=100)
    max_time_seconds: float = Field(default=10.0, gt=0, le=86_400)
    settle_seconds: float = Field(default=600.0, ge=0, le=86_400)
    timeout_seconds: float = Field(default=600.0, gt=0, le=172_800)
    memory_limit_bytes: int | None = Field(default=None, gt=0)
    sample_hertz: float = Field(default=10.0, ge=0, le=20)
    idle_seconds: float = Field(default=1.0, ge=0, le=600)
    sentinel: bool = True
    seed: int = Field(default=0, ge=0, le=2**63 - 1)

    @model_validator(mode="after")
    def _makes_sense(self) -> RunSpec:
        share = self.max_time_seconds / self.repetitions
        resized = self.resolution is not None
        refuse_contradictions(self.scenario, self.server, self.inputs, resized, share)
        return self
