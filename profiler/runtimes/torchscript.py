"""TorchScript: a ``.pt`` file, or an architecture traced at load time.

``torch.jit.load`` reads the archive's pickles with its own C++ unpickler, which builds tensors,
containers and the script's own classes and calls nothing of Python's. The script itself is a
program; ``profiler.modelfile.artifact`` refuses the operators with which it could touch files.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from profiler.errors import ModelError, Unsupported
from profiler.inputs import resolve
from profiler.runtimes import torch_common
from profiler.runtimes.base import LoadedModel, LoadRequest
from profiler.runtimes.pytorch import preload_torch
from profiler.runtimes.table import installed_version
from profiler.sources import build
from profiler.spec import ArchitectureRef, ArtifactRef, InputSpec, ModelFormat


class TorchScriptAdapter:
    """``torch.jit.ScriptModule``, neither frozen nor otherwise rewritten."""

    forkable = True

    def preload(self) -> None:
        preload_torch()

    def version(self) -> str:
        return installed_version("torch")

    def load(self, request: LoadRequest) -> LoadedModel:
        _require_loadable(request)
        torch_common.configure(request.threads)
        accelerator = torch_common.choose_accelerator(request.accelerator)
        if isinstance(request.model, ArchitectureRef):
            module, inputs = _traced(request, request.model, accelerator)
        else:
            module = open_torchscript(torch_common.require_path(request), accelerator)
            inputs = in_order(
                module, resolve(None, request.batch_size, request.inputs, request.resolution)
            )
            module = module.to(torch_common.dtype_of(request.precision))
        return torch_common.finish(request, module, inputs, accelerator, module.parameters())


def _require_loadable(request: LoadRequest) -> None:
    model = request.model
    if isinstance(model, ArtifactRef) and model.format is not ModelFormat.TORCHSCRIPT:
        engine = "torch_export" if model.format is ModelFormat.EXPORTED_PROGRAM else "onnxruntime"
        raise Unsupported(
            f"runtime: torchscript runs .pt files and architectures, and {model.label} is a "
            f"{model.format} file; use the runtime {engine}"
        )


@contextmanager
def quiet_deprecations() -> Iterator[None]:
    """TorchScript warns of its deprecation at every call; measuring it is what was asked for."""
    with warnings.catch_warnings():
        pattern = r"`torch\.jit\.\w+` is (deprecated|not supported)"
        for category in (FutureWarning, DeprecationWarning):
            warnings.filterwarnings("ignore", message=pattern, category=category)
        yield


def _traced(
    request: LoadRequest, ref: ArchitectureRef, accelerator: str
) -> tuple[Any, tuple[InputSpec, ...]]:
    built = build(ref)
    inputs = resolve(built.signature, request.batch_size, request.inputs, request.resolution)
    dtype = torch_common.dtype_of(request.precision)
    module = built.module.to(device=accelerator, dtype=dtype).requires_grad_(False)
    tensors = torch_common.make_tensors(inputs, request.seed, request.precision, accelerator)
    return trace(module, tensors), inputs


def trace(module: Any, tensors: tuple[Any, ...]) -> Any:
    """Trace without the second, checking pass; answers that are dicts are allowed.

    Raises:
        ModelError: the module cannot be traced.
    """
    import torch

    with quiet_deprecations(), warnings.catch_warnings(), torch.no_grad():
        # Shapes are fixed in a run, so a branch on a shape is traced as it will be taken.
        warnings.filterwarnings("ignore", category=torch.jit.TracerWarning)
        try:
            return torch.jit.trace(module, tensors, check_trace=False, strict=False)
        except (RuntimeError, ValueError, TypeError) as error:
            raise ModelError(f"the model cannot be traced: {error}") from error


def open_torchscript(path: Any, accelerator: str) -> Any:
    """Load a file that ``profiler.modelfile.artifact`` has accepted, in evaluation mode.

    Raises:
        ModelError: torch refuses it.
    """
    import torch

    with quiet_deprecations():
        try:
            module = torch.jit.load(str(path), map_location=accelerator)
        except (RuntimeError, ValueError) as error:
            raise ModelError(f"the TorchScript file does not load: {error}") from error
    module.eval()
    for parameter in module.parameters():
        parameter.requires_grad_(False)
    return module


def in_order(module: Any, inputs: tuple[InputSpec, ...]) -> tuple[InputSpec, ...]:
    """``inputs`` in the order of ``forward``'s arguments.

    Raises:
        ModelError: a name is none of them, or one without a default is missing.
    """
    # The first is the module itself, whatever its author calls it.
    arguments = module.forward.schema.arguments[1:]
    given = {spec.name: spec for spec in inputs}
    names = [argument.name for argument in arguments]
    unknown = sorted(set(given) - set(names))
    missing = [a.name for a in arguments if a.name not in given and not a.has_default_value()]
    if unknown or missing:
        wrong = f"no input {unknown[0]!r}" if unknown else f"a missing input {missing[0]!r}"
        raise ModelError(f"input: the model has {wrong}; it expects {', '.join(names)}")
    return tuple(given[name] for name in names if name in given)
