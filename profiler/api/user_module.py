"""The caller's own ``torch.nn.Module`` as the subject of a measurement."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from profiler.api.given_inputs import Arguments, Given, for_call
from profiler.api.in_process import Subject, name_of, source_of
from profiler.errors import InputError
from profiler.runtimes.base import LoadedModel
from profiler.runtimes.table import installed_version

EXPORT_IT = "say runtime='torch_export', which measures the exported module in fresh processes"


def is_module(model: object) -> bool:
    """Whether it is a ``torch.nn.Module``; the caller who has one has imported torch."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(model, torch.nn.Module)


@dataclass(frozen=True)
class Module:
    """A module that may be measured: in evaluation mode, on one device."""

    module: Any
    label: str
    accelerator: str
    precision: str | None

    def arguments(self, given: Sequence[Given], seed: int) -> Arguments:
        """The tensors to call it with; given ones must be where the module is.

        Raises:
            InputError: they do not fit.
        """
        return for_call(given, self.module.forward, self.label, seed, self._place)

    def _place(self, given: Given, contents: Any) -> Any:
        import torch

        if isinstance(contents, torch.Tensor):
            where = str(contents.device)
            if where != self.accelerator:
                raise InputError(
                    "inputs", f"a tensor on {where}", f"is not on {self.accelerator}, as the model",
                    f"Move it there: tensor.to({self.accelerator!r})",
                )  # fmt: skip
            return contents
        try:
            tensor = torch.from_numpy(contents.copy()).to(self.accelerator)
        except (TypeError, AttributeError) as error:
            problem = f"is no tensor of torch, and none can be made of it: {error}"
            raise InputError("inputs", type(contents).__name__, problem, "Give tensors") from error
        made_up = given.contents is None and tensor.dtype == torch.float32
        return tensor.to(self._dtype()) if made_up else tensor

    def _dtype(self) -> Any:
        """What float32 inputs are turned into, as a worker does: the type of the weights."""
        import torch

        kinds = (p.dtype for p in self.module.parameters() if p.dtype.is_floating_point)
        return next(kinds, torch.float32)

    def subject(self, arguments: Arguments, threads: int | None) -> Subject:
        """What ``measure_in_process`` takes."""
        from profiler.api.torch_settings import torch_settings

        return Subject(
            label=self.label,
            source=source_of(self.module),
            runtime="torch",
            version=installed_version("torch"),
            load=lambda: _torch_model(self, arguments),
            settings=lambda: torch_settings(threads),
            threads=True,
            precision=self.precision is not None,
            parameters_reason="",
            again=EXPORT_IT,
        )


def read_module(module: Any, accelerator: str) -> Module:
    """Look at a module without changing it.

    Raises:
        InputError: as it is now, a measurement of it would mean nothing.
    """
    import torch

    from profiler.runtimes.torch_common import weights_precision

    label = name_of(module)
    if any(part.training for part in module.modules()):
        raise InputError(
            "model", label, "is in training mode: dropout and normalisation run as in training",
            "Call model.eval() first, and model.train() again afterwards",
        )  # fmt: skip
    tensors = [*module.parameters(), *module.buffers()]
    places = {str(tensor.device) for tensor in tensors}
    where = places.pop() if len(places) == 1 else ""
    if not tensors:
        where = "cpu" if accelerator == "auto" else accelerator
    kind = where.partition(":")[0]
    if kind not in {"cpu", "cuda"}:
        found = where or ", ".join(sorted(places))
        problem = f"is on {found}; one CPU or one CUDA device is needed"
        raise InputError("model", label, problem, "Move it: model.to('cpu') or model.to('cuda:0')")
    if accelerator not in {"auto", where, kind}:
        raise InputError(
            "accelerator", accelerator, f"is not where the model is, which is {where}",
            f"Move the model first: model.to({accelerator!r})",
        )  # fmt: skip
    if _autocast(torch, kind):
        raise InputError(
            "model", label, "would run under torch.autocast, not in the precision of its weights",
            "Call profile() outside of the autocast block",
        )  # fmt: skip
    return Module(module, label, where, weights_precision(module.parameters()))


def _autocast(torch: Any, kind: str) -> bool:
    try:
        return bool(torch.is_autocast_enabled(kind))
    except TypeError:  # before torch 2.4 it took no argument, and told of CUDA only
        return bool(torch.is_autocast_enabled())


def _torch_model(found: Module, arguments: Arguments) -> LoadedModel:
    from profiler.runtimes.torch_common import TorchModel, weights_precision

    module, tensors = found.module, (*arguments.args, *arguments.kwargs.values())
    return TorchModel(
        module=module,
        tensors=tensors,
        inputs=arguments.inputs,
        precision=weights_precision(module.parameters()) or "unknown",
        accelerator=found.accelerator,
        parameters=sum(int(weight.numel()) for weight in module.parameters()),
        call=_without_gradients(module, arguments),
    )


def _without_gradients(module: Any, arguments: Arguments) -> Callable[[], Any]:
    """The call. Not in inference mode: what the module keeps of it could not be trained with."""
    import torch

    args, kwargs, no_grad = arguments.args, arguments.kwargs, torch.no_grad()

    def call() -> Any:
        with no_grad:
            return module(*args, **kwargs)

    return call
