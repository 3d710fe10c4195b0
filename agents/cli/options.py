"""What several commands take, parsed with errors that name the field, the value and the remedy."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from profiler.base import StrEnum
from profiler.errors import InputError
from profiler.refusal import refusal
from profiler.spec import ArchitectureRef, ArtifactRef, InputSpec

Choice = TypeVar("Choice", bound=StrEnum)
Model = TypeVar("Model", bound=BaseModel)


def split(field: str, text: str) -> list[str]:
    """The parts between commas.

    Raises:
        InputError: there is none.
    """
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not parts:
        raise InputError(field, text, "names no value", "Write one, or several by comma")
    return parts


def choices(field: str, text: str, kinds: type[Choice]) -> tuple[Choice, ...]:
    """``torch,onnxruntime`` → members.

    Raises:
        InputError: a value is unknown.
    """
    return tuple(choice(field, part, kinds) for part in split(field, text))


def choice(field: str, text: str, kinds: type[Choice]) -> Choice:
    try:
        return kinds(text)
    except ValueError as error:
        known = [kind.value for kind in kinds]
        close = difflib.get_close_matches(text, known, n=1)
        hint = f"Did you mean {close[0]}? " if close else ""
        raise InputError(
            field, text, "is unknown", f"{hint}There are: {', '.join(known)}"
        ) from error


def whole_numbers(field: str, text: str) -> tuple[int, ...]:
    """``1,8`` → numbers, each at least 1.

    Raises:
        InputError: one is no whole number, or below 1.
    """
    return tuple(_whole(field, part) for part in split(field, text))


def one(field: str, text: str) -> str:
    """A value that is no list.

    Raises:
        InputError: there is none, or more than one.
    """
    parts = split(field, text)
    if len(parts) > 1:
        raise InputError(field, text, "names more than one", "This command takes one")
    return parts[0]


def one_whole_number(field: str, text: str) -> int:
    """Raises:
    InputError: it is not one whole number of at least 1.
    """
    return _whole(field, one(field, text))


def _whole(field: str, text: str) -> int:
    try:
        value = int(text)
    except ValueError as error:
        raise InputError(
            field, text, "is no whole number", "Write numbers such as 1 or 1,8"
        ) from error
    if value < 1:
        raise InputError(field, text, "is below 1", "Write numbers such as 1 or 1,8")
    return value


def mebibytes(field: str, value: float | None) -> int | None:
    """MiB → bytes.

    Raises:
        InputError: that is no amount of memory.
    """
    if value is None:
        return None
    if not 0 < value < float("inf"):
        raise InputError(field, value, "is no amount of memory", "Write MiB above 0, such as 2048")
    return max(1, int(value * 2**20))


def inputs(texts: Iterable[str] | None) -> tuple[InputSpec, ...] | None:
    from profiler.inputs import parse_input  # NumPy; not on the way to --help

    parsed = tuple(parse_input(text) for text in texts or ())
    return parsed or None


def model(text: str, seed: int) -> tuple[ArchitectureRef | ArtifactRef, Path | None]:
    """A model and, where it is a file, its inspected file.

    Raises:
        InputError: it is neither an architecture nor a model file that is safe to open.
    """
    from profiler.modelfile.artifact import inspect_artifact, parse_model

    try:
        found = parse_model(text, seed)
    except ValidationError as error:
        raise _refused(error, "model") from error
    if isinstance(found, Path):
        return inspect_artifact(found, found.name), found
    return found, None


def labels(texts: Iterable[str] | None) -> dict[str, str]:
    """``room=lab`` → a label.

    Raises:
        InputError: not of the form key=value.
    """
    pairs = {}
    for text in texts or ():
        key, equals, value = text.partition("=")
        if not equals or not key or not value:
            raise InputError("label", text, "is not key=value", "Write --label room=lab")
        pairs[key] = value
    return pairs


# Names of fields where they differ from the option's.
_OPTION_NAMES = {
    "max_time_seconds": "max-time",
    "settle_seconds": "settle-time",
    "timeout_seconds": "timeout",
    "memory_limit_bytes": "memory-limit",
    "batch_size": "batch-size",
    "rate_per_second": "rate",
    "latency_bound_seconds": "latency-bound",
    "inputs": "input",
    "metrics_port": "metrics-port",
    "keep_warm_seconds": "keep-warm",
    "labels": "label",
}


def build(kind: type[Model], **values: object) -> Model:
    """A model from options; what pydantic refuses becomes an error about an option.

    Raises:
        InputError: a value is refused.
    """
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise _refused(error, kind.__name__) from error


def _refused(error: ValidationError, what: str) -> InputError:
    return refusal(error, lambda part: _OPTION_NAMES.get(part, part), what, "See --help")
