"""An ONNX file read without the onnx package: checked to its end, its inputs and weights listed.

The walk covers every message that can hold a tensor, in the graph, its subgraphs and functions, and
refuses data outside the file: its location is a path that the file's author chose.
"""

from __future__ import annotations

import math
import mmap
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from profiler.base import Frozen
from profiler.inputs import Signature, SignatureInput
from profiler.modelfile.protobuf import LENGTH, Field, fields, repeated, signed
from profiler.modelfile.refused import Refused, refusing

Dims = tuple[int | str | None, ...] | None

# Messages nest as deep as subgraphs (If in Loop in Scan …): three levels for each.
MAX_DEPTH = 100
MAX_DIMENSION = 2**31
MAX_INPUTS = 10_000

# Which fields of which message hold messages that may hold tensors. Numbers: onnx.proto.
_CHILDREN: dict[str, dict[int, str]] = {
    "Model": {7: "Graph", 20: "Training", 25: "Function", 8: "Opset"},
    "Training": {1: "Graph", 2: "Graph"},
    "Graph": {1: "Node", 5: "Initializer", 11: "Input", 15: "Sparse"},
    "Function": {7: "Node", 11: "Attribute"},
    "Node": {5: "Attribute"},
    "Attribute": {
        5: "Tensor",
        6: "Graph",
        10: "Tensor",
        11: "Graph",
        22: "Sparse",
        23: "Sparse",
    },
    "Sparse": {1: "Initializer", 2: "Tensor"},
}
_OP_TYPE = 4
_TENSOR_DIMS, _TENSOR_TYPE, _TENSOR_NAME = 1, 2, 8
_EXTERNAL_DATA, _DATA_LOCATION = 13, 14
_EXTERNAL = 1

# Operators whose kernels read another file or run Python, in the builds that have them.
_REFUSED_OPERATORS = frozenset({b"EPContext", b"PythonOp", b"PythonOpGrad", b"ATen"})

# TensorProto.DataType → NumPy's name.
_DTYPES = {
    1: "float32", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64",
    8: "string", 9: "bool", 10: "float16", 11: "float64", 12: "uint32", 13: "uint64",
    16: "bfloat16",
}  # fmt: skip
# Types that weights have. Whole numbers of more bits are shapes and indices.
_PRECISIONS = {
    1: "fp32", 10: "fp16", 11: "fp64", 16: "bf16", 2: "int8", 3: "int8",
    17: "fp8", 18: "fp8", 19: "fp8", 20: "fp8", 21: "int4", 22: "int4",
}  # fmt: skip


class OnnxSummary(Frozen):
    """What the file declares.

    ``parameters`` counts the elements of initialisers of a weight's type, which is near what a
    framework counts: exporters fold some weights away and add constants. ``precisions`` are the
    types of those that are not scalars, the most frequent first.
    """

    inputs: Signature
    parameters: int
    precisions: tuple[str, ...]


@dataclass
class _Found:
    """Gathered while walking."""

    nodes: int = 0
    opsets: int = 0
    graphs: int = 0
    parameters: int = 0
    precisions: Counter[str] = field(default_factory=Counter)
    inputs: list[SignatureInput] = field(default_factory=list)
    initializers: set[str] = field(default_factory=set)


def onnx_inputs(path: Path, name: str | None = None) -> Signature:
    """The inputs that a caller must feed: name, dtype, dimensions, named or ``None`` where open.

    Raises:
        ArtifactError: the file is no sound ONNX model.
    """
    with refusing(name or path.name):
        return summarise_onnx(path).inputs


def summarise_onnx(path: Path) -> OnnxSummary:
    """Walk the whole file. Tensors' contents are skipped, so that this costs little memory.

    Raises:
        Refused: the file is truncated, corrupt, no model, or refers to other files.
    """
    if path.stat().st_size == 0:
        raise Refused("is empty")
    with (
        path.open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data,
    ):
        found = _walk(data)
    if not (found.graphs and found.nodes and found.opsets):
        raise Refused("is no ONNX model: it has no graph with operators")
    return OnnxSummary(
        inputs=tuple(i for i in found.inputs if i.name not in found.initializers),
        parameters=found.parameters,
        precisions=tuple(name for name, _ in found.precisions.most_common()),
    )


def _walk(data: mmap.mmap) -> _Found:
    """Visit every message, without recursion: the nesting is the file author's choice."""
    found = _Found()
    stack = [("Model", 0, len(data), 0)]
    while stack:
        kind, start, end, depth = stack.pop()
        if depth > MAX_DEPTH:
            raise Refused("nests its graphs too deep")
        children = _CHILDREN.get(kind, {})
        for item in fields(data, start, end):
            child = children.get(item.number) if item.wire == LENGTH else None
            if child is not None:
                _visit(child, data, item, found, top=depth == 1)
                stack.append((child, item.start, item.end, depth + 1))
            elif kind == "Node" and item.number == _OP_TYPE:
                _check_operator(data[item.start : item.end])
    return found


def _visit(kind: str, data: mmap.mmap, item: Field, found: _Found, *, top: bool) -> None:
    if kind in ("Tensor", "Initializer"):
        _tensor(data, item, found, weight=kind == "Initializer")
    elif kind == "Input" and top:
        if len(found.inputs) >= MAX_INPUTS:
            raise Refused(f"declares more than {MAX_INPUTS} inputs")
        found.inputs.append(_input(data, item))
    elif kind == "Node":
        found.nodes += 1
    elif kind == "Graph":
        found.graphs += 1
    elif kind == "Opset":
        found.opsets += 1


def _check_operator(op_type: bytes) -> None:
    if op_type in _REFUSED_OPERATORS:
        raise Refused(
            f"uses the operator {op_type.decode()}, which reads other files or runs Python",
            "Export the model with operators of ONNX only",
        )


def _tensor(data: mmap.mmap, item: Field, found: _Found, *, weight: bool) -> None:
    """Check one tensor; count it where it is a weight."""
    dims: list[int] = []
    data_type = 0
    for part in fields(data, item.start, item.end):
        if part.number == _EXTERNAL_DATA or (
            part.number == _DATA_LOCATION and part.value == _EXTERNAL
        ):
            raise Refused(
                "keeps weights in a file beside it (external data)",
                "Save it with its weights inside, such as torch.onnx.export(…, "
                "external_data=False) or onnx.save(…, save_as_external_data=False)",
            )
        if part.number == _TENSOR_DIMS:
            dims.extend(_dimension(size) for size in repeated(data, part))
        elif part.number == _TENSOR_TYPE:
            data_type = part.value
        elif part.number == _TENSOR_NAME and weight:
            found.initializers.add(_text(data, part))
    if weight and data_type in _PRECISIONS:
        found.parameters += math.prod(dims)
        if dims:
            found.precisions[_PRECISIONS[data_type]] += math.prod(dims)


def _dimension(size: int) -> int:
    if not 0 <= size <= MAX_DIMENSION:
        raise Refused(f"has a tensor with the impossible dimension {size}")
    return size


def _text(data: mmap.mmap, item: Field) -> str:
    try:
        return data[item.start : item.end].decode("utf-8")
    except UnicodeDecodeError as error:
        raise Refused("has a name that is no text") from error


def _input(data: mmap.mmap, item: Field) -> SignatureInput:
    """``ValueInfoProto``: name 1, type 2."""
    name = ""
    dtype: str = "unknown"
    dims: Dims = None
    for part in fields(data, item.start, item.end):
        if part.wire == LENGTH and part.number == 1:
            name = _text(data, part)
        elif part.wire == LENGTH and part.number == 2:  # noqa: PLR2004 - the field's number
            dtype, dims = _type(data, part)
    return SignatureInput(name=name, dtype=dtype, dims=dims)


def _type(data: mmap.mmap, item: Field) -> tuple[str, Dims]:
    """``TypeProto``: tensor_type 1, of elem_type 1 and shape 2; all else is no tensor."""
    dtype: str = "no tensor"
    dims: Dims = None
    for part in fields(data, item.start, item.end):
        if part.wire != LENGTH or part.number != 1:
            continue
        for inner in fields(data, part.start, part.end):
            if inner.number == 1:
                dtype = _DTYPES.get(inner.value, f"ONNX type {inner.value}")
            elif inner.wire == LENGTH:
                dims = _shape(data, inner)
    return dtype, dims


def _shape(data: mmap.mmap, item: Field) -> Dims:
    """``TensorShapeProto``: dim 1, each a dim_value 1 or a dim_param 2."""
    dims: list[int | str | None] = []
    for part in fields(data, item.start, item.end):
        if part.wire != LENGTH or part.number != 1:
            continue
        size: int | str | None = None
        for inner in fields(data, part.start, part.end):
            if inner.number == 1 and inner.wire != LENGTH:
                # Some exporters write -1 for an open dimension.
                size = None if signed(inner.value) < 0 else _dimension(inner.value)
            elif inner.number == 2 and inner.wire == LENGTH:  # noqa: PLR2004 - the field's number
                size = _text(data, inner) or None
        dims.append(size)
    return tuple(dims)
