"""The loop that anyone would write, with nothing of fleetmark in its process.

A script: ``bare_loop.py torch|onnxruntime`` imports the engine, then forks a fresh process for
every request, a line of JSON on stdin, and answers with a line on stdout. Nothing is computed
before a fork, so that each child is as new as one that had imported the engine itself, seconds
sooner.
"""

from __future__ import annotations

import importlib
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np


def load_torch(request: dict[str, Any], array: np.ndarray[Any, Any]) -> Callable[[], Any]:
    import torch
    import torchvision

    torch.set_num_threads(request["threads"])
    torch.set_num_interop_threads(1)
    torch.manual_seed(request["seed"])
    model = torchvision.models.get_model(request["model"], weights=None).eval()
    x = torch.from_numpy(array)

    def call() -> Any:
        with torch.inference_mode():
            return model(x)

    return call


def load_onnxruntime(request: dict[str, Any], array: np.ndarray[Any, Any]) -> Callable[[], Any]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = request["threads"]
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        request["file"], sess_options=options, providers=["CPUExecutionProvider"]
    )
    feed = {session.get_inputs()[0].name: array}
    return lambda: session.run(None, feed)


LOADERS = {"torch": load_torch, "onnxruntime": load_onnxruntime}


def measure(request: dict[str, Any], runtime: str) -> dict[str, float]:
    call = LOADERS[runtime](request, np.load(request["input"]))
    call()
    end = time.perf_counter() + request["warmup_seconds"]
    while time.perf_counter() < end:
        call()
    clock = time.perf_counter_ns
    latencies = []
    end_ns = clock() + int(request["seconds"] * 1e9)
    while clock() < end_ns:
        start = clock()
        call()
        latencies.append(clock() - start)
    return {"median_seconds": statistics.median(latencies) / 1e9, "n": len(latencies)}


MODULES = {"torch": ("torch", "torchvision"), "onnxruntime": ("onnxruntime",)}


def main() -> None:
    runtime = sys.argv[1]
    for module in MODULES[runtime]:
        importlib.import_module(module)
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            print(json.dumps(measure(json.loads(line), runtime)), flush=True)
            os._exit(0)
        _, status = os.waitpid(pid, 0)
        if status != 0:
            sys.exit(f"the child ended with status {status}")


if __name__ == "__main__":
    main()
