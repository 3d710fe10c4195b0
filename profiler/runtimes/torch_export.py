"""``torch.export``: a ``.pt2`` file, or an architecture exported at load time.

A ``.pt2`` archive can hold much that runs on opening: pickles, compiled libraries, expressions that
are evaluated. ``profiler.modelfile.artifact`` refuses a file with any of these; only accepted files
may come here. The guards on input shapes, Python source that torch would compile, are left out: the
inputs are made to fit.
"""

from __future__ import annotations

from contextlib import suppress
from importlib import import_module
from typing import Any

from profiler.errors import ModelError, Unsupported
from profiler.inputs import Signature, SignatureInput, resolve
from profiler.runtimes import torch_common
from profiler.runtimes.base import LoadedModel, LoadRequest
from profiler.runtimes.pytorch import preload_torch
from profiler.runtimes.table import installed_version
from profiler.sources import build
from profiler.spec import ArchitectureRef, ArtifactRef, InputSpec, ModelFormat


class TorchExportAdapter:
    """The module of an ``ExportedProgram``, run by torch eager.

    An architecture is exported with the run's own shapes, which are static.
    """

    forkable = True

    def preload(self) -> None:
        preload_torch()
        # torch.export imports most of itself on first use (380 modules, 26 MiB), which would be
        # charged to the model. These modules are private: where they moved, that is what happens.
        for name in ("torch.export._trace", "torch._export.serde.serialize"):
            with suppress(ImportError):
                import_module(name)

    def version(self) -> str:
        return installed_version("torch")

    def load(self, request: LoadRequest) -> LoadedModel:
        _require_loadable(request)
        torch_common.configure(request.threads)
        accelerator = torch_common.choose_accelerator(request.accelerator)
        if isinstance(request.model, ArchitectureRef):
            program, inputs = _exported(request, request.model, accelerator)
        else:
            program = open_program(torch_common.require_path(request))
            _require_precision(request, program)
            inputs = resolve(
                signature_of(program), request.batch_size, request.inputs, request.resolution
            )
            program = _placed(program, accelerator)
        module = module_of(program)
        return torch_common.finish(request, module, inputs, accelerator, program.parameters())


def _require_loadable(request: LoadRequest) -> None:
    model = request.model
    if isinstance(model, ArtifactRef) and model.format is not ModelFormat.EXPORTED_PROGRAM:
        engine = "torchscript" if model.format is ModelFormat.TORCHSCRIPT else "onnxruntime"
        raise Unsupported(
            f"runtime: torch_export runs .pt2 files and architectures, and {model.label} is a "
            f"{model.format} file; use the runtime {engine}"
        )


def _exported(
    request: LoadRequest, ref: ArchitectureRef, accelerator: str
) -> tuple[Any, tuple[InputSpec, ...]]:
    import torch

    built = build(ref)
    inputs = resolve(built.signature, request.batch_size, request.inputs, request.resolution)
    dtype = torch_common.dtype_of(request.precision)
    module = built.module.to(device=accelerator, dtype=dtype).requires_grad_(False)
    tensors = torch_common.make_tensors(inputs, request.seed, request.precision, accelerator)
    try:
        return torch.export.export(module, tensors), inputs
    except (RuntimeError, ValueError, TypeError, AssertionError) as error:
        raise ModelError(f"{ref.label} cannot be exported by torch.export: {error}") from error


def open_program(path: Any) -> Any:
    """Load a file that ``profiler.modelfile.artifact`` has accepted; an ``ExportedProgram``.

    Raises:
        ModelError: torch refuses it.
    """
    import torch

    try:
        # An open file, since torch looks at a path's extension, and stored files have none.
        with open(path, "rb") as file:  # noqa: PTH123
            return torch.export.load(file)
    except (RuntimeError, ValueError, KeyError, AssertionError, TypeError) as error:
        raise ModelError(f"the exported program does not load: {error}") from error


def module_of(program: Any) -> Any:
    """The program as a callable, without the guards."""
    try:
        module = program.module(check_guards=False)
    except TypeError:  # before torch 2.9 there were no guards
        module = program.module()
    for parameter in module.parameters():
        parameter.requires_grad_(False)
    return module


def signature_of(program: Any) -> Signature:
    """The user's inputs; a dimension that the program leaves open carries its symbol's name."""
    wanted = set(program.graph_signature.user_inputs)
    nodes = [node for node in program.graph.nodes if node.op == "placeholder"]
    return tuple(_declared(node) for node in nodes if node.name in wanted)


def _declared(node: Any) -> SignatureInput:
    value = node.meta.get("val")
    if not hasattr(value, "shape"):
        raise Unsupported(
            f"input {node.name!r} is no tensor but {type(value).__name__}; "
            "export the model with tensors as its only inputs"
        )
    dims = tuple(size if isinstance(size, int) else str(size) for size in value.shape)
    dtype = str(value.dtype).removeprefix("torch.")
    return SignatureInput(name=node.name, dtype=dtype, dims=dims)


def _require_precision(request: LoadRequest, program: Any) -> None:
    """A program's casts and checks are written for its own dtype, so it is not recast."""
    held = torch_common.weights_precision(program.parameters())
    if held is not None and request.precision.value not in held:
        raise Unsupported(
            f"precision: {request.precision} asked for, but {request.model.label} is exported in "
            f"{held}; ask for --precision {held}, or export the model in {request.precision}"
        )


def _placed(program: Any, accelerator: str) -> Any:
    """Move parameters and constants; not covered by tests on machines without a GPU."""
    if accelerator == "cpu":
        return program
    from torch.export.passes import move_to_device_pass

    return move_to_device_pass(program, accelerator)
