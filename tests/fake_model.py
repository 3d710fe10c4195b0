"""A model that does what a test tells it to, measured by a real repetition in a child."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from profiler.forked import call_in_child
from profiler.plan import Plan, RepetitionReport
from profiler.repetition import repeat
from profiler.runtimes.base import LoadRequest
from profiler.spec import InputSpec, Precision, RunSpec, StopSpec, WarmupSpec
from tests.builders import RESNET

REQUEST = LoadRequest(
    model=RESNET,
    model_path=None,
    precision=Precision.FP32,
    accelerator="cpu",
    threads=1,
    batch_size=1,
    inputs=None,
    seed=0,
)


class FakeModel:
    """Sleeps for as long as it is told to."""

    inputs = (InputSpec(name="x", dtype="float32", shape=(1, 3)),)
    precision = "fp32"
    accelerator = "cpu"
    threads = 1
    parameters = 4711
    fallback = None
    synchronize = None
    device_timer = None

    def __init__(self, call: Callable[[], Any]) -> None:
        self.call = call

    def outputs(self) -> Sequence[Any]:
        return ()

    def accelerator_peak_bytes(self) -> tuple[int, int] | None:
        return None


class FakeAdapter:
    forkable = True

    def __init__(self, call: Callable[[], Any]) -> None:
        self._call = call

    def preload(self) -> None: ...

    def version(self) -> str:
        return "0"

    def load(self, request: LoadRequest) -> FakeModel:
        return FakeModel(self._call)


def default_plan(samples: Path, **changes: Any) -> Plan:
    """One repetition as the defaults of the command line make it."""
    fields = RunSpec.model_fields
    repetitions = fields["repetitions"].default
    values = {
        "index": 0,
        "repetitions": repetitions,
        "budget_seconds": fields["max_time_seconds"].default / repetitions,
        "least_seconds": 0.5 * fields["max_time_seconds"].default / repetitions,
        "warmup": WarmupSpec(),
        # For all of the time, unless a test is about the stop rule.
        "stop": StopSpec(relative_half_width=0),
        "sentinel": False,
        "samples_path": samples,
    }
    return Plan.model_validate(values | changes)


def run(plan: Plan, call: Callable[[], Any]) -> RepetitionReport:
    return call_in_child(
        lambda: repeat(FakeAdapter(call), REQUEST, plan, lambda _: None), RepetitionReport, "it"
    )
