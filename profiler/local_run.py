"""A run on this machine, its worker and its temporary files: what the command and the API share."""

from __future__ import annotations

import sys
import tempfile
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import platformdirs

from profiler.device.fingerprint import load_overhead
from profiler.events import ProgressEvent, WorkerRequest
from profiler.pool import WorkerPool
from profiler.result import RunResult
from profiler.sensors.setup import ALL_SENSORS, SensorSetup
from profiler.session import OnProgress, measure
from profiler.spec import RunSpec

if TYPE_CHECKING:  # NumPy, which --help does not need
    from profiler.samples import Iterations

# What results call the device when no fleet has given it a name.
THIS_DEVICE = "here"


class LocalRun(NamedTuple):
    """A result and its raw iterations, which a failed run does not have."""

    result: RunResult
    iterations: Iterations | None


def new_run_id() -> str:
    """An identifier that no other run has."""
    return uuid.uuid4().hex[:16]


def default_cache_dir() -> Path:
    """Where converted models are kept."""
    return platformdirs.user_cache_path("fleetmark")


def _unheard(event: ProgressEvent) -> None:
    del event


def measure_here(
    spec: RunSpec,
    model_path: Path | None,
    *,
    cache_dir: Path,
    on_progress: OnProgress = _unheard,
    python: str = sys.executable,
    sensors: SensorSetup = ALL_SENSORS,
) -> LocalRun:
    """Measure in a worker on this machine, as a device of a fleet does. A failure is a result.

    Args:
        spec: what to measure.
        model_path: the artifact's file, inspected; ``None`` for an architecture.
        cache_dir: converted models are kept here.
        on_progress: called in this thread.
        python: the interpreter of the worker.
        sensors: what is read meanwhile.
    """
    return measure_all_here(
        [spec],
        model_path,
        cache_dir=cache_dir,
        on_progress=lambda _place, event: on_progress(event),
        python=python,
        sensors=sensors,
    )[0]


def measure_all_here(
    specs: Sequence[RunSpec],
    model_path: Path | None,
    *,
    cache_dir: Path,
    on_progress: Callable[[int, ProgressEvent], None],
    python: str = sys.executable,
    sensors: SensorSetup = ALL_SENSORS,
) -> list[LocalRun]:
    """Measure several configurations, their repetitions in turn; as ``measure_here``.

    Args:
        specs: of one model; the order of the repetitions comes from the first one's seed.
        model_path: the artifact's file, inspected; ``None`` for an architecture.
        cache_dir: converted models are kept here.
        on_progress: called in this thread with the place of the configuration.
        python: the interpreter of the workers.
        sensors: what is read meanwhile.
    """
    with tempfile.TemporaryDirectory(prefix="fleetmark-") as work:
        sides = [(spec, model_path) for spec in specs]
        requests = requests_for(sides, Path(work), cache_dir=cache_dir, sensors=sensors)
        with WorkerPool(python=python, keep=0) as pool:
            results = measure(requests, pool, on_progress=on_progress, seed=specs[0].seed)
        return [
            LocalRun(result, _iterations(request.work_dir))
            for result, request in zip(results, requests, strict=True)
        ]


def requests_for(
    measured: Sequence[tuple[RunSpec, Path | None]],
    work: Path,
    *,
    cache_dir: Path,
    sensors: SensorSetup = ALL_SENSORS,
) -> list[WorkerRequest]:
    """One request for each specification and its artifact's file, each with a folder in ``work``.

    What ``fleetmark overhead`` found on this device goes into every result.
    """
    overhead = load_overhead(cache_dir)
    requests = []
    for place, (spec, path) in enumerate(measured):
        directory = work / str(place)
        directory.mkdir()
        requests.append(
            WorkerRequest(
                run_id=new_run_id(),
                device=THIS_DEVICE,
                spec=spec,
                model_path=path,
                cache_dir=cache_dir,
                work_dir=directory,
                overhead=overhead,
                sensors=sensors,
            )
        )
    return requests


def _iterations(work_dir: Path) -> Iterations | None:
    from profiler.samples import FILE_NAME, Iterations

    path = work_dir / FILE_NAME
    return Iterations.load(path) if path.exists() else None
