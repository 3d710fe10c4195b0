"""What the three engines inside PyTorch share: settings, placement, the call, its read-back.

The CUDA paths follow PyTorch's documentation; they are not covered by tests on machines without a
GPU.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from profiler.errors import DeviceError, ModelError, Unsupported
from profiler.inputs import synthesize
from profiler.runtimes.base import LoadRequest
from profiler.runtimes.cuda_events import CudaEvents
from profiler.spec import InputSpec, Precision
from profiler.timing import DeviceTimer

INTEROP_THREADS = 1

_DTYPE_NAMES = {
    "torch.float32": "fp32",
    "torch.float16": "fp16",
    "torch.bfloat16": "bf16",
    "torch.float64": "fp64",
    "torch.qint8": "int8",
    "torch.quint8": "int8",
}


def configure(threads: int) -> None:
    """Fix what would else depend on the build: threads, and float32 that is really float32."""
    import torch

    torch.set_num_threads(threads)
    if torch.get_num_interop_threads() != INTEROP_THREADS:
        try:
            torch.set_num_interop_threads(INTEROP_THREADS)
        except RuntimeError as error:
            # It can be set only once, and not after parallel work has started.
            raise DeviceError(
                f"inter-operator threads stay at {torch.get_num_interop_threads()}: {error}; "
                "load the model in a fresh process"
            ) from error
    _full_float32(torch)


def _full_float32(torch: Any) -> None:
    """No TF32 on the GPU and no bfloat16 inside oneDNN where float32 was asked for."""
    torch.set_float32_matmul_precision("highest")
    # The older name: torch 2.14 refuses to export a model once the newer one is set for cuDNN.
    torch.backends.cudnn.allow_tf32 = False
    if hasattr(torch.backends.mkldnn, "fp32_precision"):  # from torch 2.9 on
        torch.backends.mkldnn.conv.fp32_precision = "ieee"
        torch.backends.mkldnn.rnn.fp32_precision = "ieee"
        torch.backends.mkldnn.matmul.fp32_precision = "ieee"


def choose_accelerator(asked: str) -> str:
    """``cpu`` or ``cuda:N``.

    Raises:
        Unsupported: a GPU was asked for that torch cannot use.
    """
    import torch

    if asked == "cpu":
        return "cpu"
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if asked == "auto":
        return "cuda:0" if count else "cpu"
    index = int(asked.partition(":")[2] or 0)
    if index >= count:
        raise Unsupported(
            f"accelerator: {asked} asked for, but torch {torch.__version__} can use {count} GPUs "
            "here; ask for --accelerator cpu, or install a build of torch for this GPU's driver"
        )
    return f"cuda:{index}"


def dtype_of(precision: Precision) -> Any:
    """The ``torch.dtype`` of ``precision``."""
    import torch

    return {
        Precision.FP32: torch.float32,
        Precision.FP16: torch.float16,
        Precision.BF16: torch.bfloat16,
    }[precision]


def make_tensors(
    specs: Sequence[InputSpec], seed: int, precision: Precision, accelerator: str
) -> tuple[Any, ...]:
    """The inputs on their device. float32 inputs take the model's precision, others stay."""
    import torch

    tensors = (torch.from_numpy(array.copy()) for array in synthesize(specs, seed))
    dtype = dtype_of(precision)
    return tuple(
        tensor.to(device=accelerator, dtype=dtype if tensor.dtype == torch.float32 else None)
        for tensor in tensors
    )


def weights_precision(tensors: Iterable[Any]) -> str | None:
    """``fp32``, ``mixed(fp16,fp32)`` …, read from the dtypes; ``None`` where there are none."""
    names = {_DTYPE_NAMES.get(str(tensor.dtype)) for tensor in tensors}
    known = sorted(name for name in names if name)
    if not known:
        return None
    return known[0] if len(known) == 1 else f"mixed({','.join(known)})"


@dataclass(frozen=True)
class TorchModel:
    """``LoadedModel`` over a callable of torch.

    ``call`` enters ``torch.inference_mode`` each time, as a deployment does; that costs about 4 µs.
    """

    module: Any
    tensors: tuple[Any, ...]
    inputs: tuple[InputSpec, ...]
    precision: str
    accelerator: str
    parameters: int | None
    call: Callable[[], Any]
    fallback: str | None = None

    @property
    def threads(self) -> int:
        import torch

        return int(torch.get_num_threads())

    @property
    def synchronize(self) -> Callable[[], None] | None:
        if self.accelerator == "cpu":
            return None
        import torch

        synchronize, device = torch.cuda.synchronize, torch.device(self.accelerator)
        return lambda: synchronize(device)

    @property
    def device_timer(self) -> DeviceTimer | None:
        if self.accelerator == "cpu":
            return None
        import torch

        return CudaEvents(torch.cuda, self.accelerator)

    def outputs(self) -> Sequence[Any]:
        return [_as_numpy(tensor) for tensor in flatten(self.call())]

    def accelerator_peak_bytes(self) -> tuple[int, int] | None:
        if self.accelerator == "cpu":
            return None
        import torch

        return (
            int(torch.cuda.max_memory_allocated(self.accelerator)),
            int(torch.cuda.max_memory_reserved(self.accelerator)),
        )


def flatten(value: Any) -> list[Any]:
    """The tensors of a model's answer in their order: a tensor, or nested lists and dicts."""
    if hasattr(value, "detach"):
        return [value]
    if isinstance(value, dict):
        return [tensor for item in value.values() for tensor in flatten(item)]
    if isinstance(value, (list, tuple)):
        return [tensor for item in value for tensor in flatten(item)]
    return []


def _as_numpy(tensor: Any) -> Any:
    # NumPy has no bfloat16.
    wide = tensor.float() if str(tensor.dtype) == "torch.bfloat16" else tensor
    return wide.detach().cpu().numpy()


def make_call(module: Any, tensors: tuple[Any, ...]) -> Callable[[], Any]:
    """What is timed: nothing is looked up inside but three local names."""
    import torch

    inference = torch.inference_mode()

    def call() -> Any:
        with inference:
            return module(*tensors)

    return call


def finish(
    request: LoadRequest,
    module: Any,
    inputs: tuple[InputSpec, ...],
    accelerator: str,
    weights: Iterable[Any],
) -> TorchModel:
    """Feed ``module`` and read back what it is.

    Args:
        request: what was asked for.
        module: already on ``accelerator`` and in its precision.
        inputs: resolved.
        accelerator: where ``module`` is.
        weights: its parameters, for their number and precision.
    """
    weights = list(weights)
    tensors = make_tensors(inputs, request.seed, request.precision, accelerator)
    return TorchModel(
        module=module,
        tensors=tensors,
        inputs=tuple(_as_fed(spec, t) for spec, t in zip(inputs, tensors, strict=True)),
        precision=weights_precision(weights) or request.precision.value,
        accelerator=accelerator,
        parameters=sum(int(weight.numel()) for weight in weights),
        call=make_call(module, tensors),
    )


def _as_fed(spec: InputSpec, tensor: Any) -> InputSpec:
    """The spec with the dtype that was really fed; bfloat16 is no input dtype, and stays."""
    name = str(tensor.dtype).removeprefix("torch.")
    return spec if name == "bfloat16" else spec.model_copy(update={"dtype": name})


def require_path(request: LoadRequest) -> Any:
    """The artifact's file.

    Raises:
        ModelError: the request has none.
    """
    if request.model_path is None:
        raise ModelError(f"{request.model.label}: the file of the model was not given")
    return request.model_path
