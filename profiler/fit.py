"""Whether model, runtime and inputs go together, as far as can be told without an engine."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from pathlib import Path

from profiler.errors import InputError, RunFailure
from profiler.inputs import Signature, resolve
from profiler.modelfile.onnx_file import onnx_inputs
from profiler.runtimes.table import can_run, default_runtime
from profiler.spec import ArchitectureRef, ArtifactRef, InputSpec, ModelFormat, Runtime


def refuse_runtime(runtime: Runtime, model: ArchitectureRef | ArtifactRef) -> None:
    """Raises:
    InputError: the runtime cannot run the model, not even after a conversion.
    """
    reason = can_run(runtime, model)
    if reason is not None:
        remedy = f"Use --runtime {default_runtime(model)}"
        raise InputError("runtime", runtime, f"cannot run this model: {reason}", remedy)


def refuse_inputs(
    model: ArchitectureRef | ArtifactRef,
    path: Path | None,
    batch_sizes: Sequence[int],
    inputs: Sequence[InputSpec] | None,
    resolutions: Sequence[tuple[int, int] | None] = (None,),
) -> None:
    """Hold inputs and batch sizes against what the file itself declares.

    Only ONNX files can be asked without their engine; of others the run finds out.

    Raises:
        InputError: a name, dtype, shape or batch size does not fit.
    """
    if path is None or not isinstance(model, ArtifactRef):
        return
    if model.format is ModelFormat.TORCHSCRIPT and not inputs:
        raise InputError(
            "input", "", "is needed: a TorchScript file does not tell the shapes of its inputs",
            "Say --input name:dtype:shape, such as --input x:float32:1x3x224x224",
        )  # fmt: skip
    if model.format is not ModelFormat.ONNX:
        return
    signature = onnx_inputs(path)
    for batch_size, resolution in product(batch_sizes, resolutions):
        try:
            resolve(signature, batch_size, inputs, resolution)
        except RunFailure as error:
            raise _misfit(error, signature, batch_size, inputs) from error


def _misfit(
    error: RunFailure, signature: Signature, batch_size: int, inputs: Sequence[InputSpec] | None
) -> InputError:
    """The user's error: ``resolve`` names the field before its first colon."""
    field, _, problem = str(error).partition(": ")
    declared = ", ".join(each.describe() for each in signature)
    given = {f"input {spec.name!r}": spec for spec in inputs or ()}
    value = ""
    if field == "batch_size":
        value, problem = str(batch_size), problem.removeprefix(f"{batch_size} ")
    elif field == "resolution":
        value, _, problem = problem.partition(" ")
    elif field in given:
        spec = given[field]
        value = f"{spec.dtype}:{'x'.join(str(size) for size in spec.shape)}"
    return InputError(field, value, problem, f"The model declares {declared}")
