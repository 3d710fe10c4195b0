"""From a submission to the first timed iteration, on an idle device that has the model."""

from __future__ import annotations

import io
import random
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from statistics import median

import numpy as np
import pyarrow.parquet as pq
from sqlalchemy import Engine, select

from agents.cli.local_fleet import LocalFleet
from agents.coordinator import schema
from agents.coordinator.database import open_engine, reading
from agents.coordinator.samples import SampleStore
from agents.messages import Axes, JobRequest, RunState
from profiler.base import Frozen
from profiler.forked import call_in_child
from profiler.result import RunResult
from profiler.spec import (
    ArchitectureRef,
    ArtifactRef,
    InputSpec,
    Library,
    ModelRef,
    Runtime,
)
from tests.benchmarks.context import Context, follow, say, succeeded, until_idle
from tests.benchmarks.report import Section, Table, median_and_range
from tests.model_files import save_torchscript

NAME = "submit_latency"
SUBMISSIONS, QUICK_SUBMISSIONS = 10, 3
MAX_TIME_SECONDS = 0.5
# Submissions must not keep step with the coordinator's questions to an idle device.
PAUSE_SECONDS = (0.3, 1.0)
TINY_INPUT = InputSpec(name="x", dtype="float32", shape=(1, 8))

PARTS = (
    "HTTP request, until the run is stored",
    "until the coordinator assigns it",
    "until the agent starts the worker",
    "worker: Python and fleetmark's imports",
    "worker: converted model from the cache",
    "worker: import of the runtime",
    "repetition: load",
    "repetition: first inference",
    "repetition: fork, calibration",
    "warm-up",
)
TO_WARMUP = "submit → warm-up begins"
TO_TIMED = "submit → first timed iteration"
ANSWER = "(HTTP answer to the submission)"


@dataclass(frozen=True)
class Case:
    label: str
    model: ModelRef
    runtime: Runtime
    inputs: tuple[InputSpec, ...] | None = None


@dataclass(frozen=True)
class Stamps:
    """Moments of one run, in seconds of ``perf_counter``, which all processes here share."""

    asked: float
    answered: float
    stored: float
    assigned: float
    started: float
    warmup: float
    timed: float


class TinyFiles(Frozen):
    torchscript: Path
    onnx: Path


def parts(stamps: Stamps, result: RunResult) -> dict[str, float]:
    """Where the time went: ``PARTS``, which add up to the whole."""
    phases = result.phases_seconds
    cold = result.repetitions[0]
    converted = phases.get("convert", 0.0)
    imported = stamps.started + converted + phases["import"]
    known = cold.load_seconds + cold.first_inference_seconds
    seconds = (
        stamps.stored - stamps.asked,
        stamps.assigned - stamps.stored,
        stamps.started - phases["start"] - stamps.assigned,
        phases["start"],
        converted,
        phases["import"],
        cold.load_seconds,
        cold.first_inference_seconds,
        stamps.warmup - imported - known,
        stamps.timed - stamps.warmup,
    )
    return dict(zip(PARTS, seconds, strict=True))


def run(context: Context) -> Section:
    fleet = context.fleet()
    engine = open_engine(f"sqlite:///{fleet.data_dir / 'fleetmark.db'}")
    try:
        count = QUICK_SUBMISSIONS if context.quick else SUBMISSIONS
        measured = {
            case.label: _submissions(fleet, engine, case, count)
            for case in _cases(fleet, context.directory)
        }
    finally:
        engine.dispose()
    return _section(measured, count)


def _cases(fleet: LocalFleet, directory: Path) -> Iterator[Case]:
    squeezenet = ArchitectureRef(library=Library.TORCHVISION, name="squeezenet1_1")
    # In a child: torch stays out of the process that watches.
    files = call_in_child(lambda: _make_files(directory), TinyFiles, "making the model files")
    yield Case("squeezenet1_1, torch", squeezenet, Runtime.TORCH)
    yield Case("squeezenet1_1, onnxruntime", squeezenet, Runtime.ONNXRUNTIME)
    script: ArtifactRef = fleet.client.upload(files.torchscript)
    yield Case("tiny .pt, torchscript", script, Runtime.TORCHSCRIPT, (TINY_INPUT,))
    onnx: ArtifactRef = fleet.client.upload(files.onnx)
    yield Case("tiny .onnx, onnxruntime", onnx, Runtime.ONNXRUNTIME)


def _make_files(directory: Path) -> TinyFiles:
    import torch

    made = TinyFiles(torchscript=directory / "tiny.pt", onnx=directory / "tiny.onnx")
    save_torchscript(made.torchscript)
    with warnings.catch_warnings():
        # The older exporter is deprecated, and ten times as fast.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            torch.nn.Linear(8, 4).eval(), (torch.zeros(1, 8),), str(made.onnx),
            input_names=["x"], dynamo=False,
        )  # fmt: skip
    return made


def _submissions(
    fleet: LocalFleet, engine: Engine, case: Case, count: int
) -> dict[str, list[float]]:
    """Seconds of every part, one figure per submission."""
    pauses = random.Random(0)
    columns: dict[str, list[float]] = {}
    # One more, first: it brings the model to the device and everything into the page cache.
    for number in range(count + 1):
        say(f"{NAME}: {case.label}, {number}/{count}" + ("" if number else " (fills the caches)"))
        until_idle(fleet)
        time.sleep(pauses.uniform(*PAUSE_SECONDS))
        stamps, result = _submit(fleet, engine, case)
        if number == 0:
            continue
        found = parts(stamps, result) | {
            TO_WARMUP: stamps.warmup - stamps.asked,
            TO_TIMED: stamps.timed - stamps.asked,
            ANSWER: stamps.answered - stamps.asked,
        }
        for name, seconds in found.items():
            columns.setdefault(name, []).append(seconds)
    return columns


def _submit(fleet: LocalFleet, engine: Engine, case: Case) -> tuple[Stamps, RunResult]:
    request = JobRequest(
        model=case.model,
        axes=Axes(runtime=(case.runtime,)),
        inputs=case.inputs,
        repetitions=1,
        max_time_seconds=MAX_TIME_SECONDS,
    )
    # Transitions carry the time of day, iterations the monotonic clock.
    day = time.time() - time.perf_counter()
    asked = time.perf_counter()
    job = fleet.client.submit(request).job
    answered = time.perf_counter()
    done = follow(fleet, job.id)
    result = succeeded(fleet.client.result(done.id))
    if result.attempt != 1:
        raise RuntimeError(f"{case.label}: the first attempt was lost ({done.reason})")
    moments = _transitions(engine, done.id)
    warmup, timed = _first_iterations(fleet, done.id)
    stamps = Stamps(
        asked=asked,
        answered=answered,
        stored=moments[RunState.QUEUED].timestamp() - day,
        assigned=moments[RunState.ASSIGNED].timestamp() - day,
        started=result.started_at.timestamp() - day,
        warmup=warmup,
        timed=timed,
    )
    return stamps, result


def _transitions(engine: Engine, run_id: str) -> dict[RunState, datetime]:
    t = schema.transitions.c
    with reading(engine) as db:
        rows = db.execute(select(t.state, t.at).where(t.run_id == run_id)).all()
    return {RunState(row.state): row.at.replace(tzinfo=timezone.utc) for row in rows}


def _first_iterations(fleet: LocalFleet, run_id: str) -> tuple[float, float]:
    """When the first warm-up iteration began, and the first timed one."""
    raw = SampleStore(fleet.data_dir / "samples").path(run_id, 1).read_bytes()
    table = pq.read_table(io.BytesIO(raw), columns=["warmup", "start_ns"])
    warmup = np.asarray(table["warmup"])
    starts = np.asarray(table["start_ns"]) / 1e9
    return float(starts[0]), float(starts[~warmup][0])


def _section(measured: dict[str, dict[str, list[float]]], count: int) -> Section:
    labels = list(measured)
    rows = []
    for name in (*PARTS, TO_WARMUP, TO_TIMED, ANSWER):
        cells = [_cell(measured[label][name]) for label in labels]
        rows.append((f"**{name}**" if name in (TO_WARMUP, TO_TIMED) else name, *cells))
    return Section(
        name=NAME,
        text=(
            f"{count} submissions each over HTTP to a coordinator on this machine, one device, "
            "idle and with the model cached. Median (minimum – maximum). The parts of one "
            "submission add up to its total; medians need not. Warm-up lasts until latency is "
            "steady, here for at most 40 % of "
            f"{MAX_TIME_SECONDS} s; it grows with `--max-time`."
        ),
        tables=[Table("submit → first timed iteration", ("part", *labels), rows)],
        data={"seconds": measured},
    )


def _cell(seconds: list[float]) -> str:
    # A part that this case does not have.
    return "—" if median(seconds) == 0 else median_and_range(seconds)
