"""A torch model as ONNX: exported once, checked against the original, cached by what it is.

``torch.onnx.export`` has two exporters. The older one traces, and took 0.2 to 0.9 s where the newer
one took 4 to 17 s (resnet18, mobilenet_v3_large, squeezenet1_1; two cores); ONNX Runtime optimises
either's graph itself. So the older is tried first, and the newer where the older fails, gives other
outputs than torch, or no longer exists. A program of ``torch.export`` goes to the newer one, since
the older cannot trace it. Weights are stored inside the file, which limits it to 2 GB.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from profiler.conversion.cache import Converted, OnnxCache, digest_of, key_of
from profiler.conversion.export import OPSET, Source, export_checked, one_thread, quiet
from profiler.errors import ModelError, RunFailure, Unsupported
from profiler.inputs import Signature, resolve
from profiler.runtimes import torch_common, torch_export, torchscript
from profiler.runtimes.table import installed_version
from profiler.sources import build
from profiler.spec import (
    ArchitectureRef,
    ArtifactRef,
    InputSpec,
    ModelFormat,
    Precision,
    Runtime,
)

__all__ = ["Converted", "convert_to_onnx", "needs_conversion"]

# Raised when the same key would give another file: it is part of the key.
RECIPE = 1
# protobuf's limit, less room for the graph itself.
MAX_WEIGHT_BYTES = 2**31 - 2**26


def needs_conversion(model: ArchitectureRef | ArtifactRef, runtime: Runtime) -> bool:
    """Whether ``runtime`` runs ``model`` only after ``convert_to_onnx``."""
    if runtime is not Runtime.ONNXRUNTIME:
        return False
    return isinstance(model, ArchitectureRef) or model.format is not ModelFormat.ONNX


def convert_to_onnx(
    model: ArchitectureRef | ArtifactRef,
    model_path: Path | None,
    cache_dir: Path,
    *,
    batch_size: int,
    inputs: Sequence[InputSpec] | None = None,
    precision: Precision = Precision.FP32,
    resolution: tuple[int, int] | None = None,
) -> Converted:
    """The ONNX file of ``model``: from the cache, or exported now.

    A found file costs no import of torch. The export leaves the batch dimension open where it can;
    only where it cannot is the file good for ``batch_size`` alone. Not to be called in a process
    that then measures: torch and the original's weights stay in its memory.

    Args:
        model: an architecture, or a ``.pt`` or ``.pt2`` artifact.
        model_path: the artifact's file, accepted by ``profiler.modelfile.artifact``.
        cache_dir: files are kept in ``onnx`` under it.
        batch_size: items per iteration.
        inputs: overrides the model's signature; a ``.pt`` has none, so there it is required.
        resolution: (height, width) of images, in place of the model's usual one.
        precision: of the weights in the file. A ``.pt2`` keeps the one it was exported in.

    Raises:
        ModelError: no exporter gives a model with the outputs of the original.
        Unsupported: the model is too large for one file, or needs kernels that are missing.
    """
    if isinstance(model, ArtifactRef) and model.format is ModelFormat.ONNX:
        raise ModelError(f"{model.label} is an ONNX file already")
    inputs = tuple(inputs) if inputs else None
    key = _key(model, inputs, batch_size, precision, resolution)
    cache = OnnxCache(cache_dir / "onnx")
    with cache.lock(key):
        found = cache.find(key, batch_size)
        if found is not None:
            return found
        return _convert(
            _Job(model, model_path, batch_size, inputs, precision, resolution, key), cache
        )


def _key(
    model: ArchitectureRef | ArtifactRef,
    inputs: tuple[InputSpec, ...] | None,
    batch_size: int,
    precision: Precision,
    resolution: tuple[int, int] | None,
) -> str:
    if isinstance(model, ArchitectureRef):
        identity, packages = model.model_dump(mode="json"), ["torch", model.library.value]
    else:
        # A file is its bytes: what it is called changes nothing.
        identity, packages = {"digest": model.digest, "format": model.format.value}, ["torch"]
    return key_of(
        model=identity,
        versions={name: installed_version(name) for name in (*packages, "onnx", "onnxscript")},
        opset=OPSET,
        recipe=RECIPE,
        precision=precision.value,
        inputs=[_without_batch(spec, batch_size) for spec in inputs or ()],
        # Left out where it is the model's own: keys of that kind are older than the option.
        **({"resolution": list(resolution)} if resolution else {}),
    )


def _without_batch(spec: InputSpec, batch_size: int) -> list[object]:
    open_batch = spec.shape[:1] == (batch_size,)
    return [spec.name, spec.dtype, ["batch" if open_batch else spec.shape[:1], *spec.shape[1:]]]


@dataclass(frozen=True)
class _Job:
    model: ArchitectureRef | ArtifactRef
    model_path: Path | None
    batch_size: int
    inputs: tuple[InputSpec, ...] | None
    precision: Precision
    resolution: tuple[int, int] | None
    key: str


def _convert(job: _Job, cache: OnnxCache) -> Converted:
    start = perf_counter()
    with quiet(), one_thread():
        source = _open(job)
        if source.weight_bytes > MAX_WEIGHT_BYTES:
            raise Unsupported(
                f"{job.model.label} has {source.weight_bytes / 2**30:.1f} GiB of weights, more "
                "than an ONNX file holds; use the runtime torch, or torch_export"
            )
        incoming = cache.path(job.key, None).with_suffix(f".{os.getpid()}.tmp")
        try:
            exporter, batch_size = _first_success(job, source, incoming)
            made = Converted(
                path=incoming,
                digest=digest_of(incoming),
                key=job.key,
                parameters=source.parameters,
                seconds=perf_counter() - start,
                cached=False,
                exporter=exporter,
                batch_size=batch_size,
                size_bytes=incoming.stat().st_size,
            )
            return cache.add(incoming, made)
        finally:
            incoming.unlink(missing_ok=True)


def _first_success(job: _Job, source: Source, incoming: Path) -> tuple[str, int | None]:
    """Try the exporters, each with an open batch dimension first; which one it was, and its batch.

    Raises:
        ModelError: every attempt failed; says how each did.
    """
    failures: list[str] = []
    last: Exception | None = None
    for exporter in source.exporters:
        for batch_size in (None, job.batch_size) if source.open_batch else (job.batch_size,):
            last = _failure_of(source, exporter, batch_size, incoming)
            if last is None:
                return exporter, batch_size
            batch = "any batch" if batch_size is None else f"batch {batch_size}"
            reason = (str(last).strip() or type(last).__name__).splitlines()[0]
            failures.append(f"{exporter}, {batch}: {reason}")
    if isinstance(last, RunFailure) and job.precision is not Precision.FP32:
        raise Unsupported(
            f"precision: ONNX Runtime cannot run {job.model.label} in {job.precision} here "
            f"({'; '.join(failures)}); ask for --precision fp32, or use the runtime torch"
        ) from last
    raise ModelError(
        f"{job.model.label} cannot be converted to ONNX ({'; '.join(failures)}); "
        "use the runtime torch, or convert it yourself and submit the .onnx file"
    ) from last


def _failure_of(
    source: Source, exporter: str, batch_size: int | None, incoming: Path
) -> Exception | None:
    try:
        export_checked(source, exporter, batch_size, incoming)
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - exporters raise anything; all of it is told
        return error
    return None


def _open(job: _Job) -> Source:
    if isinstance(job.model, ArchitectureRef):
        return _from_architecture(job, job.model)
    if job.model_path is None:
        raise ModelError(f"{job.model.label}: the file of the model was not given")
    if job.model.format is ModelFormat.TORCHSCRIPT:
        return _from_torchscript(job, job.model_path)
    return _from_program(job, job.model_path)


def _from_architecture(job: _Job, ref: ArchitectureRef) -> Source:
    built = build(ref)
    specs = resolve(built.signature, job.batch_size, job.inputs, job.resolution)
    module = built.module.to(torch_common.dtype_of(job.precision)).requires_grad_(False)
    return Source(
        exported=module,
        module=module,
        weights=tuple(module.parameters()),
        specs=specs,
        open_batch=_open_batch(built.signature),
        exporters=("torchscript", "dynamo"),
        precision=job.precision,
    )


def _from_torchscript(job: _Job, path: Path) -> Source:
    module = torchscript.open_torchscript(path, "cpu").to(torch_common.dtype_of(job.precision))
    specs = torchscript.in_order(module, resolve(None, job.batch_size, job.inputs, job.resolution))
    return Source(
        exported=module,
        module=module,
        weights=tuple(module.parameters()),
        specs=specs,
        # The file does not tell which dimension is the batch; a wrong guess fails its check.
        open_batch=frozenset(s.name for s in specs if s.shape[:1] == (job.batch_size,)),
        exporters=("torchscript",),
        precision=job.precision,
    )


def _from_program(job: _Job, path: Path) -> Source:
    program = torch_export.open_program(path)
    signature = torch_export.signature_of(program)
    return Source(
        exported=program,
        module=torch_export.module_of(program),
        weights=tuple(program.parameters()),
        specs=resolve(signature, job.batch_size, job.inputs, job.resolution),
        open_batch=_open_batch(signature),
        exporters=("dynamo",),
        precision=job.precision,
    )


def _open_batch(signature: Signature) -> frozenset[str]:
    return frozenset(i.name for i in signature if i.dims and not isinstance(i.dims[0], int))
