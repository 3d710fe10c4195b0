"""The models, as files that every tool opens, and the input that every tool feeds.

``python -m tests.benchmarks.peers.models DIRECTORY`` writes them: torch stays out of the process
that measures. ONNX files have a fixed shape, so that no tool has to be told one.
"""

from __future__ import annotations

import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tests.benchmarks.peers.engines import Load

SEED = 0


@dataclass(frozen=True)
class Model:
    """``torch_engine`` is eager where fleetmark has the architecture, and else a ``.pt`` file."""

    name: str
    shape: tuple[int, ...]
    torch_engine: str

    def file(self, directory: Path, family: str) -> Path:
        suffix = ".pt" if family == "torch" else ".onnx"
        return directory / f"{self.name}{suffix}"

    def input_file(self, directory: Path) -> Path:
        return directory / f"{self.name}.npy"

    def load(self, directory: Path, family: str, threads: int) -> Load:
        """What the scripts are told."""
        return Load(
            engine=self.torch_engine if family == "torch" else family,
            model=self.name,
            seed=SEED,
            file=str(self.file(directory, family)),
            input=str(self.input_file(directory)),
            threads=threads,
        )

    def arguments(self, directory: Path, family: str) -> list[str]:
        """The same for ``fleetmark run``."""
        if family != "torch":
            return [str(self.file(directory, family)), "--runtime", family]
        if self.torch_engine == "torch":
            return [f"torchvision:{self.name}", "--runtime", "torch", "--seed", str(SEED)]
        shape = "x".join(map(str, self.shape))
        file = str(self.file(directory, family))
        return [file, "--runtime", "torchscript", "--input", f"x:float32:{shape}"]


IMAGE = (1, 3, 224, 224)
TINY = Model("tiny_cnn", (1, 3, 32, 32), "torchscript")
MODELS = (
    Model("resnet18", IMAGE, "torch"),
    Model("mobilenet_v3_large", IMAGE, "torch"),
    TINY,
)


def tiny_cnn() -> Any:
    """Below a millisecond in every engine."""
    from torch import nn

    class TinyCnn(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.features = nn.Sequential(
                nn.Conv2d(3, 16, 3, stride=2, padding=1), nn.ReLU(),
                nn.Conv2d(16, 32, 3, stride=2, padding=1), nn.ReLU(),
                nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10),
            )  # fmt: skip

        def forward(self, x: Any) -> Any:
            return self.features(x)

    return TinyCnn()


def _build(model: Model) -> Any:
    import torch
    import torchvision

    torch.manual_seed(SEED)
    if model is TINY:
        return tiny_cnn().eval()
    return torchvision.models.get_model(model.name, weights=None).eval()


def write(directory: Path) -> None:
    """All files of all models."""
    import torch

    for model in MODELS:
        array = np.random.default_rng(SEED).standard_normal(model.shape, dtype=np.float32)
        np.save(model.input_file(directory), array)
        module, x = _build(model), torch.from_numpy(array)
        with warnings.catch_warnings(), torch.no_grad():
            # Both formats are deprecated; both are what the engines are fed with.
            warnings.simplefilter("ignore")
            onnx = str(model.file(directory, "onnxruntime"))
            torch.onnx.export(module, (x,), onnx, dynamo=False, input_names=["x"])
            if model.torch_engine == "torchscript":
                torch.jit.save(torch.jit.trace(module, x), str(model.file(directory, "torch")))


if __name__ == "__main__":
    write(Path(sys.argv[1]))
