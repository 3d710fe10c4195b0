"""PyTorch, eager: an architecture as its library defines it."""

from __future__ import annotations

from profiler.errors import Unsupported
from profiler.inputs import resolve
from profiler.runtimes import torch_common
from profiler.runtimes.base import LoadedModel, LoadRequest
from profiler.runtimes.table import installed_version
from profiler.sources import build
from profiler.spec import ArchitectureRef, Library


class TorchAdapter:
    """``torch.nn.Module`` called as it is."""

    forkable = True

    def preload(self) -> None:
        preload_torch()

    def version(self) -> str:
        return installed_version("torch")

    def load(self, request: LoadRequest) -> LoadedModel:
        if not isinstance(request.model, ArchitectureRef):
            raise Unsupported(
                f"runtime: torch runs architectures, and {request.model.label} is a "
                f"{request.model.format} file; use the runtime torchscript for .pt, torch_export "
                "for .pt2, onnxruntime for .onnx"
            )
        torch_common.configure(request.threads)
        accelerator = torch_common.choose_accelerator(request.accelerator)
        built = build(request.model)
        inputs = resolve(built.signature, request.batch_size, request.inputs, request.resolution)
        module = built.module.to(
            device=accelerator, dtype=torch_common.dtype_of(request.precision)
        ).requires_grad_(False)
        return torch_common.finish(request, module, inputs, accelerator, module.parameters())


def preload_torch() -> None:
    """Import torch and the libraries of architectures that are installed.

    timm is left to the first timm model: it takes as long again as torchvision.
    """
    import torch  # noqa: F401 - imported for the forks that follow

    from profiler.sources import known_names

    try:
        known_names(Library.TORCHVISION)
    except Unsupported:
        # Model files run without it; an architecture of it says so when it is asked for.
        return
