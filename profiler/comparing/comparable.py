"""What two results differ in besides their figures, and which of it was meant.

A latency belongs to everything that it was measured with. Two of them tell something about what is
under comparison only where the rest is equal, so every difference is found and named. The model and
the runtime are what people compare: they need no permission. Anything else stands in the way of a
verdict until it is said to be meant. What is not known on one side is not taken to be equal.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from profiler.base import Frozen
from profiler.device.environment import THREAD_VARIABLES
from profiler.result import Environment, Preflight, RunResult, RunStatus

UNKNOWN = "not known"

# What is compared on purpose, without being said: see NAMES for "variant", which a digest tells.
AXES = ("model", "digest", "runtime")
_RUN = ("device", "scenario", "precision", "batch_size", "threads", "accelerator")
_ENVIRONMENT = (
    "kernel", "architecture", "cpu_model", "cpu_count", "cpu_affinity", "board", "virtualization",
    "governors", "accelerator_name", "python", "fleetmark",
)  # fmt: skip
_PREFLIGHT = (
    "turbo", "smt", "power_mode", "on_battery", "isolated_cpus", "accelerator_driver",
    "accelerator_power_limits_watts",
)  # fmt: skip

# All that ``across`` can name; after a dot comes the package, variable, state or flag.
FIELDS = (
    *AXES, *_RUN, "inputs", "server", "runtime_version", "environment", "os", *_ENVIRONMENT,
    "packages", "worker_environment", "preflight", "flags",
)  # fmt: skip

# Who means one difference means what comes of it.
_FOLLOWS = {
    "threads": tuple(f"worker_environment.{name}" for name in THREAD_VARIABLES),
    "batch_size": ("inputs",),
    "accelerator": (
        "accelerator_name", "preflight.accelerator_driver",
        "preflight.accelerator_power_limits_watts",
    ),
    "device": (
        "os", "kernel", "architecture", "cpu_model", "cpu_count", "cpu_affinity", "board",
        "virtualization", "accelerator", "accelerator_name", "preflight.smt",
        "preflight.accelerator_driver", "preflight.accelerator_power_limits_watts",
    ),
}  # fmt: skip

# Flags that say nothing of latency: they warn of memory and energy figures. And one that says only
# how wide the interval is, which the comparison's own interval holds already.
OTHER_FIGURES = frozenset(
    {
        "memory_pass_failed",
        "energy_disagree",
        "idle_power_drift",
        "sensor_failed",
        "sensor_resonance",
        "not_converged",
    }
)


class Difference(Frozen):
    """A field in which two results differ.

    ``axis``: it is what is compared, or was said to be meant. Otherwise it stands in the way.
    """

    field: str
    baseline: str
    candidate: str
    axis: bool

    def __str__(self) -> str:
        return f"{self.field} ({self.baseline}, {self.candidate})"


def comparable(
    baseline: RunResult, candidate: RunResult, across: Collection[str] = ()
) -> tuple[Difference, ...]:
    """Every difference; those whose ``axis`` is false stand in the way of a verdict.

    Args:
        baseline: what the candidate is measured against.
        candidate: the new one.
        across: fields that are meant to differ, such as ``threads``, ``packages.torch`` or, for all
            of them, ``packages``.
    """
    meant = {*AXES, *across}
    for name in across:
        meant.update(_FOLLOWS.get(name, ()))
    return tuple(
        Difference(field=field, baseline=old, candidate=new, axis=_is_meant(field, meant))
        for field, old, new in _pairs(baseline, candidate)
        if old != new
    )


def in_the_way(differences: Collection[Difference], *, force: bool) -> tuple[Difference, ...]:
    """Those that forbid a verdict. Force allows all but a run that has no figures."""
    return tuple(d for d in differences if not d.axis and (d.field == "status" or not force))


def _is_meant(field: str, meant: Collection[str]) -> bool:
    return field in meant or field.partition(".")[0] in meant


# What these flags tell is in the width of the interval, or in its absence: no difference.
COUNTED = frozenset({"wanders", "few_runs"})
_Pairs = Iterator[tuple[str, str, str]]


def _pairs(baseline: RunResult, candidate: RunResult) -> _Pairs:
    """Every field with both values as text; of the status only what is no success."""
    if not baseline.status is candidate.status is RunStatus.SUCCEEDED:
        # A run without figures did not resolve its threads or precision either.
        yield "status", _status(baseline, "baseline"), _status(candidate, "candidate")
        return
    yield "model", baseline.model_info.source, candidate.model_info.source
    yield "digest", _text(baseline.model_info.digest), _text(candidate.model_info.digest)
    yield "runtime", baseline.runtime, candidate.runtime
    for name in _RUN:
        yield name, _text(getattr(baseline, name)), _text(getattr(candidate, name))
    yield "inputs", _shapes(baseline), _shapes(candidate)
    yield "server.rate_per_second", _rate(baseline), _rate(candidate)
    if baseline.runtime == candidate.runtime:
        yield "runtime_version", _text(baseline.runtime_version), _text(candidate.runtime_version)
    yield from _environments(baseline, candidate)
    yield from _preflights(baseline.preflight, candidate.preflight)
    yield from _flags(baseline, candidate)


def _status(result: RunResult, side: str) -> str:
    """Told apart by side: two failed runs are no better than one."""
    why = f", {result.error.kind.value}: {result.error.message}" if result.error else ""
    return f"{side} {result.status.value}{why}"


def _shapes(result: RunResult) -> str:
    """Types and shapes; what the tensors are called costs no time."""
    texts = (f"{i.dtype}:{'x'.join(map(str, i.shape))}" for i in result.inputs)
    return ", ".join(texts) or "none"


def _rate(result: RunResult) -> str:
    return f"{result.server.rate_per_second:g}" if result.server else "none"


def _environments(baseline: RunResult, candidate: RunResult) -> _Pairs:
    old, new = baseline.environment, candidate.environment
    if old is None or new is None:
        # Even where both are unknown: nothing says that they were the same.
        yield "environment", _recorded(baseline, "baseline"), _recorded(candidate, "candidate")
        return
    yield "os", _os(old), _os(new)
    for name in _ENVIRONMENT:
        yield name, _text(getattr(old, name)), _text(getattr(new, name))
    yield from _mappings("packages", old.packages, new.packages)
    yield from _mappings("worker_environment", old.worker_environment, new.worker_environment)


def _recorded(result: RunResult, side: str) -> str:
    if result.environment is not None:
        return "recorded"
    return f"{side} not recorded: {result.environment_reason or 'no reason given'}"


def _os(environment: Environment) -> str:
    """Without the kernel's version, which has a field of its own."""
    return environment.os.replace(environment.kernel, "*")


def _mappings(field: str, old: Mapping[str, str], new: Mapping[str, str]) -> _Pairs:
    for name in sorted({*old, *new}):
        yield f"{field}.{name}", old.get(name, "none"), new.get(name, "none")


def _preflights(old: Preflight | None, new: Preflight | None) -> _Pairs:
    if old is None or new is None:
        yield "preflight", _presence(old), _presence(new)
        return
    for name in _PREFLIGHT:
        yield f"preflight.{name}", _text(getattr(old, name)), _text(getattr(new, name))


def _presence(preflight: Preflight | None) -> str:
    return "not recorded" if preflight is None else "recorded"


def _flags(baseline: RunResult, candidate: RunResult) -> _Pairs:
    sides = [{flag.name for flag in result.flags} - COUNTED for result in (baseline, candidate)]
    for name in sorted((sides[0] | sides[1]) - OTHER_FIGURES):
        yield f"flags.{name}", _text(name in sides[0]), _text(name in sides[1])


def _text(value: object) -> str:
    if value is None:
        return UNKNOWN
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "none"
    return str(value)
