"""The engines as anyone would set them up: no fleetmark in the process, and the same for all tools.

Every tool is given the very call that the bare loop makes, so that a ratio shows what the tool does
to a figure, and nothing else.
"""

from __future__ import annotations

import importlib
import json
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from tests.benchmarks.bare_loop import load_onnxruntime, load_torch

Call = Callable[[], Any]
Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Load:
    """One model in one engine.

    Attributes:
        engine: a key of ``LOADERS``.
        model: torchvision's name, for ``torch``; the other engines open ``file``.
        input: a ``.npy`` file.
    """

    engine: str
    model: str
    seed: int
    file: str
    input: str
    threads: int

    @property
    def words(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)


def _torch(what: Load, array: Array) -> Call:
    return load_torch(what.words, array)


def _onnxruntime(what: Load, array: Array) -> Call:
    return load_onnxruntime(what.words, array)


def _torchscript(what: Load, array: Array) -> Call:
    import torch

    torch.set_num_threads(what.threads)
    torch.set_num_interop_threads(1)
    with warnings.catch_warnings():
        # Deprecated at every call, and what is measured all the same.
        warnings.simplefilter("ignore")
        model = torch.jit.load(what.file).eval()
    x = torch.from_numpy(array)

    def call() -> Any:
        with torch.inference_mode():
            return model(x)

    return call


def openvino_properties(threads: int) -> dict[str, str]:
    """For one stream of float32: by itself OpenVINO computes in bfloat16 where the CPU can."""
    return {
        "PERFORMANCE_HINT": "LATENCY",
        "PERFORMANCE_HINT_NUM_REQUESTS": "1",
        "INFERENCE_NUM_THREADS": str(threads),
        "NUM_STREAMS": "1",
        "INFERENCE_PRECISION_HINT": "f32",
    }


def _openvino(what: Load, array: Array) -> Call:
    import openvino

    compiled = openvino.Core().compile_model(what.file, "CPU", openvino_properties(what.threads))
    request = compiled.create_infer_request()
    request.set_input_tensor(openvino.Tensor(array))
    return request.infer  # type: ignore[no-any-return]


LOADERS: dict[str, Callable[[Load, Array], Call]] = {
    "torch": _torch,
    "torchscript": _torchscript,
    "onnxruntime": _onnxruntime,
    "openvino": _openvino,
}
MODULES = {
    "torch": ("torch", "torchvision"),
    "torchscript": ("torch",),
    "onnxruntime": ("onnxruntime",),
    "openvino": ("openvino",),
}


def preload(engine: str) -> None:
    """Import what ``load`` needs, and compute nothing."""
    for module in MODULES[engine]:
        importlib.import_module(module)


def load(what: Load) -> Call:
    """The model, ready to be called."""
    return LOADERS[what.engine](what, np.load(what.input))


def warm_up(call: Call, seconds: float) -> None:
    """At least one call."""
    end = time.perf_counter() + seconds
    while True:
        call()
        if time.perf_counter() >= end:
            return


def latencies_ns(call: Call, until_ns: int) -> list[int]:
    """The loop that anyone would write; at least one call."""
    clock = time.perf_counter_ns
    latencies = []
    while True:
        start = clock()
        call()
        end = clock()
        latencies.append(end - start)
        if end >= until_ns:
            return latencies


def tell(**figures: Any) -> None:
    """A script's answer: one line of JSON."""
    print(json.dumps(figures), flush=True)
