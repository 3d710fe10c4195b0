"""One small model in every format."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from profiler.base import Frozen

SHAPE = (2, 3, 8, 8)


class TinyModel(Frozen):
    """One model in three formats; ``outputs`` is its answer to the seeded inputs of ``SHAPE``."""

    torchscript: Path
    exported: Path
    onnx: Path
    static_onnx: Path
    state_dict: Path
    module: Path
    legacy: Path
    outputs: list[float]
    parameters: int


def tiny_module() -> Any:
    import torch
    from torch import nn

    torch.manual_seed(3)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(4, 5),
    ).eval()  # fmt: skip


def make_tiny(folder: Path) -> TinyModel:
    import torch

    from profiler.inputs import synthesize
    from profiler.spec import InputSpec

    module = tiny_module()
    spec = InputSpec(name="input", dtype="float32", shape=SHAPE)
    x = torch.from_numpy(synthesize([spec], seed=0)[0])
    made = TinyModel(
        torchscript=folder / "tiny.pt",
        exported=folder / "tiny.pt2",
        onnx=folder / "tiny.onnx",
        static_onnx=folder / "static.onnx",
        state_dict=folder / "state.pth",
        module=folder / "module.pth",
        legacy=folder / "legacy.pth",
        outputs=module(x).detach().flatten().tolist(),
        parameters=sum(p.numel() for p in module.parameters()),
    )
    with warnings.catch_warnings():
        # Both are deprecated; users have such files all the same.
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.script(module), str(made.torchscript))
        names = {"input_names": ["input"], "dynamo": False}
        torch.onnx.export(
            module, (x,), str(made.onnx), dynamic_axes={"input": {0: "batch"}}, **names
        )
        torch.onnx.export(module, (x,), str(made.static_onnx), **names)
    batch = torch.export.Dim("batch", max=64)
    torch.export.save(
        torch.export.export(module, (x,), dynamic_shapes=({0: batch},)), str(made.exported)
    )
    torch.save(module.state_dict(), made.state_dict)
    torch.save(module, made.module)
    torch.save(module.state_dict(), made.legacy, _use_new_zipfile_serialization=False)
    return made
