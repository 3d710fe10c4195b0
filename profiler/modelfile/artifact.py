"""A model file: what it is by its content, its digest, and whether it is safe to open.

Used where files come in, on machines that may have neither torch nor onnx. Model files are hostile:
nothing is loaded here, and what the runtimes would execute on loading is refused, whatever the
file is called. What each format may hold stands in ``torchscript_file``, ``exported_file`` and
``onnx_file``.
"""

from __future__ import annotations

import difflib
import re
from pathlib import Path, PurePath
from typing import BinaryIO

from profiler.conversion.cache import digest_of
from profiler.errors import ArtifactError, InputError
from profiler.modelfile.archive import ZIP_MAGIC, Archive, open_archive
from profiler.modelfile.exported_file import check_exported_program, is_exported_program
from profiler.modelfile.onnx_file import onnx_inputs, summarise_onnx
from profiler.modelfile.pickles import is_pickle
from profiler.modelfile.refused import SAFE_FORMATS, Refused, refusing
from profiler.modelfile.torchscript_file import check_torchscript, is_torchscript
from profiler.spec import ArchitectureRef, ArtifactRef, Library, ModelFormat

__all__ = ["inspect_artifact", "onnx_inputs", "parse_model"]

MAX_NAME = 200
_HEAD_BYTES = 4096
_TAR_MAGIC_AT = 257
_EXTENSIONS = {
    ".onnx": ModelFormat.ONNX,
    ".pt2": ModelFormat.EXPORTED_PROGRAM,
    ".pt": ModelFormat.TORCHSCRIPT,
    ".pth": ModelFormat.TORCHSCRIPT,
    ".ts": ModelFormat.TORCHSCRIPT,
    ".torchscript": ModelFormat.TORCHSCRIPT,
}
_PROPER = {
    ModelFormat.ONNX: ".onnx",
    ModelFormat.EXPORTED_PROGRAM: ".pt2",
    ModelFormat.TORCHSCRIPT: ".pt",
}
_ARCHITECTURE = re.compile(r"^[A-Za-z0-9_.\-]{1,200}$")


def inspect_artifact(path: Path, name: str) -> ArtifactRef:
    """Decide what a file is and whether it may be used.

    Args:
        path: where the file lies; what it is called there does not matter.
        name: what the user calls it; its extension must agree with the content.

    Raises:
        ArtifactError: the file is missing, empty, truncated, corrupt, of no allowed format, of
            another format than its name says, or would run code when it is opened.
    """
    if not 0 < len(name) <= MAX_NAME:
        problem = f"is a name of {len(name)} characters"
        raise ArtifactError("model", name[:MAX_NAME], problem, f"Give it one of 1 to {MAX_NAME}")
    with refusing(name):
        size = _size(path)
        found = _inspect(path, size)
        _check_extension(name, found)
        return ArtifactRef(digest=digest_of(path), format=found, name=name, size_bytes=size)


def _size(path: Path) -> int:
    if path.is_dir():
        raise Refused("is a directory", "Name the model's file")
    try:
        size = path.stat().st_size
    except OSError as error:
        raise Refused(f"cannot be read ({error.strerror})", "Check the path") from error
    if size == 0:
        raise Refused("is empty")
    return size


def _inspect(path: Path, size: int) -> ModelFormat:
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
            if head.startswith(ZIP_MAGIC):
                return _inspect_archive(file, size)
    except OSError as error:
        raise Refused(f"cannot be read ({error.strerror})", "Check the path") from error
    if is_pickle(head):
        raise _pickle()
    if head[_TAR_MAGIC_AT : _TAR_MAGIC_AT + 5] == b"ustar":
        raise Refused("is a tar file, as torch 0.x wrote them: pickles inside", SAFE_FORMATS)
    return _inspect_onnx(path, head)


def _inspect_archive(file: BinaryIO, size: int) -> ModelFormat:
    with open_archive(file, size) as archive:
        if is_exported_program(archive):
            check_exported_program(archive)
            return ModelFormat.EXPORTED_PROGRAM
        if is_torchscript(archive):
            check_torchscript(archive)
            return ModelFormat.TORCHSCRIPT
        raise _no_model(archive)


def _no_model(archive: Archive) -> Refused:
    names = archive.names
    if "data.pkl" in archive:
        return _pickle()
    if any(name.startswith("data/aotinductor/") for name in names):
        return Refused("is a compiled library (AOTInductor), native code", SAFE_FORMATS)
    return Refused("is a zip file, but no model of torch", SAFE_FORMATS)


def _pickle() -> Refused:
    return Refused(
        "is a pickle (torch.save or pickle.dump), which can run any code when it is loaded; "
        "it was not loaded",
        SAFE_FORMATS,
    )


def _inspect_onnx(path: Path, head: bytes) -> ModelFormat:
    try:
        summarise_onnx(path)
    except Refused as error:
        # ir_version, the first field of every ONNX model: this was meant to be one.
        if head.startswith(b"\x08") or path.suffix == ".onnx":
            raise
        raise Refused("is of no known model format", SAFE_FORMATS) from error
    return ModelFormat.ONNX


def _check_extension(name: str, found: ModelFormat) -> None:
    extension = PurePath(name).suffix.lower()
    claimed = _EXTENSIONS.get(extension)
    if claimed is not None and claimed is not found:
        raise Refused(
            f"is called {extension}, but holds {found.value}",
            f"Rename it to {PurePath(name).stem}{_PROPER[found]} if it is the right file",
        )


def parse_model(text: str, seed: int = 0) -> ArchitectureRef | Path:
    """``torchvision:resnet18``, ``timm:NAME``, or the path of a model file.

    The architecture's name is not looked up: its library may be on the devices only. A path is not
    opened: ``inspect_artifact`` does that.

    Raises:
        InputError: the text is neither, or there is no such file.
    """
    library, colon, name = text.partition(":")
    if colon and library in {item.value for item in Library}:
        if not _ARCHITECTURE.match(name):
            remedy = f"Write {library}:NAME, such as torchvision:resnet18"
            raise InputError("model", text, "names no architecture", remedy)
        return ArchitectureRef(library=Library(library), name=name, seed=seed)
    path = Path(text).expanduser()
    if text and path.exists():
        return path
    raise InputError("model", text, *_what_else(text, library, colon))


def _what_else(text: str, library: str, colon: str) -> tuple[str, str]:
    """What is wrong with a text that is neither an architecture nor a file, and what to write."""
    if _EXTENSIONS.get(PurePath(text).suffix.lower()) or "/" in text:
        return "does not exist", "Check the path of the model file"
    names = [item.value for item in Library]
    if colon:
        close = difflib.get_close_matches(library, names, n=1)
        guess = f"{close[0]}:{text.partition(':')[2]}" if close else "torchvision:NAME or timm:NAME"
        return f"names the unknown library {library!r}", f"Did you mean {guess}?"
    if _ARCHITECTURE.match(text):
        return (
            "is neither a file nor library:name",
            f"Did you mean torchvision:{text}, timm:{text}, or the path of a model file?",
        )
    return "is neither a file nor library:name", "Write torchvision:resnet18, or a file's path"
