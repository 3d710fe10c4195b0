"""The protocol between the timed loop and an engine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from profiler.base import Frozen
from profiler.spec import ArchitectureRef, ArtifactRef, InputSpec, Precision
from profiler.timing import DeviceTimer


class LoadRequest(Frozen):
    """All that a runtime needs to load a model.

    ``model_path`` is the file of an artifact, already verified against its digest, or ``None`` for
    an architecture. ``threads`` is resolved; ``inputs`` overrides the model's own signature.
    """

    model: ArchitectureRef | ArtifactRef
    model_path: Path | None
    precision: Precision
    accelerator: str
    threads: int
    batch_size: int
    inputs: tuple[InputSpec, ...] | None
    resolution: tuple[int, int] | None = None
    seed: int


class LoadedModel(Protocol):
    """A model that is ready to be timed. Everything it reports is read back, not assumed."""

    @property
    def inputs(self) -> tuple[InputSpec, ...]:
        """The tensors that ``call`` feeds, batch dimension included."""

    @property
    def precision(self) -> str:
        """The arithmetic that really runs, such as ``fp32``, or ``mixed(fp32,int8)``."""

    @property
    def accelerator(self) -> str:
        """Where it really runs: ``cpu`` or ``cuda:0``."""

    @property
    def threads(self) -> int:
        """Threads inside one operator, as the engine reports them."""

    @property
    def parameters(self) -> int | None:
        """Number of weights, or ``None`` where the engine does not tell."""

    @property
    def fallback(self) -> str | None:
        """What ran elsewhere than asked (operators on the CPU), or ``None``."""

    @property
    def call(self) -> Callable[[], Any]:
        """One inference on the prepared inputs; what the timed loop calls."""

    @property
    def synchronize(self) -> Callable[[], None] | None:
        """Waits for the accelerator, or ``None`` where ``call`` returns when the work is done."""

    @property
    def device_timer(self) -> DeviceTimer | None:
        """A new timer of calls on the accelerator, or ``None`` where there is none."""

    def outputs(self) -> Sequence[Any]:
        """One inference, its outputs as NumPy arrays in the model's order."""

    def accelerator_peak_bytes(self) -> tuple[int, int] | None:
        """Peak (allocated, reserved) bytes on the accelerator since loading, or ``None``."""


class RuntimeAdapter(Protocol):
    """One engine. Its module imports the engine inside these methods only."""

    @property
    def forkable(self) -> bool:
        """Whether a fork works after ``preload``; else every repetition is a new interpreter."""

    def preload(self) -> None:
        """Import the engine's libraries; no tensor work, so that a fork stays safe."""

    def version(self) -> str:
        """The engine's version."""

    def load(self, request: LoadRequest) -> LoadedModel:
        """Load the model.

        Raises:
            ModelError: the model does not load or its inputs do not fit.
            Unsupported: this engine cannot run it with the precision or accelerator asked for.
        """
