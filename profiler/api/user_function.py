"""Any function of the caller as the subject of a measurement: whatever engine is behind it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

from profiler.api.given_inputs import Arguments, Given, for_call
from profiler.api.in_process import Subject, name_of, source_of
from profiler.errors import InputError
from profiler.spec import InputSpec

NO_PARAMETERS = "a function does not tell"
# It cannot be sent to a worker: there is no way but a pickle.
RUN_AGAIN = "run the whole program several times, and compare the medians"


@dataclass(frozen=True)
class FunctionModel:
    """``LoadedModel`` over a function."""

    call: Callable[[], Any]
    inputs: tuple[InputSpec, ...]
    accelerator: str
    precision: str = "unknown"
    parameters: int | None = None
    fallback: str | None = None

    @property
    def threads(self) -> int:
        """Those that an engine could use; how many it does is not known."""
        return len(os.sched_getaffinity(0))

    @property
    def synchronize(self) -> Callable[[], None] | None:
        if self.accelerator == "cpu":
            return None
        import torch

        synchronize, device = torch.cuda.synchronize, torch.device(self.accelerator)
        return lambda: synchronize(device)

    @property
    def device_timer(self) -> None:
        """Which streams a function uses is not known."""
        return None

    def outputs(self) -> Sequence[Any]:
        return [self.call()]

    def accelerator_peak_bytes(self) -> tuple[int, int] | None:
        return None


def function_arguments(
    function: Callable[..., Any], given: Sequence[Given], seed: int
) -> Arguments:
    """What to call it with: arrays and tensors as they are, shapes as NumPy arrays.

    Raises:
        InputError: they do not fit its signature.
    """
    return for_call(given, function, name_of(function), seed, lambda _, contents: contents)


def function_subject(
    function: Callable[..., Any], arguments: Arguments, accelerator: str
) -> Subject:
    """What ``measure_in_process`` takes.

    Raises:
        InputError: it cannot be told whether a GPU has to be waited for.
    """
    where = _accelerator(arguments, accelerator)
    args, kwargs = arguments.args, arguments.kwargs
    # Without arguments nothing is between the clock and the function.
    call = (lambda: function(*args, **kwargs)) if args or kwargs else function
    return Subject(
        label=name_of(function),
        source=source_of(function),
        runtime="python",
        version=None,
        load=lambda: FunctionModel(call, arguments.inputs, where),
        settings=nullcontext,
        threads=False,
        precision=False,
        parameters_reason=NO_PARAMETERS,
        again=RUN_AGAIN,
    )


def _accelerator(arguments: Arguments, asked: str) -> str:
    if asked != "auto":
        return "cuda:0" if asked == "cuda" else asked
    values = (*arguments.args, *arguments.kwargs.values())
    places = {str(getattr(value, "device", "cpu")) for value in values}
    on_gpu = sorted(place for place in places if place.startswith("cuda"))
    if on_gpu:
        return on_gpu[0]
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        raise InputError(
            "accelerator", asked, "does not tell whether this function works on the GPU in use",
            "Say accelerator='cuda:0', which waits for the GPU after each call, or 'cpu'",
        )  # fmt: skip
    return "cpu"
