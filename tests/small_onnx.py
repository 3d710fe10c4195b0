"""A model file of a few hundred bytes, made without an engine."""

from __future__ import annotations

from pathlib import Path

from profiler.modelfile.artifact import inspect_artifact
from profiler.spec import ArtifactRef


def save_small_onnx(path: Path, width: int = 64, layers: int = 1) -> ArtifactRef:
    """``layers`` matrix products of ``width`` × ``width``; its input ``x`` is (batch, width)."""
    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(0)
    weights = [
        numpy_helper.from_array(
            (rng.standard_normal((width, width)) / width).astype(np.float32), f"w{i}"
        )
        for i in range(layers)
    ]
    nodes = [
        helper.make_node("MatMul", ["x" if i == 0 else f"h{i}", f"w{i}"], [f"h{i + 1}"])
        for i in range(layers)
    ]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", width])],
        [helper.make_tensor_value_info(f"h{layers}", TensorProto.FLOAT, ["batch", width])],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, str(path))
    return inspect_artifact(path, path.name)


# Float32 values for every item of the batch: one MiB.
WIDE = 2**18


def save_wide_onnx(path: Path) -> ArtifactRef:
    """Its output takes 1 MiB for every item of the batch, and its input ``x`` (batch, 1) little."""
    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    shape = numpy_helper.from_array(np.array([1, WIDE], dtype=np.int64), "shape")
    graph = helper.make_graph(
        [helper.make_node("Expand", ["x", "shape"], ["y"])],
        "wide",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", WIDE])],
        [shape],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, str(path))
    return inspect_artifact(path, path.name)
