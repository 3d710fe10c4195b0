"""Which engines there are. Explicit, and without importing any of them."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from importlib import import_module, metadata

from profiler.base import Frozen
from profiler.runtimes.base import RuntimeAdapter
from profiler.spec import ArchitectureRef, ArtifactRef, ModelFormat, Runtime


class _Engine(Frozen):
    """Where an adapter lives, and the import name and extra of what it needs."""

    module: str
    adapter: str
    package: str
    distributions: tuple[str, ...]
    extra: str


_TORCH = {"package": "torch", "distributions": ("torch",), "extra": "torch"}

_ENGINES: dict[Runtime, _Engine] = {
    Runtime.TORCH: _Engine(module="pytorch", adapter="TorchAdapter", **_TORCH),
    Runtime.TORCHSCRIPT: _Engine(module="torchscript", adapter="TorchScriptAdapter", **_TORCH),
    Runtime.TORCH_EXPORT: _Engine(module="torch_export", adapter="TorchExportAdapter", **_TORCH),
    Runtime.ONNXRUNTIME: _Engine(
        module="onnx",
        adapter="OnnxRuntimeAdapter",
        package="onnxruntime",
        # One import name, a distribution for each accelerator.
        distributions=("onnxruntime", "onnxruntime-gpu", "onnxruntime-openvino"),
        extra="onnx",
    ),
}

_FORMAT_RUNTIMES: dict[ModelFormat, Runtime] = {
    ModelFormat.TORCHSCRIPT: Runtime.TORCHSCRIPT,
    ModelFormat.EXPORTED_PROGRAM: Runtime.TORCH_EXPORT,
    ModelFormat.ONNX: Runtime.ONNXRUNTIME,
}


class RuntimeStatus(Frozen):
    """One engine on this device. ``version`` is ``None`` where it is not installed."""

    runtime: Runtime
    version: str | None
    reason: str | None = None
    remedy: str | None = None

    @property
    def installed(self) -> bool:
        return self.version is not None


def adapter_for(runtime: Runtime) -> RuntimeAdapter:
    """The adapter of ``runtime``. Importing it imports no engine: ``preload`` does."""
    engine = _ENGINES[runtime]
    module = import_module(f"profiler.runtimes.{engine.module}")
    make: Callable[[], RuntimeAdapter] = getattr(module, engine.adapter)
    return make()


def available() -> tuple[RuntimeStatus, ...]:
    """Every engine, with its version or the reason why it is absent; imports none."""
    return tuple(_status(runtime, engine) for runtime, engine in _ENGINES.items())


def _status(runtime: Runtime, engine: _Engine) -> RuntimeStatus:
    if importlib.util.find_spec(engine.package) is None:
        return RuntimeStatus(
            runtime=runtime,
            version=None,
            reason=f"{engine.package} is not installed",
            remedy=f"pip install 'fleetmark[{engine.extra}]'",
        )
    return RuntimeStatus(runtime=runtime, version=installed_version(*engine.distributions))


def installed_version(*distributions: str) -> str:
    """The version of the first of ``distributions`` that is installed, else ``unknown``.

    A package may be there without metadata: a vendor's build copied into place.
    """
    for name in distributions:
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return "unknown"


def default_runtime(model: ArchitectureRef | ArtifactRef) -> Runtime:
    """The engine that runs ``model`` as it is, without a conversion."""
    if isinstance(model, ArchitectureRef):
        return Runtime.TORCH
    return _FORMAT_RUNTIMES[model.format]


def can_run(runtime: Runtime, model: ArchitectureRef | ArtifactRef) -> str | None:
    """Why ``runtime`` cannot run ``model``, conversions included; ``None`` when it can."""
    if isinstance(model, ArchitectureRef) or runtime is _FORMAT_RUNTIMES[model.format]:
        return None
    if runtime is Runtime.ONNXRUNTIME:
        return None
    return f"{model.name} is {model.format}, which {_FORMAT_RUNTIMES[model.format]} runs"
