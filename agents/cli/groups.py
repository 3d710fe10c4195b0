"""Options that several commands take, as one parameter of each.

Typer makes an option of each parameter of a function. A command that takes a dataclass of options
is shown to it with the dataclass's fields in that parameter's place.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import MISSING, Field, fields
from functools import wraps
from typing import Any, TypeVar, get_type_hints

Group = TypeVar("Group")


def grouped(name: str, kind: type[Group]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the options of a dataclass as its parameter ``name``.

    Args:
        name: of the parameter, which has no default.
        kind: the dataclass; its fields are annotated as Typer's parameters are.
    """
    options = fields(kind)  # type: ignore[arg-type]  # the standard library's own name for it

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @wraps(command)
        def shown(**values: Any) -> None:
            group = kind(**{option.name: values.pop(option.name) for option in options})
            command(**{name: group}, **values)

        parameters = _expanded(command, name, options, get_type_hints(kind, include_extras=True))
        shown.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        shown.__annotations__ = {each.name: each.annotation for each in parameters}
        return shown

    return decorate


def _expanded(
    command: Callable[..., None], name: str, options: tuple[Field[Any], ...], hints: dict[str, Any]
) -> list[inspect.Parameter]:
    """The command's parameters, the options in the place of ``name``."""
    found: list[inspect.Parameter] = []
    own = get_type_hints(command, include_extras=True)
    for parameter in inspect.signature(command).parameters.values():
        if parameter.name == name:
            found += [_parameter(option, hints[option.name]) for option in options]
        else:
            annotation = own[parameter.name]
            found.append(
                parameter.replace(annotation=annotation, kind=inspect.Parameter.KEYWORD_ONLY)
            )
    return found


def _parameter(option: Field[Any], hint: Any) -> inspect.Parameter:
    default = inspect.Parameter.empty if option.default is MISSING else option.default
    return inspect.Parameter(
        option.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=hint
    )
