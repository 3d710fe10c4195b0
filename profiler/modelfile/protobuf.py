"""The wire format of protocol buffers: enough to walk a message without its library."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Protocol

from profiler.modelfile.refused import Refused

VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5
_VARINT_BYTES = 10
_WORD = 2**64
_SIGN = 2**63


class Buffer(Protocol):
    """Bytes that are read in place: ``bytes`` or a memory-mapped file."""

    def __len__(self) -> int: ...
    def __getitem__(self, key: int, /) -> int: ...


class Field(NamedTuple):
    """One field of a message. For ``LENGTH`` the payload is ``[start, end)``, else ``value``."""

    number: int
    wire: int
    value: int
    start: int
    end: int


def truncated() -> Refused:
    return Refused("is truncated or corrupt: its protobuf structure does not end where it should")


def fields(data: Buffer, start: int, end: int) -> Iterator[Field]:
    """The fields of the message in ``data[start:end]``; payloads are skipped, not read.

    Raises:
        Refused: the structure does not end at ``end``, or holds what no writer writes today.
    """
    position = start
    while position < end:
        key, position = varint(data, position, end)
        number, wire = key >> 3, key & 7
        value, size = 0, 0
        if wire == VARINT:
            value, position = varint(data, position, end)
        elif wire == LENGTH:
            size, position = varint(data, position, end)
        elif wire in (FIXED32, FIXED64):
            size = 4 if wire == FIXED32 else 8
        else:  # groups, gone since proto3, or nonsense
            raise truncated()
        if number == 0 or position + size > end:
            raise truncated()
        yield Field(number, wire, value, position, position + size)
        position += size


def varint(data: Buffer, position: int, end: int) -> tuple[int, int]:
    """The unsigned number at ``position`` and where it ends.

    Raises:
        Refused: it does not end before ``end``, or is too long.
    """
    value = 0
    for index in range(_VARINT_BYTES):
        if position >= end:
            break
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:  # noqa: PLR2004 - the continuation bit
            return value % _WORD, position
    raise truncated()


def signed(value: int) -> int:
    """The ``int64`` that the unsigned ``value`` stands for."""
    return value - _WORD if value >= _SIGN else value


def repeated(data: Buffer, field: Field) -> Iterator[int]:
    """The numbers of one occurrence of a repeated ``int64`` field, packed or not."""
    if field.wire == VARINT:
        yield signed(field.value)
    position = field.start
    while position < field.end:
        value, position = varint(data, position, field.end)
        yield signed(value)
