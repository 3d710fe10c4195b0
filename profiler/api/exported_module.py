"""The caller's module as a file, so that workers can measure it in fresh processes."""

from __future__ import annotations

import inspect
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from profiler.api.given_inputs import Arguments, Given
from profiler.api.user_module import Module
from profiler.errors import InputError
from profiler.runtimes.torch_export import signature_of


@contextmanager
def exported(
    found: Module, arguments: Arguments, given: Sequence[Given]
) -> Iterator[tuple[Path, tuple[Given, ...]]]:
    """A ``.pt2`` file of the module, there until the block ends, and the inputs by its names.

    Args:
        found: what to export.
        arguments: whose shapes the file keeps.
        given: what the arguments were made from.

    Raises:
        InputError: torch cannot export it.
    """
    import torch

    with tempfile.TemporaryDirectory(prefix="fleetmark-") as work:
        path = Path(work) / f"{found.label}.pt2"
        try:
            # By position as far as possible: converters call a program without names.
            bound = inspect.signature(found.module.forward).bind(
                *arguments.args, **arguments.kwargs
            )
            program = torch.export.export(found.module, bound.args, bound.kwargs)
            torch.export.save(program, str(path))
        except Exception as error:
            lines = str(error).strip().splitlines() or [type(error).__name__]
            raise InputError(
                "model", found.label, f"cannot be exported by torch.export: {lines[0]}",
                "Leave runtime out, which measures the module in this process",
            ) from error  # fmt: skip
        yield path, _renamed(given, arguments, [each.name for each in signature_of(program)])


def _renamed(
    given: Sequence[Given], arguments: Arguments, names: Sequence[str]
) -> tuple[Given, ...]:
    """Types and shapes under the names that the exported program gave them."""
    order = iter(names)
    return tuple(
        replace(each, dtype=spec.dtype, name=next(order) if each.name is None else each.name)
        for each, spec in zip(given, arguments.inputs, strict=True)
    )
