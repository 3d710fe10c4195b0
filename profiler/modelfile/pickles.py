"""What a pickle would do, told from its opcodes. Nothing is ever unpickled."""

from __future__ import annotations

import pickletools
from collections.abc import Collection

from profiler.modelfile.refused import SAFE_FORMATS, Refused

# Opcodes that only build data. What is missing imports by a name computed at run time, or sets the
# state of an object: STACK_GLOBAL, INST, OBJ, EXT*, BUILD, NEWOBJ, PERSID, BYTEARRAY8 …
DATA_OPCODES = frozenset(
    [
        "PROTO",
        "FRAME",
        "STOP",
        "MARK",
        "POP",
        "POP_MARK",
        "NONE",
        "NEWTRUE",
        "NEWFALSE",
        "BININT",
        "BININT1",
        "BININT2",
        "LONG1",
        "BINFLOAT",
        "BINUNICODE",
        "SHORT_BINUNICODE",
        "BINUNICODE8",
        "EMPTY_TUPLE",
        "TUPLE",
        "TUPLE1",
        "TUPLE2",
        "TUPLE3",
        "EMPTY_LIST",
        "APPEND",
        "APPENDS",
        "EMPTY_DICT",
        "SETITEM",
        "SETITEMS",
        "BINPUT",
        "LONG_BINPUT",
        "BINGET",
        "LONG_BINGET",
        "MEMOIZE",
    ]
)
# With these a pickle calls the functions that it names; the names are checked one by one.
CALL_OPCODES = frozenset({"GLOBAL", "REDUCE", "BINPERSID"})

_STORAGES = [
    "FloatStorage",
    "DoubleStorage",
    "HalfStorage",
    "BFloat16Storage",
    "LongStorage",
    "IntStorage",
    "ShortStorage",
    "CharStorage",
    "ByteStorage",
    "BoolStorage",
]

# What a pickle of plain tensors names, as pickletools writes it.
TENSOR_GLOBALS = frozenset(
    {
        "collections OrderedDict",
        "torch._utils _rebuild_tensor_v2",
        "torch._utils _rebuild_parameter",
        "torch.serialization _get_layout",
        "torch Size",
        "torch device",
        *(f"torch {name}" for name in _STORAGES),
    }
)


def is_pickle(head: bytes) -> bool:
    """Whether a file that starts with ``head`` is a pickle, of any protocol."""
    if head[:1] == b"\x80":
        return len(head) > 1 and head[1] <= 5  # noqa: PLR2004 - the newest protocol
    # Protocols 0 and 1 have no header. Their opcodes are text, so that a run of them is no chance.
    seen = 0
    try:
        for opcode, _, _ in pickletools.genops(head):
            seen += 1
            if opcode.name == "STOP":
                return seen > 1
    except (ValueError, UnicodeDecodeError, OverflowError):
        # Cut off in mid-argument, or no pickle after all.
        return seen > 8  # noqa: PLR2004 - eight valid opcodes in a row
    return seen > 8  # noqa: PLR2004 - as above


def check_tensors_only(data: bytes, what: str) -> None:
    """Accept a pickle of plain tensors in plain containers.

    Args:
        data: the whole pickle.
        what: names it in the refusal.

    Raises:
        Refused: it names anything else, or could do more than build data.
    """
    for name, argument in _operations(data, what):
        if name == "GLOBAL" and argument not in TENSOR_GLOBALS:
            module, _, attribute = str(argument).partition(" ")
            raise Refused(
                f"holds a pickle ({what}) that would run {module}.{attribute}", SAFE_FORMATS
            )
        if name not in DATA_OPCODES and name not in CALL_OPCODES:
            raise Refused(f"holds a pickle ({what}) that does more than hold tensors", SAFE_FORMATS)


def check_globals(data: bytes, what: str, prefixes: Collection[str]) -> None:
    """Accept a pickle whose every import starts with one of ``prefixes``; its opcodes are free.

    For the pickles that torch's C++ unpickler reads, which calls nothing of Python's.

    Raises:
        Refused: another name, or a name computed at run time.
    """
    for name, argument in _operations(data, what):
        if name in {"STACK_GLOBAL", "INST", "EXT1", "EXT2", "EXT4"}:
            raise Refused(f"holds a pickle ({what}) of a kind that torch.jit.save does not write")
        if name == "GLOBAL" and not str(argument).startswith(tuple(prefixes)):
            raise Refused(f"holds a pickle ({what}) that names {str(argument).replace(' ', '.')}")


def _operations(data: bytes, what: str) -> list[tuple[str, object]]:
    operations = []
    end = 0
    try:
        for opcode, argument, position in pickletools.genops(data):
            operations.append((opcode.name, argument))
            end = (position or 0) + 1
    except (ValueError, UnicodeDecodeError, OverflowError, IndexError) as error:
        raise Refused(f"holds a corrupt pickle ({what}: {error})") from error
    if end != len(data):
        raise Refused(f"holds a pickle ({what}) with more behind its end")
    return operations
