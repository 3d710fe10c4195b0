"""The two exporters of ``torch.onnx``, behind one face, and the check of what they wrote."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from profiler.conversion.check import same_outputs
from profiler.runtimes import torch_common
from profiler.runtimes.torchscript import quiet_deprecations
from profiler.spec import InputSpec, Precision

# The newest that ONNX Runtime 1.17 runs in full, and that both exporters write.
OPSET = 18
# torch.export treats sizes 0 and 1 as constants, so an open dimension is shown a 2.
EXAMPLE_BATCH = 2
# An open batch dimension is checked at sizes other than the one that was traced.
CHECKED_BATCHES = (1, 3)


@dataclass(frozen=True)
class Source:
    """The original of a conversion.

    Attributes:
        exported: what the exporter takes: a module, a script or a program.
        module: answers for comparison.
        weights: its parameters.
        specs: the inputs at the batch size that was asked for.
        open_batch: the names of those whose first dimension may vary.
        exporters: to be tried, in this order.
        precision: of the weights, and of the inputs that are floats.
    """

    exported: Any
    module: Callable[..., Any]
    weights: tuple[Any, ...]
    specs: tuple[InputSpec, ...]
    open_batch: frozenset[str]
    exporters: tuple[str, ...]
    precision: Precision

    @property
    def parameters(self) -> int:
        return sum(int(weight.numel()) for weight in self.weights)

    @property
    def weight_bytes(self) -> int:
        return sum(int(w.numel()) * int(w.element_size()) for w in self.weights)

    def sized(self, batch_size: int) -> tuple[InputSpec, ...]:
        """The inputs with ``batch_size`` where the batch dimension is open."""
        return tuple(
            spec.model_copy(update={"shape": (batch_size, *spec.shape[1:])})
            if spec.name in self.open_batch
            else spec
            for spec in self.specs
        )


def export_checked(source: Source, exporter: str, batch_size: int | None, path: Path) -> None:
    """Write ``source`` to ``path`` and check that ONNX Runtime computes the same from it.

    Args:
        source: the original.
        exporter: ``torchscript`` or ``dynamo``.
        batch_size: fixed, or ``None`` for an open batch dimension.
        path: where the file goes; what is there is overwritten.

    Raises:
        ModelError: the outputs differ.
        Exception: whatever the exporter raises.
    """
    shown = EXAMPLE_BATCH if batch_size is None else batch_size
    specs = source.sized(shown)
    tensors = torch_common.make_tensors(specs, 0, source.precision, "cpu")
    open_batch = source.open_batch if batch_size is None else frozenset()
    export = export_traced if exporter == "torchscript" else export_dynamo
    export(source, tensors, open_batch, path)
    for size in CHECKED_BATCHES if batch_size is None else (batch_size,):
        same_outputs(path, source.module, source.sized(size), source.precision)


def export_traced(
    source: Source, tensors: tuple[Any, ...], open_batch: frozenset[str], path: Path
) -> None:
    import torch

    fused = torch.backends.mha.get_fastpath_enabled()
    # The fused attention of evaluation mode is an operator that this exporter does not know.
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        torch.onnx.export(
            source.exported,
            tensors,
            str(path),
            input_names=[spec.name for spec in source.specs],
            dynamic_axes={name: {0: "batch"} for name in sorted(open_batch)},
            opset_version=OPSET,
            **({"dynamo": False} if _has_two_exporters(torch) else {}),
        )
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)


def _has_two_exporters(torch: Any) -> bool:
    major, minor = (int(part) for part in torch.__version__.split(".")[:2])
    return (major, minor) >= (2, 5)


def export_dynamo(
    source: Source, tensors: tuple[Any, ...], open_batch: frozenset[str], path: Path
) -> None:
    import torch

    options: dict[str, Any] = {}
    if not isinstance(source.exported, torch.export.ExportedProgram):
        batch = torch.export.Dim("batch", min=1, max=65_536)
        names = [spec.name for spec in source.specs]
        options["input_names"] = names
        options["dynamic_shapes"] = tuple({0: batch} if n in open_batch else {} for n in names)
    torch.onnx.export(
        source.exported,
        tensors,
        str(path),
        dynamo=True,
        opset_version=OPSET,
        # ONNX Runtime optimises at load time; doing it twice only takes longer.
        optimize=False,
        external_data=False,
        verbose=False,
        **options,
    )


@contextmanager
def one_thread() -> Iterator[None]:
    """Convert on one thread.

    On two cores that something else used as well, threads that wait for one another at every
    operator made the same conversion 3 to 10 times slower: 11.4 s against 1.2 s for
    mobilenet_v3_large.
    """
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@contextmanager
def quiet() -> Iterator[None]:
    """Exporters speak to programmers, on stdout and in warnings; what counts is checked after.

    An exporter's failure is an exception, so that nothing is lost with what it prints.
    """
    from torch.jit import TracerWarning

    with (
        redirect_stdout(io.StringIO()),
        quiet_deprecations(),
        warnings.catch_warnings(),
    ):
        legacy = r"You are using the legacy TorchScript-based ONNX export"
        warnings.filterwarnings("ignore", message=legacy, category=DeprecationWarning)
        warnings.filterwarnings("ignore", category=TracerWarning)
        # Its notes on operators and versions, and its own use of what torch deprecates.
        for category in (UserWarning, DeprecationWarning, FutureWarning):
            warnings.filterwarnings(
                "ignore", category=category, module=r"(torch|onnxscript|copyreg)\b"
            )
        yield
