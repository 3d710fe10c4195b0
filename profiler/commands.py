"""What the worker is told: one JSON object a line on its standard input.

The worker keeps nothing of a run between two commands but the engine's libraries in memory. Each
command brings all that it needs, and its answer all that the next one will: so a worker that was
ended can be replaced in the middle of a run, several runs can take turns in one, and one that is
done can wait, warm, for the next.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from profiler.base import Frozen
from profiler.conversion.cache import Converted
from profiler.events import FailureEvent, ProgressEvent, ResultEvent, WorkerRequest
from profiler.overhead.plan import OverheadMeasured, OverheadPlan
from profiler.plan import RepetitionReport
from profiler.result import Memory, Preflight
from profiler.sensors.rhythm import Rhythm
from profiler.spec import Runtime


class Preload(Frozen):
    """Import an engine's libraries, ahead of its first run."""

    kind: Literal["preload"] = "preload"
    runtime: Runtime


class Preloaded(Frozen):
    """What ``Preload`` gives."""

    kind: Literal["preloaded"] = "preloaded"
    seconds: float


class Prepare(Frozen):
    """Import the engine's libraries, convert the model if need be, look at the device."""

    kind: Literal["prepare"] = "prepare"
    request: WorkerRequest


class Prepared(Frozen):
    """What ``Prepare`` gives. ``metered``: there is a source of energy.

    ``looks_every_seconds``: update periods of those that do not see all of the time; ``rhythms``:
    how often each was seen to have a new value.
    """

    kind: Literal["prepared"] = "prepared"
    converted: Converted | None
    preflight: Preflight | None
    phases_seconds: dict[str, float]
    metered: bool = False
    looks_every_seconds: tuple[float, ...] = ()
    rhythms: tuple[Rhythm, ...] = ()


class Repeat(Frozen):
    """Measure once, in a fresh process.

    Attributes:
        budget_seconds: for loading, warm-up and timed iterations.
        least_seconds: for warm-up and timed iterations, however long the loading took.
        settle_seconds: for how long ``sustained`` may go on in all until the device has settled.
        position: among the repetitions of all runs that take turns.
        server_rate_per_second: what the first repetition's search has found.
    """

    kind: Literal["repeat"] = "repeat"
    request: WorkerRequest
    prepared: Prepared
    index: int
    position: int
    budget_seconds: float
    least_seconds: float
    settle_seconds: float = 0.0
    server_rate_per_second: float | None = None


class Repeated(Frozen):
    """What ``Repeat`` gives. With ``spent`` the worker was used up by it, and ends."""

    kind: Literal["repeated"] = "repeated"
    report: RepetitionReport
    other_share: float
    seconds: float
    spent: bool


class MeasureMemory(Frozen):
    """Measure the peak memory, in a pass of its own."""

    kind: Literal["measure_memory"] = "measure_memory"
    request: WorkerRequest
    prepared: Prepared


class MemoryMeasured(Frozen):
    """What ``MeasureMemory`` gives. Its failure costs the memory figures, not the latency."""

    kind: Literal["memory_measured"] = "memory_measured"
    memory: Memory | None
    reason: str | None
    seconds: float
    spent: bool = False


class MeasureOverhead(Frozen):
    """Measure what the sampler and the fleet's processes cost, in one process of its own."""

    kind: Literal["measure_overhead"] = "measure_overhead"
    request: WorkerRequest
    prepared: Prepared
    plan: OverheadPlan


class Summarise(Frozen):
    """Make the result of everything that was measured."""

    kind: Literal["summarise"] = "summarise"
    request: WorkerRequest
    prepared: Prepared
    repeated: tuple[Repeated, ...]
    memory: MemoryMeasured
    order_seed: int
    started_at: datetime


AnyCommand = Preload | Prepare | Repeat | MeasureMemory | MeasureOverhead | Summarise
Answer = Preloaded | Prepared | Repeated | MemoryMeasured | OverheadMeasured | ResultEvent
# Any number of the first kind, then one of the others: that is what a command is answered with.
Event = ProgressEvent | FailureEvent | Answer

COMMANDS: TypeAdapter[AnyCommand] = TypeAdapter(Annotated[AnyCommand, Field(discriminator="kind")])
EVENTS: TypeAdapter[Event] = TypeAdapter(Annotated[Event, Field(discriminator="kind")])
