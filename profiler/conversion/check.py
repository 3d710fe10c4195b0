"""Does a converted model compute what the original computes?"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from profiler.errors import ModelError
from profiler.runtimes import torch_common
from profiler.runtimes.onnx import CPU_PROVIDER, open_session, session_options
from profiler.spec import InputSpec, Precision

Floats = npt.NDArray[np.float64]

# Largest difference allowed, relative to the largest output. Engines sum in different orders: about
# 1e-6 was seen in float32. Half precision has 10 bits of mantissa, bfloat16 7, lost at each layer.
TOLERANCES = {Precision.FP32: 1e-3, Precision.FP16: 5e-2, Precision.BF16: 2e-1}


def same_outputs(
    path: Path, module: Callable[..., Any], specs: tuple[InputSpec, ...], precision: Precision
) -> None:
    """Run both on the same inputs and compare.

    Raises:
        ModelError: the outputs differ in number, shape or value.
        Unsupported: ONNX Runtime has no kernel for the model.
    """
    import torch

    tensors = torch_common.make_tensors(specs, 1, precision, "cpu")
    with torch.no_grad():
        expected = [_as_float(t) for t in torch_common.flatten(module(*tensors))]
    session = open_session(
        str(path), "the converted model", session_options(threads=1), [CPU_PROVIDER]
    )
    feed = {spec.name: tensor.numpy() for spec, tensor in zip(specs, tensors, strict=True)}
    actual = [np.asarray(array, dtype=np.float64) for array in session.run(None, feed)]
    if len(expected) != len(actual):
        raise ModelError(f"{len(actual)} outputs after conversion, {len(expected)} before")
    for index, (before, after) in enumerate(zip(expected, actual, strict=True)):
        _compare(index, before, after, TOLERANCES[precision])


def _as_float(tensor: Any) -> Floats:
    return np.asarray(tensor.double().numpy(), dtype=np.float64)


def _compare(index: int, before: Floats, after: Floats, tolerance: float) -> None:
    if before.shape != after.shape:
        raise ModelError(
            f"output {index} has the shape {after.shape} after conversion, {before.shape} before"
        )
    # Half precision may overflow, in one engine a little earlier than in the other.
    both = np.isfinite(before) & np.isfinite(after)
    if not both.any():
        return
    largest = float(np.abs(before[both]).max())
    difference = float(np.abs(before[both] - after[both]).max())
    if difference > tolerance * largest:
        raise ModelError(
            f"output {index} differs by {difference:.2g} after conversion, "
            f"where the largest value is {largest:.2g}"
        )
