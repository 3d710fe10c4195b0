"""ONNX Runtime: a ``.onnx`` file, which a conversion may have made from something else.

The session opens the file by its path. Opening it from bytes would keep a second copy of the
weights in memory, which the memory figures would then charge to the model; and since the file was
walked just before and refers to no other file, the path leads nowhere else.

Threads spin between operators, which is ONNX Runtime's default: lower latency, a busy core while
idle. Graph optimisations are all on, and arithmetic is not traded for speed. The CUDA path follows
ONNX Runtime's documentation; it is not covered by tests on machines without a GPU.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from profiler.allocation import ran_out_of_memory
from profiler.errors import ModelError, Unsupported
from profiler.inputs import resolve, synthesize
from profiler.modelfile.onnx_file import OnnxSummary, summarise_onnx
from profiler.modelfile.refused import Refused
from profiler.runtimes.base import LoadedModel, LoadRequest
from profiler.runtimes.table import installed_version
from profiler.spec import InputSpec, Precision

if TYPE_CHECKING:
    from profiler.inputs import Array

CPU_PROVIDER = "CPUExecutionProvider"
CUDA_PROVIDER = "CUDAExecutionProvider"
# ORT's severities: 3 is error. Its warnings are about optimisations that it did not do.
LOG_ERRORS = 3


class OnnxRuntimeAdapter:
    """``onnxruntime.InferenceSession``."""

    forkable = True

    def preload(self) -> None:
        import onnxruntime  # noqa: F401 - imported for the forks that follow

    def version(self) -> str:
        return installed_version("onnxruntime", "onnxruntime-gpu", "onnxruntime-openvino")

    def load(self, request: LoadRequest) -> LoadedModel:
        """As the protocol says; ``model_path`` is the ``.onnx`` file, converted or submitted."""
        summary = _summary(request)
        _require_precision(request, summary)
        inputs = resolve(summary.inputs, request.batch_size, request.inputs, request.resolution)
        accelerator = _choose_accelerator(request.accelerator)
        session, fallback = _open(request, accelerator)
        arrays = synthesize(inputs, request.seed)
        feed = {spec.name: array for spec, array in zip(inputs, arrays, strict=True)}
        call, synchronize = _make_call(session, feed, accelerator)
        return OnnxModel(
            session=session,
            feed=feed,
            inputs=inputs,
            precision=_describe(summary, request.precision),
            accelerator=_where(session, accelerator),
            parameters=summary.parameters,
            fallback=fallback,
            call=call,
            synchronize=synchronize,
        )


@dataclass(frozen=True)
class OnnxModel:
    """``LoadedModel`` over a session."""

    session: Any
    feed: dict[str, Array]
    inputs: tuple[InputSpec, ...]
    precision: str
    accelerator: str
    parameters: int | None
    fallback: str | None
    call: Callable[[], Any]
    synchronize: Callable[[], None] | None

    @property
    def device_timer(self) -> None:
        """ONNX Runtime has no events to wrap a run in."""
        return None

    @property
    def threads(self) -> int:
        return int(self.session.get_session_options().intra_op_num_threads)

    def outputs(self) -> Sequence[Any]:
        return list(self.session.run(None, self.feed))

    def accelerator_peak_bytes(self) -> tuple[int, int] | None:
        """``None``: ONNX Runtime does not tell."""
        return None


def _summary(request: LoadRequest) -> OnnxSummary:
    if request.model_path is None:
        raise ModelError(
            f"{request.model.label}: onnxruntime runs .onnx files, and no converted file was given"
        )
    try:
        return summarise_onnx(request.model_path)
    except (Refused, OSError) as error:
        raise ModelError(f"{request.model.label} {error}") from error


def _require_precision(request: LoadRequest, summary: OnnxSummary) -> None:
    """Precision is a property of the file: the session computes in the types that it finds."""
    held = summary.precisions
    if not held or request.precision.value in held:
        return
    usable = [name for name in held if name in {p.value for p in Precision}]
    hint = f"ask for --precision {usable[0]}, or " if usable else ""
    raise Unsupported(
        f"precision: {request.precision} asked for, but the weights of {request.model.label} are "
        f"{', '.join(held)}; {hint}convert the file to {request.precision}"
    )


def _describe(summary: OnnxSummary, asked: Precision) -> str:
    held = sorted(summary.precisions)
    if not held:
        return asked.value
    return held[0] if len(held) == 1 else f"mixed({','.join(held)})"


def _choose_accelerator(asked: str) -> str:
    import onnxruntime

    if asked == "cpu":
        return "cpu"
    has_cuda = CUDA_PROVIDER in onnxruntime.get_available_providers()
    if asked == "auto":
        return "cuda:0" if has_cuda else "cpu"
    if not has_cuda:
        raise Unsupported(
            f"accelerator: {asked} asked for, but this onnxruntime {onnxruntime.__version__} has "
            "no CUDA; install onnxruntime-gpu in place of onnxruntime, or ask for "
            "--accelerator cpu"
        )
    return f"cuda:{int(asked.partition(':')[2] or 0)}"


def session_options(threads: int) -> Any:
    """Everything that would else be ONNX Runtime's own choice."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = LOG_ERRORS
    # On by choice only: bfloat16 products inside float32 matrix products on Arm.
    options.add_session_config_entry("mlas.enable_gemm_fastmath_arm64_bfloat16", "0")
    return options


def _open(request: LoadRequest, accelerator: str) -> tuple[Any, str | None]:
    """The session, and what it left on the CPU where a GPU was asked for."""
    path, label = str(request.model_path), request.model.label
    if accelerator == "cpu":
        return open_session(path, label, session_options(request.threads), [CPU_PROVIDER]), None
    device = int(accelerator.partition(":")[2])
    providers = [(CUDA_PROVIDER, {"device_id": device, "use_tf32": 0})]
    strict = session_options(request.threads)
    strict.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    try:
        return open_session(path, label, strict, providers), None
    except (ModelError, Unsupported) as error:
        if ran_out_of_memory(error):
            # On the CPU it may fit: that would be another measurement than was asked for.
            raise
        # Some operator has no kernel there: run it where it can be, and say so.
        options = session_options(request.threads)
        session = open_session(path, label, options, [*providers, CPU_PROVIDER])
        return session, "some operators have no CUDA kernel in ONNX Runtime and run on the CPU"


def open_session(path: str, label: str, options: Any, providers: list[Any]) -> Any:
    """A session over the file at ``path``.

    Raises:
        Unsupported: a kernel is missing, for an operator or for its type.
        ModelError: the model is not valid.
    """
    import onnxruntime
    from onnxruntime.capi import onnxruntime_pybind11_state as states

    try:
        return onnxruntime.InferenceSession(path, sess_options=options, providers=providers)
    except (states.NotImplemented, states.EPFail) as error:
        raise Unsupported(f"ONNX Runtime cannot run {label}: {error}") from error
    except (
        states.Fail,
        states.InvalidArgument,
        states.InvalidGraph,
        states.InvalidProtobuf,
        states.NoSuchFile,
        states.RuntimeException,
    ) as error:
        raise ModelError(f"ONNX Runtime does not load {label}: {error}") from error


def _where(session: Any, accelerator: str) -> str:
    """A provider that does not start is dropped with a warning only, so it is read back."""
    return accelerator if CUDA_PROVIDER in session.get_providers() else "cpu"


def _make_call(
    session: Any, feed: dict[str, Array], accelerator: str
) -> tuple[Callable[[], Any], Callable[[], None] | None]:
    """What is timed, and the wait for it. On a GPU inputs and outputs stay there, as in torch."""
    run = session.run
    if _where(session, accelerator) == "cpu":
        return lambda: run(None, feed), None
    import onnxruntime

    device = int(accelerator.partition(":")[2])
    binding = session.io_binding()
    for name, array in feed.items():
        binding.bind_ortvalue_input(
            name, onnxruntime.OrtValue.ortvalue_from_numpy(array, "cuda", device)
        )
    for output in session.get_outputs():
        binding.bind_output(output.name, "cuda", device)
    bound = session.run_with_iobinding
    return lambda: bound(binding), binding.synchronize_outputs
