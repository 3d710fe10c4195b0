"""What a ``.pt2`` archive of ``torch.export.save`` may hold.

Checked against torch 2.14, whose ``torch.export.load`` says "never load data from an untrusted
source": opening an archive can run code in these ways, each refused here.

- ``data/aotinductor/``: shared libraries, loaded at once. No such member.
- Weights and constants marked ``use_pickle``, opaque constants, ``data/weights/*.pt`` of older
  versions: ``pickle``, or ``torch.load(weights_only=False)``. None of them; only raw tensors.
- ``data/sample_inputs/*.pt``: tried with ``weights_only=True``, and after *any* failure again
  without it. Must be a pickle of tensors only.
- ``models/*.json``: sizes go through ``eval``, guards through ``exec``: see ``expressions``. Names
  become identifiers of generated Python code: must be plain. Operators are looked up as attribute
  paths from the module ``torch``, ``torch.os.system`` among them, which only torch's verifier then
  stops: only operators of the dispatcher, without those that open files or call native delegates.
  Tree specifications import modules by name for enumerations and default factories: only plain
  containers.
- Custom objects: classes of native code. None.

``executorch``, ``mtia`` and other members that torch 2.14 ignores are refused as well.
"""

from __future__ import annotations

import io
import json
import re
from typing import Any

from profiler.modelfile.archive import Archive, open_archive
from profiler.modelfile.expressions import check_expression, check_guard
from profiler.modelfile.pickles import check_tensors_only
from profiler.modelfile.refused import Refused

MODEL = "models/model.json"
SAMPLE_INPUTS = "data/sample_inputs/model.pt"
_CONFIGS = (
    "data/weights/model_weights_config.json",
    "data/constants/model_constants_config.json",
)
_MEMBERS = re.compile(
    rf"^({MODEL}|{SAMPLE_INPUTS}|{'|'.join(_CONFIGS)}"
    r"|data/weights/weight_\d+|data/constants/tensor_\d+|extra/.+"
    r"|archive_format|archive_version|byteorder|\.data/(version|serialization_id))$"
)
_SAMPLE_MEMBERS = re.compile(
    r"^(data\.pkl|data/\d+|version|byteorder|\.format_version|\.storage_alignment"
    r"|\.data/(version|serialization_id))$"
)
_TENSOR_FILE = re.compile(r"^(weight|tensor)_\d+$")

_PLAIN = re.compile(r"^[A-Za-z0-9_.+\-@]*$")
_CUSTOM = frozenset({"as_custom_obj", "custom_obj"})
# Free text that torch keeps and prints: where a node came from. It is looked up, never called.
_NOTES = frozenset({"metadata", "as_string", "as_strings"})

_OPERATOR = re.compile(r"^torch\.ops\.(\w+)\.(\w+)(\.\w+)?$")
_NAMESPACES = frozenset(
    {"aten", "prims", "torchvision", "quantized", "quantized_decomposed", "mkldnn", "onednn"}
)
_FILE_OPERATORS = frozenset({"from_file", "save", "load"})
_HIGHER_ORDER = frozenset(
    [
        "associative_scan",
        "auto_functionalized",
        "auto_functionalized_v2",
        "cond",
        "flex_attention",
        "invoke_subgraph",
        "map_impl",
        "out_dtype",
        "scan",
        "switch",
        "while_loop",
        "wrap_with_autocast",
        "wrap_with_set_grad_enabled",
    ]
)
_SIZE_OPERATOR = re.compile(
    r"^(_operator\.(add|sub|mul|floordiv|truediv|mod|neg|pos|pow|eq|ne|lt|le|gt|ge|and_|or_|not_"
    r"|getitem|lshift|rshift)|math\.(ceil|floor|trunc|sqrt)|torch\._?sym_[a-z_]+)$"
)
_CONTAINERS = frozenset(
    {
        None,
        "builtins.tuple",
        "builtins.list",
        "builtins.dict",
        "collections.OrderedDict",
        "collections.deque",
        "torch.fx.immutable_collections.immutable_list",
        "torch.fx.immutable_collections.immutable_dict",
    }
)


def is_exported_program(archive: Archive) -> bool:
    """Whether the archive has what every ``.pt2`` has."""
    return "archive_format" in archive and any(n.startswith("models/") for n in archive.names)


def check_exported_program(archive: Archive) -> None:
    """Accept what ``torch.export.save`` writes for one model of plain tensors.

    Raises:
        Refused: anything that would run when torch opens the file, or that torch does not write.
    """
    for name in archive.names:
        if name.startswith("data/aotinductor/"):
            raise Refused(
                "holds a compiled library (AOTInductor), which runs as soon as it is opened",
                "Save the exported program itself with torch.export.save",
            )
        if not _MEMBERS.match(name):
            raise Refused(f"is an exported program with the unexpected member {name}")
    for name in (MODEL, SAMPLE_INPUTS, *_CONFIGS):
        if name not in archive:
            raise Refused(f"is an exported program without its member {name}")
    for name in _CONFIGS:
        _check_config(name, _parse(archive.read(name), name))
    _check_sample_inputs(archive.read(SAMPLE_INPUTS))
    _check_values(_parse(archive.read(MODEL), MODEL))


def _parse(data: bytes, name: str) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise Refused(f"holds unreadable JSON in {name}: {error}") from error


def _check_config(name: str, config: Any) -> None:
    entries = config.get("config") if isinstance(config, dict) else None
    if not isinstance(entries, dict):
        raise Refused(f"holds {name} without its list of tensors")
    for entry in entries.values():
        if not isinstance(entry, dict) or entry.get("use_pickle") is not False:
            raise Refused(
                "holds pickled weights or constants",
                "Export a model whose weights and constants are plain tensors",
            )
        if not _TENSOR_FILE.match(str(entry.get("path_name"))):
            raise Refused(f"holds a constant that is no tensor: {entry.get('path_name')!r}")
    _check_values(config)


def _check_sample_inputs(data: bytes) -> None:
    """``torch.save`` of the example inputs; the member may be empty."""
    if not data:
        return
    with open_archive(io.BytesIO(data), len(data)) as archive:
        for name in archive.names:
            if not _SAMPLE_MEMBERS.match(name):
                raise Refused(f"holds example inputs with the unexpected member {name}")
        if "data.pkl" not in archive:
            raise Refused("holds example inputs without their data.pkl")
        check_tensors_only(archive.read("data.pkl"), "example inputs")


def _check_values(root: Any) -> None:
    """Every string of the document, by the key that it stands under."""
    stack = [("", root)]
    while stack:
        key, value = stack.pop()
        if key in _NOTES and _is_text(value):
            continue
        if key in _CUSTOM or (key == "custom_obj_values" and value):
            raise Refused("holds objects of native classes", "Export a model of plain tensors")
        if isinstance(value, dict):
            for name in value:
                _check_plain(name)
            stack.extend(value.items())
        elif isinstance(value, list):
            stack.extend((key, item) for item in value)
        elif isinstance(value, str):
            _check_text(key, value)


def _is_text(value: Any) -> bool:
    if isinstance(value, dict):
        return all(isinstance(item, str) for item in value.values())
    items = value if isinstance(value, list) else [value]
    return all(isinstance(item, str) for item in items)


def _check_text(key: str, text: str) -> None:
    if key == "expr_str":
        check_expression(text)
    elif key == "guards_code":
        check_guard(text)
    elif key in ("target", "as_operator"):
        _check_operator(text)
    elif key in ("in_spec", "out_spec"):
        _check_tree(text)
    else:
        _check_plain(text)


def _check_plain(text: str) -> None:
    if not _PLAIN.match(text):
        raise Refused(f"holds the name {text[:80]!r}, which torch would make part of Python code")


def _check_operator(target: str) -> None:
    if _SIZE_OPERATOR.match(target):
        return
    parsed = _OPERATOR.match(target)
    if parsed is not None:
        namespace, name = parsed[1], parsed[2]
        if namespace == "higher_order" and name in _HIGHER_ORDER:
            return
        if namespace in _NAMESPACES and name not in _FILE_OPERATORS:
            return
    raise Refused(
        f"calls {target[:80]!r}, which is no operator of tensors known to be safe",
        "Export the model with operators of torch and torchvision only",
    )


def _check_tree(text: str) -> None:
    """A tree specification: JSON in a string, with the containers' keys as JSON in that."""
    stack = [_parse(text.encode(), "a tree specification")]
    while stack:
        value = stack.pop()
        if isinstance(value, list):
            stack.extend(value)
        elif isinstance(value, dict):
            if set(value) != {"type", "context", "children_spec"}:
                raise Refused("holds a tree specification of unknown form")
            if value["type"] not in _CONTAINERS:
                raise Refused(
                    f"takes or gives the container {value['type']!r}",
                    "Export a model that takes and gives tensors in tuples, lists and dicts",
                )
            _check_context(value["context"])
            stack.append(value["children_spec"])
        elif not isinstance(value, int):
            raise Refused("holds a tree specification of unknown form")


def _check_context(context: Any) -> None:
    """The keys of a dict: names, and so part of Python code."""
    if context is None:
        return
    keys = _parse(str(context).encode(), "a tree specification")
    for key in keys if isinstance(keys, list) else [keys]:
        if isinstance(key, str):
            _check_plain(key)
        elif key is not None and not isinstance(key, int):
            raise Refused("holds a container with keys that are neither text nor numbers")
