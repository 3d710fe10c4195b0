"""Inputs as a Python program has them: arrays, tensors, shapes, texts. Nothing is imported for it.

A worker is another process: of what is given for it, only types and shapes go there, and contents
are made up from the seed. A model that is called in this process gets the very objects.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any

from pydantic import ValidationError

from profiler.errors import InputError
from profiler.inputs import Signature, parse_input, synthesize
from profiler.spec import InputSpec

DEFAULT_DTYPE = "float32"
_FORMS = (
    "Give arrays or tensors, shapes such as (1, 3, 224, 224), texts such as "
    "'x:float32:1x3x224x224', or a dict of the model's input names to any of these"
)


@dataclass(frozen=True)
class Given:
    """One input. ``contents`` is the array or tensor itself, or ``None`` where only a shape is."""

    name: str | None
    dtype: str | None
    shape: tuple[int, ...]
    contents: Any = None

    def spec(self, name: str, dtype: str | None = None) -> InputSpec:
        """As a run's specification has it.

        Raises:
            InputError: its type is one that no contents can be made up for.
        """
        try:
            return InputSpec(
                name=name, dtype=self.dtype or dtype or DEFAULT_DTYPE, shape=self.shape
            )
        except ValidationError as error:
            problem = str(error.errors()[0]["msg"]).removeprefix("Value error, ")
            raise InputError("inputs", name, f"is refused: {problem}", _FORMS) from error


def read_inputs(inputs: Any) -> tuple[Given, ...]:
    """What was given as ``inputs=…``, one by one.

    Raises:
        InputError: it is none of the forms that are understood.
    """
    if inputs is None:
        return ()
    if isinstance(inputs, Mapping):
        return tuple(_one(value, str(name)) for name, value in inputs.items())
    if isinstance(inputs, str) or _is_array(inputs) or (_is_shape(inputs) and len(inputs)):
        return (_one(inputs, None),)
    if isinstance(inputs, Sequence):
        return tuple(_one(value, None) for value in inputs)
    raise _not_understood(inputs)


def _one(value: Any, name: str | None) -> Given:
    if isinstance(value, str):
        if name is not None:
            raise _not_understood(value)
        spec = parse_input(value)
        return Given(spec.name, spec.dtype, spec.shape)
    if _is_array(value):
        # torch writes torch.float32.
        dtype = str(value.dtype).removeprefix("torch.")
        return Given(name, dtype, tuple(int(size) for size in value.shape), value)
    if _is_shape(value):
        return Given(name, None, tuple(int(size) for size in value))
    raise _not_understood(value)


def _is_array(value: Any) -> bool:
    return hasattr(value, "shape") and hasattr(value, "dtype")


def _is_shape(value: Any) -> bool:
    return isinstance(value, (tuple, list)) and all(
        isinstance(size, Integral) and not isinstance(size, bool) for size in value
    )


def _not_understood(value: Any) -> InputError:
    text = value if isinstance(value, str) else f"a {type(value).__name__}"
    return InputError("inputs", text, "is no input", _FORMS)


def batch_size_of(given: Sequence[Given], asked: int | None) -> int:
    """The batch size asked for, else the first dimension of the first input, else 1."""
    if asked is not None:
        return asked
    return next((each.shape[0] for each in given if each.shape), 1)


def for_worker(
    given: Sequence[Given], declared: Signature | None, batch_size: int
) -> tuple[InputSpec, ...] | None:
    """Types and shapes under the model's own names.

    Args:
        given: what ``read_inputs`` gave.
        declared: the model's inputs, as far as they are known without an engine.
        batch_size: items per iteration.

    Raises:
        InputError: names are missing, or the inputs hold another number of items.
    """
    names = [each.name for each in declared or ()]
    dtypes = {each.name: each.dtype for each in declared or ()}
    specs = []
    for position, each in enumerate(given):
        name = each.name
        if name is None:
            if position >= len(names):
                raise _nameless(position, names)
            name = names[position]
        specs.append(each.spec(name, dtypes.get(name)))
    firsts = [spec.shape[0] for spec in specs if spec.shape]
    if firsts and batch_size not in firsts:
        raise InputError(
            "batch_size",
            batch_size,
            f"is not the first dimension of the inputs ({', '.join(map(str, firsts))})",
            "Make the two agree, or leave batch_size out",
        )
    return tuple(specs) or None


def _nameless(position: int, names: Sequence[str]) -> InputError:
    if names:
        problem = f"is one input too many: the model takes {', '.join(names)}"
        return InputError("inputs", f"input {position + 1}", problem, "Leave it out")
    return InputError(
        "inputs",
        f"input {position + 1}",
        "has no name, and this kind of file does not tell the names of its inputs",
        "Give a dict of input names to arrays or shapes",
    )


@dataclass(frozen=True)
class Arguments:
    """What a model in this process is called with, and the same described."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    inputs: tuple[InputSpec, ...]


Place = Callable[[Given, Any], Any]


def for_call(
    given: Sequence[Given], target: Callable[..., Any], label: str, seed: int, place: Place
) -> Arguments:
    """The arguments of a call: what has a name by that name, the others in their order.

    Args:
        given: what ``read_inputs`` gave.
        target: what is called; its signature is checked.
        label: names it in errors.
        seed: of the contents of inputs that are only shapes.
        place: puts an input where the model is: takes it and its contents, as given or made up.

    Raises:
        InputError: the inputs do not fit the signature.
    """
    names = _names(given, target, label)
    inputs, values = [], []
    for position, (each, name) in enumerate(zip(given, names, strict=True)):
        contents = each.contents
        if contents is None:
            # As many as there are before it, so that equal shapes get different contents.
            padded = [each.spec(name)] * (position + 1)
            contents = synthesize(padded, seed)[position]
        value = place(each, contents)
        values.append(value)
        # Not validated: a type that cannot be made up, such as bfloat16, can well be given.
        dtype = str(value.dtype).removeprefix("torch.")
        inputs.append(InputSpec.model_construct(name=name, dtype=dtype, shape=each.shape))
    pairs = list(zip(given, values, strict=True))
    return Arguments(
        args=tuple(value for each, value in pairs if each.name is None),
        kwargs={each.name: value for each, value in pairs if each.name is not None},
        inputs=tuple(inputs),
    )


def _names(given: Sequence[Given], target: Callable[..., Any], label: str) -> list[str]:
    """Each input's name, of those that were given in order the parameter's.

    Raises:
        InputError: the signature takes other arguments.
    """
    positional = [each for each in given if each.name is None]
    parameters = [f"input{i}" for i in range(len(positional))]
    try:
        signature = inspect.signature(target)
    except (TypeError, ValueError):  # written in C, without a signature
        signature = None
    if signature is not None:
        try:
            signature.bind(*positional, **{e.name: e for e in given if e.name is not None})
        except TypeError as error:
            raise _misfit(given, label, signature, error) from error
        named = [p.name for p in signature.parameters.values() if p.kind in _BY_POSITION]
        parameters[: len(named)] = named[: len(positional)]
    rest = iter(parameters)
    return [next(rest) if each.name is None else each.name for each in given]


_BY_POSITION = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def _misfit(
    given: Sequence[Given], label: str, signature: inspect.Signature, error: TypeError
) -> InputError:
    described = ", ".join(each.name or f"input {i + 1}" for i, each in enumerate(given))
    return InputError(
        "inputs",
        described or "nothing",
        f"does not fit {label}: {error}",
        f"It is called with {signature}; a list gives inputs in their order, a dict by name",
    )
