"""Sentences that speak of the command line's options, in the words of the Python API."""

from __future__ import annotations

import re

from profiler.errors import ArtifactError, InputError

_OPTION = re.compile(r"(?<![\w-])--([a-z][a-z-]*)(?: (\d+(?:\.\d+)?)\b)?")
# Options whose argument in Python has another name.
_NAMES = {"input": "inputs", "max_time_seconds": "max_time",
          "settle_seconds": "settle_time", "timeout_seconds": "timeout",
          "memory_limit_bytes": "memory_limit",
          "relative_half_width": "target", "sensor": "sensors"}  # fmt: skip


def argument(field: str) -> str:
    """``batch-size`` → ``batch_size``: an option's or a spec's field as an argument."""
    name = field.replace("-", "_")
    return _NAMES.get(name, name)


def in_python(text: str) -> str:
    """``use --repetitions 5`` → ``use repetitions=5``."""

    def replaced(found: re.Match[str]) -> str:
        name, value = argument(found[1]), found[2]
        return name if value is None else f"{name}={value}"

    return _OPTION.sub(replaced, text)


def reworded(error: InputError) -> InputError:
    """The same refusal, as the caller of a function understands it."""
    kind = ArtifactError if isinstance(error, ArtifactError) else InputError
    return kind(
        argument(error.field), error.value, in_python(error.problem), in_python(error.remedy)
    )
