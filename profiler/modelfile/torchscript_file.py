"""What a TorchScript archive may hold.

``torch.jit.load`` unpickles in C++ only: tensors, containers, and classes that the archive's own
code defines. Checked with torch 2.14: no pickle of the archive reaches Python's unpickler. The code
is TorchScript, a language of its own without imports, but a program nonetheless; the few operators
through which it reaches files (``aten::save``, ``aten::from_file``, those of ``image``) or native
classes are refused. What is left can compute wrongly, for ever, or too much: the worker that runs
it has limits on time and memory.
"""

from __future__ import annotations

import ast
import re

from profiler.modelfile.archive import Archive
from profiler.modelfile.pickles import check_globals
from profiler.modelfile.refused import Refused

_MEMBERS = re.compile(
    r"^(data\.pkl|constants\.pkl|traced_inputs\.pkl|attributes\.pkl|version|byteorder"
    r"|(data|constants|traced_inputs)/\d+"
    r"|code/.+\.py|code/.+\.py\.debug_pkl|extra/.+|\.data/(version|serialization_id)"
    r"|\.format_version|\.storage_alignment)$"
)
# The C++ unpickler knows a fixed few of these, and of ``__torch__`` what the code defines.
_PICKLE_PREFIXES = (
    "__torch__",
    "collections OrderedDict",
    "torch ",
    "torch._utils _rebuild",
    "torch.jit._pickle ",
    "torch.serialization _get_layout",
)

# A string as torch.jit.save writes them: in double quotes, on one line.
_STRING = re.compile(r'"(?:[^"\\\n]|\\.)*"')
# What would make other text a string than _STRING finds, or join two of them.
_OTHER_QUOTES = re.compile(r"\"\"\s*\"|['#\\]")
_AROUND_DOTS = re.compile(r"\s*\.\s*")
# A module as a value: under another name, its contents would be out of sight.
_BARE_MODULE = re.compile(
    r"(?<![\w.])(torch|ops|__torch__)\b(?!\.)|(__torch__\.torch|torch\.classes)\b(?!\.)"
)
_NATIVE_CLASS = re.compile(r"torch\.classes\.(\w+)")
_NATIVE_CLASSES = frozenset({"quantized", "rnn"})
# ``ops`` as a name of its own; torchvision has a module of that name, which is plain TorchScript.
_OPERATORS = re.compile(r"(?<![\w.])ops\.(\w+)")
_NAMESPACES = frozenset(
    [
        "aten",
        "prim",
        "prims",
        "quantized",
        "_quantized",
        "torchvision",
        "mkldnn",
        "sparse",
        "onednn",
    ]
)
_FILE_OPERATORS = re.compile(r"\b(save|from_file)\b")
# Names by which ``getattr`` would reach what may not be written out.
_REFUSED_STRINGS = frozenset({"save", "from_file", "ops", "torch", "classes"})


def is_torchscript(archive: Archive) -> bool:
    """Whether the archive has what every TorchScript has."""
    has_code = any(name.startswith("code/") for name in archive.names)
    return "constants.pkl" in archive and "data.pkl" in archive and has_code


def check_torchscript(archive: Archive) -> None:
    """Accept what ``torch.jit.save`` writes.

    Raises:
        Refused: a member, a class or an operator that has no place in a model.
    """
    for name in archive.names:
        if not _MEMBERS.match(name):
            raise Refused(f"is TorchScript with the unexpected member {name}")
        if name.startswith("code/") and name.endswith(".py"):
            _check_code(name, archive.read(name))
        elif name.endswith(".pkl"):
            data = archive.read(name)
            check_globals(data, name, _PICKLE_PREFIXES)
            _check_classes(name, data.decode("latin-1"))


def _check_code(name: str, code: bytes) -> None:
    text = code.decode("latin-1")
    bare = _STRING.sub('""', text)
    bare = _AROUND_DOTS.sub(".", bare)
    if _OTHER_QUOTES.search(bare):
        raise Refused(f"holds code that torch.jit.save does not write (in {name})")
    _check_strings(name, _STRING.findall(text))
    _check_classes(name, bare)
    foreign = sorted(set(_OPERATORS.findall(bare)) - _NAMESPACES)
    if foreign:
        raise Refused(f"uses operators of the namespace {foreign[0]!r} (in {name})")
    found = _FILE_OPERATORS.search(bare)
    if found:
        raise Refused(
            f"uses {found[0]!r} (in {name}), with which TorchScript reads and writes files",
            "Rename the method, attribute or variable if it is one of yours, and save again",
        )
    alias = _BARE_MODULE.search(bare)
    if alias:
        raise Refused(f"uses {alias[0]!r} as a value (in {name})")


def _check_strings(name: str, literals: list[str]) -> None:
    for literal in literals:
        try:
            value = ast.literal_eval(literal)
        except (ValueError, SyntaxError, MemoryError, RecursionError) as error:
            raise Refused(f"holds a string that cannot be read (in {name})") from error
        if value in _REFUSED_STRINGS:
            raise Refused(f"names {value!r} in a string (in {name}), as no model needs to")


def _check_classes(name: str, text: str) -> None:
    foreign = sorted(set(_NATIVE_CLASS.findall(text)) - _NATIVE_CLASSES)
    if foreign:
        raise Refused(f"uses native classes of {foreign[0]!r} (in {name})")
