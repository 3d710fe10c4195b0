"""A request's axes → the points of its sweep, each a specification of its own. Pure."""

from __future__ import annotations

from itertools import product
from math import prod

from agents.messages import JobRequest
from profiler.runtimes.table import default_runtime
from profiler.spec import RunSpec, Runtime

# What a request has for itself; all else of it is the same at every point.
OF_THE_JOB = frozenset({"devices", "axes", "max_attempts"})


def runtimes_of(request: JobRequest) -> tuple[Runtime, ...]:
    """The runtimes that were asked for, else the model's own."""
    return request.axes.runtime or (default_runtime(request.model),)


def number_of_points(request: JobRequest) -> int:
    """How many ``points`` gives."""
    return prod(len(values) for values in _axes(request).values())


def points(request: JobRequest) -> list[RunSpec]:
    """One specification for each combination of values, the first axis changing last."""
    axes = _axes(request)
    common = {name: getattr(request, name) for name in set(JobRequest.model_fields) - OF_THE_JOB}
    return [
        RunSpec.model_validate(common | dict(zip(axes, values, strict=True)))
        for values in product(*axes.values())
    ]


def _axes(request: JobRequest) -> dict[str, tuple[object, ...]]:
    named = {name: getattr(request.axes, name) for name in type(request.axes).model_fields}
    return named | {"runtime": runtimes_of(request)}
