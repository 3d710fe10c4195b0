"""The options of ``profile`` on their way to a specification."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from profiler.api.terms import argument
from profiler.contradictions import (
    refuse_deadline,
    refuse_idle_options,
    refuse_quick_repetitions,
)
from profiler.errors import InputError
from profiler.refusal import refusal
from profiler.sensors.setup import SensorSetup
from profiler.spec import (
    ArchitectureRef,
    ArtifactRef,
    InputSpec,
    RunSpec,
    Runtime,
    Scenario,
    ServerSpec,
    quick_seconds,
    usual_repetitions,
)

TIMEOUT_SECONDS = 600.0
HELP = "See help(profiler.profile)"
IN_MEMORY = "is only for models that a worker measures"
WITHOUT = "Leave it out, or export the module: runtime='torch_export'"


@dataclass(frozen=True)
class Options:
    """What was asked for, as it was asked; ``None`` is for the default."""

    runtime: str | None
    precision: str | None
    accelerator: str
    batch_size: int | None
    threads: int | None
    resolution: int | tuple[int, int] | None
    scenario: str
    server: ServerSpec | Mapping[str, Any] | None
    repetitions: int | None
    max_time: float
    settle_time: float | None
    quick: bool
    target: float | None
    percentile: str | None
    timeout: float | None
    memory_limit: float | None
    seed: int
    worker_python: str | None
    sensors: Sequence[str] | None
    meters: str | Path | None

    def spec(
        self,
        model: ArchitectureRef | ArtifactRef,
        runtime: Runtime,
        inputs: tuple[InputSpec, ...] | None,
        batch_size: int,
        precision: str | None = None,
    ) -> RunSpec:
        """The specification of a run of ``model``.

        Raises:
            InputError: an option is refused.
        """
        values = {
            "model": model,
            "runtime": runtime,
            "precision": self.precision or precision or "fp32",
            "accelerator": self.accelerator,
            "batch_size": batch_size,
            "threads": self.threads,
            "inputs": inputs,
            "resolution": self._resolution(),
            "scenario": self.scenario,
            "server": self._server(),
            "stop": _without_none(percentile=self.percentile, relative_half_width=self.target),
            "repetitions": self._repetitions(),
            "max_time_seconds": self.max_time,
            "timeout_seconds": TIMEOUT_SECONDS if self.timeout is None else self.timeout,
            "memory_limit_bytes": self._memory_limit(),
            "seed": self.seed,
        } | _without_none(settle_seconds=self.settle_time)
        try:
            spec = RunSpec.model_validate(values)
        except ValidationError as error:
            raise refused(error) from error
        refuse_idle_options(
            spec.scenario,
            target=self.target,
            percentile=self.percentile,
            settle_time=self.settle_time,
        )
        if self.quick:
            refuse_quick_repetitions(self.repetitions)
            seconds = quick_seconds(spec.max_time_seconds, spec.scenario)
            spec = spec.model_copy(update={"repetitions": 1, "max_time_seconds": seconds})
        refuse_deadline(spec.timeout_seconds, spec.max_time_seconds)
        return spec

    def _repetitions(self) -> int:
        if self.repetitions is not None:
            return self.repetitions
        return usual_repetitions(self.scenario)

    def _server(self) -> object:
        """The load; its percentile may be given beside it, as on the command line."""
        if self.percentile is None or not isinstance(self.server, Mapping):
            return self.server
        return {"percentile": self.percentile, **self.server}

    def _resolution(self) -> object:
        return (self.resolution,) * 2 if isinstance(self.resolution, int) else self.resolution

    def _memory_limit(self) -> int | None:
        """MiB → bytes."""
        value: object = self.memory_limit
        if value is None:
            return None
        if not isinstance(value, (int, float)) or not 0 < value < float("inf"):
            raise InputError("memory_limit", value, "is no amount of memory", "Give MiB above 0")
        return max(1, int(value * 2**20))

    def sensor_setup(self) -> SensorSetup:
        """What is read meanwhile.

        Raises:
            InputError: a name is no source's, or the meters' file is refused.
        """
        # Every reader of sensors, which a function in this process needs none of.
        from profiler.sensors.configured import sensor_setup

        if isinstance(self.sensors, str):
            raise InputError("sensors", self.sensors, "is one text", f"Give [{self.sensors!r}]")
        return sensor_setup(self.sensors, Path(self.meters) if self.meters else None)

    def chosen_runtime(self) -> Runtime | None:
        """The runtime that was asked for.

        Raises:
            InputError: there is none of that name.
        """
        if self.runtime is None:
            return None
        try:
            return Runtime(self.runtime)
        except ValueError as error:
            known = [each.value for each in Runtime]
            close = difflib.get_close_matches(str(self.runtime), known, n=1)
            hint = f"Did you mean {close[0]!r}? " if close else ""
            remedy = f"{hint}There are: {', '.join(known)}"
            raise InputError("runtime", self.runtime, "is unknown", remedy) from error

    def refuse_in_process(self) -> None:
        """Options without a meaning where nothing but this process is there to measure in.

        Raises:
            InputError: one of them was given.
        """
        for name in (
            "resolution", "timeout", "memory_limit", "worker_python", "sensors", "meters",
        ):  # fmt: skip
            if getattr(self, name) is not None:
                raise InputError(name, getattr(self, name), IN_MEMORY, WITHOUT)
        if isinstance(self.repetitions, int) and self.repetitions > 1:
            raise InputError("repetitions", self.repetitions, IN_MEMORY, WITHOUT)
        if self.scenario != Scenario.SINGLE_STREAM or self.server is not None:
            given = self.scenario if self.server is None else "server"
            raise InputError("scenario", given, IN_MEMORY, WITHOUT)


def _without_none(**values: object) -> dict[str, object]:
    """What was given; the rest has the specification's own default."""
    return {name: value for name, value in values.items() if value is not None}


def refused(error: ValidationError) -> InputError:
    """What pydantic says, about an argument of ``profile``."""
    return refusal(error, lambda part: "" if part == "stop" else argument(part), "scenario", HELP)
