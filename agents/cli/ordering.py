"""Runs in the order in which people asked for them; they are measured in a random one."""

from __future__ import annotations

from collections.abc import Sequence

from agents.messages import Axes, JobWithRuns
from profiler.result import RunResult
from profiler.spec import RunSpec


def place(spec: RunSpec, axes: Axes) -> tuple[int, ...]:
    """Where a point lies on the axes of its job, as they were written."""
    swept: tuple[tuple[object, Sequence[object]], ...] = (
        (spec.runtime, axes.runtime),
        (spec.precision, axes.precision),
        (spec.batch_size, axes.batch_size),
        (spec.threads, axes.threads),
        (spec.resolution, axes.resolution),
    )
    return tuple(values.index(value) if value in values else 0 for value, values in swept)


def as_asked(found: JobWithRuns, results: Sequence[RunResult]) -> list[RunResult]:
    """The results of a job: device by device, and along the axes of the job within each."""
    devices = list(dict.fromkeys(run.device for run in found.runs))
    places = {
        run.id: (devices.index(run.device), *place(run.spec, found.job.request.axes))
        for run in found.runs
    }
    return sorted(results, key=lambda result: places.get(result.run_id, (len(devices),)))
