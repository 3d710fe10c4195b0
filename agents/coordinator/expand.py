"""A job → its runs, one per device and point of the axes; refused whole if it makes no sense."""

from __future__ import annotations

import difflib
import random

from agents.coordinator.rows import DeviceRecord
from agents.messages import JobRequest
from agents.points import number_of_points, points, runtimes_of
from profiler.contradictions import refuse_deadline
from profiler.errors import InputError
from profiler.fit import refuse_runtime
from profiler.spec import ArchitectureRef, ArtifactRef, RunSpec, Runtime

MAX_RUNS = 10_000

Plan = list[tuple[DeviceRecord, RunSpec]]


def expand(request: JobRequest, devices: tuple[DeviceRecord, ...]) -> Plan:
    """All runs of a job, device by device.

    Args:
        request: the job.
        devices: those that its selector chose, at least one.

    Raises:
        InputError: nothing of the fleet can run it, or there are too many runs.
    """
    _refuse_unknown_model(request.model, devices)
    for runtime in runtimes_of(request):
        _refuse_runtime(runtime, request.model, devices)
    refuse_deadline(request.timeout_seconds, request.max_time_seconds)
    count = number_of_points(request)
    if count * len(devices) > MAX_RUNS:
        raise InputError(
            "axes", f"{count} points × {len(devices)} devices",
            f"is more than {MAX_RUNS} runs", "Submit fewer values at a time",
        )  # fmt: skip
    specs = points(request)
    plan: Plan = []
    for device in devices:
        # In an order of its own on each: what changes there with time meets no point by design.
        order = list(specs)
        random.Random(f"{request.seed}/{device.name}").shuffle(order)  # noqa: S311 - no secret
        plan += [(device, spec) for spec in order]
    return plan


def _refuse_unknown_model(
    model: ArchitectureRef | ArtifactRef, devices: tuple[DeviceRecord, ...]
) -> None:
    """Devices differ in what they have installed: unknown is what none of them can build."""
    if isinstance(model, ArtifactRef):
        return
    known: set[str] = set()
    for device in devices:
        known.update(device.inventory.catalogs.names(model.library))
    if model.name in known:
        return
    name = f"{model.library}:{model.name}"
    if not known:
        raise InputError(
            "model", name, f"needs {model.library}, which no chosen device has installed",
            "pip install 'fleetmark[torch]' there, or submit a model file",
        )  # fmt: skip
    close = difflib.get_close_matches(model.name, sorted(known), n=3)
    hint = f"Did you mean {', '.join(close)}?" if close else "See the library's list of models"
    raise InputError("model", name, f"is no model of {model.library}", hint)


def _refuse_runtime(
    runtime: Runtime,
    model: ArchitectureRef | ArtifactRef,
    devices: tuple[DeviceRecord, ...],
) -> None:
    """Refuse what cannot work anywhere; a single device that lacks it gives a failed run."""
    refuse_runtime(runtime, model)
    statuses = [s for d in devices for s in d.inventory.runtimes if s.runtime is runtime]
    if statuses and not any(status.installed for status in statuses):
        first = statuses[0]
        raise InputError(
            "runtime", runtime, f"is on no chosen device ({first.reason})",
            first.remedy or "Choose another runtime",
        )  # fmt: skip
