"""ONNX files read without the onnx package; the files here are written with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from profiler.errors import ArtifactError
from profiler.inputs import SignatureInput
from profiler.modelfile.artifact import inspect_artifact
from profiler.modelfile.onnx_file import onnx_inputs, summarise_onnx
from tests.tiny import TinyModel

onnx = pytest.importorskip("onnx")
helper = onnx.helper
FLOAT = onnx.TensorProto.FLOAT


def tensor(name: str = "w", data_type: int = FLOAT, dims: tuple[int, ...] = (2,)):  # type: ignore[no-untyped-def]  # noqa: ANN201
    size = 1
    for dim in dims:
        size *= dim
    return helper.make_tensor(name, data_type, dims, [1] * size)


def external(name: str = "w"):  # type: ignore[no-untyped-def]  # noqa: ANN201
    made = onnx.TensorProto(name=name, data_type=FLOAT, dims=[2])
    made.data_location = onnx.TensorProto.EXTERNAL
    made.external_data.add(key="location", value="../../etc/passwd")
    return made


def write(path: Path, nodes=None, initializers=(), inputs=None, functions=()) -> Path:  # type: ignore[no-untyped-def]  # noqa: ANN001
    x = helper.make_tensor_value_info("x", FLOAT, ["batch", 2])
    y = helper.make_tensor_value_info("y", FLOAT, None)
    nodes = nodes or [helper.make_node("Add", ["x", "w"], ["y"])]
    graph = helper.make_graph(nodes, "g", inputs or [x], [y], initializer=list(initializers))
    model = helper.make_model(graph, functions=list(functions))
    path.write_bytes(model.SerializeToString())
    return path


def subgraph(nodes=(), initializers=()):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    y = helper.make_tensor_value_info("y", FLOAT, None)
    return helper.make_graph(list(nodes), "s", [], [y], initializer=list(initializers))


def test_inputs_with_names_types_and_open_dimensions(tmp_path: Path) -> None:
    inputs = [
        helper.make_tensor_value_info("image", FLOAT, ["batch", 3, None, 8]),
        helper.make_tensor_value_info("tokens", onnx.TensorProto.INT64, [1, "length"]),
        helper.make_tensor_value_info("scale", onnx.TensorProto.FLOAT16, []),
        helper.make_tensor_value_info("any", onnx.TensorProto.BOOL, None),
        helper.make_tensor_value_info("w", FLOAT, [2]),
    ]
    path = write(tmp_path / "m.onnx", initializers=[tensor("w")], inputs=inputs)
    assert onnx_inputs(path) == (
        SignatureInput(name="image", dtype="float32", dims=("batch", 3, None, 8)),
        SignatureInput(name="tokens", dtype="int64", dims=(1, "length")),
        SignatureInput(name="scale", dtype="float16", dims=()),
        SignatureInput(name="any", dtype="bool", dims=None),
    )


def test_an_exported_model(tiny: TinyModel) -> None:
    expected = SignatureInput(name="input", dtype="float32", dims=("batch", 3, 8, 8))
    assert onnx_inputs(tiny.onnx) == (expected,)
    summary = summarise_onnx(tiny.onnx)
    assert summary.precisions == ("fp32",)
    # The exporter folds the batch normalisation's four vectors into the convolution.
    assert summary.parameters == tiny.parameters - 2 * 4


def test_precisions_and_parameters(tmp_path: Path) -> None:
    weights = [
        tensor("w", dims=(2,)),
        tensor("q", onnx.TensorProto.INT8, (4, 4)),
        tensor("zero", onnx.TensorProto.UINT8, ()),
        tensor("shape", onnx.TensorProto.INT64, (100,)),
    ]
    summary = summarise_onnx(write(tmp_path / "m.onnx", initializers=weights))
    assert summary.precisions == ("int8", "fp32")
    assert summary.parameters == 2 + 16 + 1


@pytest.mark.parametrize("place", ["initializer", "constant", "subgraph", "function", "sparse"])
def test_weights_in_another_file(tmp_path: Path, place: str) -> None:
    constant = helper.make_node("Constant", [], ["w"], value=external())
    path = tmp_path / "m.onnx"
    if place == "initializer":
        write(path, initializers=[external()])
    elif place == "constant":
        write(path, nodes=[constant])
    elif place == "subgraph":
        branch = subgraph([constant])
        write(path, nodes=[helper.make_node("If", ["x"], ["y"], then_branch=branch)])
    elif place == "function":
        imports = [helper.make_opsetid("", 18)]
        function = helper.make_function("d", "f", [], ["w"], [constant], imports)
        write(path, functions=[function])
    else:
        sparse = onnx.SparseTensorProto(values=external(), dims=[2])
        write(path, nodes=[helper.make_node("Constant", [], ["w"], sparse_value=sparse)])
    with pytest.raises(ArtifactError, match="external data"):
        inspect_artifact(path, "m.onnx")


def test_operators_that_open_files(tmp_path: Path) -> None:
    node = helper.make_node("EPContext", ["x"], ["y"], domain="com.microsoft")
    path = write(tmp_path / "m.onnx", nodes=[node])
    with pytest.raises(ArtifactError, match="EPContext"):
        inspect_artifact(path, "m.onnx")


def field(number: int, payload: bytes) -> bytes:
    """A length-delimited field; protobuf's own library refuses to write what nests too deep."""
    length, size = b"", len(payload)
    while size >= 0x80:
        length, size = length + bytes([size & 0x7F | 0x80]), size >> 7
    return bytes([number << 3 | 2]) + length + bytes([size]) + payload


@pytest.mark.parametrize(("levels", "sound"), [(20, True), (40, False), (5000, False)])
def test_graphs_that_nest(tmp_path: Path, levels: int, sound: bool) -> None:
    graph = field(1, field(4, b"Relu"))
    for _ in range(levels):
        graph = field(1, field(5, field(6, graph)))
    path = tmp_path / "m.onnx"
    path.write_bytes(b"\x08\x08" + field(7, graph) + field(8, b"\x10\x12"))
    if sound:
        assert inspect_artifact(path, "m.onnx").size_bytes == path.stat().st_size
    else:
        with pytest.raises(ArtifactError, match="too deep"):
            inspect_artifact(path, "m.onnx")


@pytest.mark.parametrize("keep", range(1, 200, 7))
def test_every_truncation_is_seen(tmp_path: Path, keep: int) -> None:
    data = write(tmp_path / "m.onnx", initializers=[tensor(dims=(40,))]).read_bytes()
    path = tmp_path / "cut.onnx"
    path.write_bytes(data[: min(keep, len(data) - 1)])
    with pytest.raises(ArtifactError):
        inspect_artifact(path, "cut.onnx")


def test_a_protobuf_that_is_no_model(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(onnx.ModelProto(ir_version=8, producer_name="nobody").SerializeToString())
    with pytest.raises(ArtifactError, match="no graph"):
        inspect_artifact(path, "m.onnx")


def test_impossible_dimension(tmp_path: Path) -> None:
    weight = onnx.TensorProto(name="w", data_type=FLOAT, dims=[-5])
    path = write(tmp_path / "m.onnx", initializers=[weight])
    with pytest.raises(ArtifactError, match="impossible dimension"):
        inspect_artifact(path, "m.onnx")
