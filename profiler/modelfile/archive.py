"""A zip archive as torch writes them, opened so strictly that every reader sees the same members.

Python's ``zipfile`` checks the file; torch's C++ reader (miniz) opens it. A file that the two read
differently would be checked as one thing and loaded as another. So only what ``torch`` writes is
taken: records without a gap after the directory, one top folder, plain names, none of them twice.
"""

from __future__ import annotations

import re
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from profiler.modelfile.refused import Refused

ZIP_MAGIC = b"PK\x03\x04"

# Members are stored or, for code, deflated: a file cannot unpack to much more than itself.
MAX_INFLATED_BYTES = 256 * 2**20
MAX_MEMBERS = 100_000

_END = struct.Struct("<4s4H2LH")
_END64_LOCATOR = struct.Struct("<4sLQL")
_END64 = struct.Struct("<4sQ2H2L4Q")
_LOCAL_HEADER_BYTES = 30
_ENCRYPTED = 0x1
_ZIP64_EXTRA = 1
_MAX_32_BITS = 2**32 - 1
_PLAIN = re.compile(r"^[A-Za-z0-9_.\-+@ <>=,]+$")

_UNREADABLE = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    NotImplementedError,
    RuntimeError,
    ValueError,
    OverflowError,
)


def _corrupt(detail: object) -> Refused:
    return Refused(f"is a truncated or corrupt archive ({detail})")


class Archive:
    """The members of an open archive, named without their top folder."""

    def __init__(self, file: zipfile.ZipFile) -> None:
        self._file = file
        self._members = {
            info.filename.partition("/")[2]: info
            for info in file.infolist()
            if "/" in info.filename
        }

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._members)

    def __contains__(self, name: str) -> bool:
        return name in self._members

    def read(self, name: str, limit: int = MAX_INFLATED_BYTES) -> bytes:
        """The contents of a member.

        Raises:
            Refused: it is larger than ``limit`` bytes, or corrupt.
        """
        info = self._members[name]
        if info.file_size > limit:
            raise Refused(f"holds {name} of {info.file_size} bytes, more than the {limit} allowed")
        try:
            return self._file.read(info)
        except _UNREADABLE as error:
            raise _corrupt(error) from error


@contextmanager
def open_archive(file: BinaryIO, size: int) -> Iterator[Archive]:
    """Open and check the structure, then the checksum of every member.

    Args:
        file: at any position.
        size: its length in bytes.

    Raises:
        Refused: the archive is corrupt, or not as torch writes them.
    """
    try:
        members, directory = _read_end(file, size)
        opened = zipfile.ZipFile(file)
    except _UNREADABLE as error:
        raise _corrupt(error) from error
    with opened:
        infos = opened.infolist()
        if len(infos) != members:
            raise _corrupt(f"{members} members announced, {len(infos)} found")
        _check_members(infos, size, directory)
        _check_sums(opened)
        yield Archive(opened)


def _check_sums(opened: zipfile.ZipFile) -> None:
    try:
        bad = opened.testzip()
    except _UNREADABLE as error:
        raise _corrupt(error) from error
    if bad is not None:
        raise _corrupt(f"the checksum of {bad} is wrong")


def _read_end(file: BinaryIO, size: int) -> tuple[int, int]:
    """Number of members and offset of the directory, from the records at the file's very end."""
    end_at = size - _END.size
    if end_at < 0:
        raise _corrupt("too short")
    file.seek(end_at)
    magic, *_, members, length, offset, comment = _END.unpack(file.read(_END.size))
    if magic != b"PK\x05\x06" or comment != 0:
        raise _corrupt("no directory at its end")
    directory_end = end_at
    locator_at = end_at - _END64_LOCATOR.size
    if locator_at >= _END64.size:
        file.seek(locator_at)
        magic, _, end64_at, _ = _END64_LOCATOR.unpack(file.read(_END64_LOCATOR.size))
        if magic == b"PK\x06\x07":
            directory_end = locator_at - _END64.size
            members, length, offset = _read_end64(file, end64_at, directory_end)
    if offset + length != directory_end:
        raise _corrupt("its directory is not where its end says")
    return members, offset


def _read_end64(file: BinaryIO, announced: int, expected: int) -> tuple[int, int, int]:
    if announced != expected:
        raise _corrupt("two ends that disagree")
    file.seek(expected)
    magic, *_, members, length, offset = _END64.unpack(file.read(_END64.size))
    if magic != b"PK\x06\x06":
        raise _corrupt("no 64-bit end where it is announced")
    return members, length, offset


def _check_members(infos: list[zipfile.ZipInfo], size: int, directory: int) -> None:
    if not 0 < len(infos) <= MAX_MEMBERS:
        raise Refused(f"is an archive of {len(infos)} members; 1 to {MAX_MEMBERS} are allowed")
    for info in infos:
        _check_member(info, size)
    names = [info.filename.lower() for info in infos]
    if len(set(names)) != len(names):
        raise Refused("holds the same member twice")
    if len({info.filename.split("/")[0] for info in infos}) != 1:
        raise Refused(
            "is an archive without the one top folder that torch writes today",
            "Save the model again with torch 2.8 or newer",
        )
    inflated = sum(i.file_size for i in infos if i.compress_type != zipfile.ZIP_STORED)
    if inflated > MAX_INFLATED_BYTES:
        raise Refused(f"unpacks to more than {MAX_INFLATED_BYTES >> 20} MiB of compressed members")
    _check_overlap(infos, directory)


def _check_member(info: zipfile.ZipInfo, size: int) -> None:
    top, *parts = info.filename.split("/")
    unsafe = top in ("", ".", "..") or "\\" in top or not top.isprintable()
    if unsafe or info.filename != info.orig_filename:
        raise Refused(f"holds a member with the unsafe name {info.orig_filename!r}")
    if any(part in ("", ".", "..") or not _PLAIN.match(part) for part in parts):
        raise Refused(f"holds a member with the unsafe name {info.filename!r}")
    if info.flag_bits & _ENCRYPTED:
        raise Refused("holds encrypted members")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise Refused(f"compresses {info.filename} in a way that torch does not")
    if info.compress_type == zipfile.ZIP_STORED and info.compress_size != info.file_size:
        raise _corrupt(f"two sizes for {info.filename}")
    if size < _MAX_32_BITS and _has_extra(info.extra, _ZIP64_EXTRA):
        raise _corrupt(f"64-bit sizes for {info.filename} in a small file")


def _has_extra(extra: bytes, wanted: int) -> bool:
    position = 0
    while position + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, position)
        if kind == wanted:
            return True
        position += 4 + length
    return False


def _check_overlap(infos: list[zipfile.ZipInfo], directory: int) -> None:
    """No byte belongs to two members: a small file must not unpack to a large one."""
    ordered = sorted(infos, key=lambda info: info.header_offset)
    limits = [info.header_offset for info in ordered[1:]] + [directory]
    for info, limit in zip(ordered, limits, strict=True):
        if info.header_offset + _LOCAL_HEADER_BYTES + info.compress_size > limit:
            raise _corrupt(f"{info.filename} overlaps what follows it")
