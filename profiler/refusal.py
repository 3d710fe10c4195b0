"""What pydantic says of a value → a refusal in the words of whoever gave it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from pydantic import ValidationError

from profiler.errors import InputError
from profiler.spec import CONTRADICTION


class Refused(NamedTuple):
    """The first thing that is wrong: where, what was given, and why not.

    Attributes:
        field: the parts of its place; none where it is about the whole.
        value: what stands there.
        problem: in pydantic's words, or ours.
        ours: it was said by the specification itself.
    """

    field: tuple[str, ...]
    value: object
    problem: str
    ours: bool


def first_of(error: Mapping[str, Any]) -> Refused:
    """One of ``ValidationError.errors()``, such as the first."""
    message = str(error["msg"]).removeprefix("Value error, ")
    place = tuple(str(part) for part in error["loc"])
    if error["type"] == CONTRADICTION:
        # Of a whole that is too large to be shown, and one of its fields, which is named.
        about = error["ctx"]
        return Refused((*place, about["field"]), about["value"], message, ours=True)
    return Refused(place, error.get("input"), message, ours=False)


def refusal(
    error: ValidationError, name: Callable[[str], str], whole: str, remedy: str
) -> InputError:
    """As an error about an option or an argument.

    Args:
        error: of a specification.
        name: what the user calls a field; nothing where that is no field of its own.
        whole: what the user calls all of it.
        remedy: where to look.
    """
    found = first_of(dict(error.errors()[0]))
    field = ".".join(filter(None, map(name, found.field)))
    said = found.problem
    problem = said if found.ours else f"is refused: {said[0].lower()}{said[1:]}"
    return InputError(field or whole, found.value, problem, remedy)
