"""Model files that tests make: small, and some of them deadly."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

from profiler.result import FailureKind


def save_torchscript(path: Path, module: object | None = None) -> Path:
    """Script a module (a small linear one by default) and save it; ``x`` is (N, 8) float32."""
    import torch

    class Small(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = torch.nn.Linear(8, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.linear(x)

    with warnings.catch_warnings():
        # torch calls TorchScript deprecated; users have such files all the same.
        warnings.simplefilter("ignore")
        chosen = module if module is not None else Small()
        torch.jit.save(torch.jit.script(chosen), str(path))
    return path


def _raising(path: Path) -> Path:
    import torch

    class Raising(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if x.numel() > 0:
                raise ValueError("this model always fails")
            return x

    return save_torchscript(path, Raising())


def _endless(path: Path) -> Path:
    import torch

    class Endless(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            n = 1
            while n > 0:
                n = 1 + int(x.numel() > 0)
            return x

    return save_torchscript(path, Endless())


def _crashing(path: Path) -> Path:
    import torch

    class Crashing(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            # The unsafe constructor does not check that the index lies inside the size.
            index = torch.full([1, 1], 1 << 40, dtype=torch.int64)
            sparse = torch.ops.aten._sparse_coo_tensor_unsafe(
                index, torch.ones(1), [10], dtype=None, layout=None, device=None,
                pin_memory=None, is_coalesced=True,
            )  # fmt: skip
            return sparse.to_dense() + x.sum()

    return save_torchscript(path, Crashing())


def _greedy(path: Path) -> Path:
    import torch

    class Greedy(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            held = [x]
            while len(held) > 0:
                held.append(torch.ones(4_000_000))
            return x

    return save_torchscript(path, Greedy())


FATAL_MODELS: dict[str, tuple[FailureKind, Callable[[Path], Path]]] = {
    "raises": (FailureKind.MODEL_ERROR, _raising),
    "loops for ever": (FailureKind.TIMEOUT, _endless),
    "crashes": (FailureKind.MODEL_ERROR, _crashing),
    "eats the memory": (FailureKind.OUT_OF_MEMORY, _greedy),
}
