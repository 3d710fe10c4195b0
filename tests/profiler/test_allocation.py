"""However it shows that memory ran out, the run is out_of_memory and names its batch size."""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from profiler.allocation import classify, explained
from profiler.base import Frozen
from profiler.errors import (
    DeviceError,
    ModelError,
    OutOfMemory,
    RunFailure,
    RunTimeout,
    Unsupported,
)
from profiler.forked import call_in_child, describe_exit
from profiler.memory.measure import measure_memory
from profiler.repetition import repeat
from profiler.runtimes.base import LoadRequest
from profiler.runtimes.onnx import OnnxRuntimeAdapter
from tests.fake_model import REQUEST, FakeAdapter, FakeModel, default_plan, run
from tests.small_onnx import save_wide_onnx

GIB = 2**30


class Nothing(Frozen):
    pass


# --- what it looks like ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has a total capacity of 7.4 GiB",
        "CUDA error: out of memory",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
        "CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
        "[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory",
        "[ONNXRuntimeError] : 6 : Failed to allocate memory for requested buffer of size 68719476",
        "std::bad_alloc",
        "[ONNXRuntimeError] : 1 : FAIL : bad allocation",
    ],
)
def test_a_failed_allocation_is_out_of_memory(text: str) -> None:
    found = classify(RuntimeError(text))
    assert type(found) is OutOfMemory
    assert str(found) == f"RuntimeError: {text}"


def raised_from(error: Exception, cause: Exception) -> Exception:
    try:
        raise error from cause
    except type(error) as caught:
        return caught


@pytest.mark.parametrize("kind", [ModelError, Unsupported])
def test_an_adapter_need_not_look_why_its_engine_refused(kind: type[RunFailure]) -> None:
    found = classify(raised_from(kind("x does not load"), RuntimeError("std::bad_alloc")))
    assert type(found) is OutOfMemory
    assert str(found) == "x does not load"
    deep = raised_from(ValueError("no"), MemoryError())
    assert type(classify(raised_from(kind("x"), deep))) is OutOfMemory
    other = raised_from(kind("x"), ValueError("wrong shape"))
    assert classify(other) is other


def test_what_says_something_else_is_something_else() -> None:
    assert type(classify(ValueError("wrong shape"))) is ModelError
    error = Unsupported("this engine has no bf16; out of memory is not meant")
    assert classify(error) is error
    late = raised_from(RunTimeout("too late"), MemoryError())
    assert classify(late) is late


def test_causes_in_a_circle_end() -> None:
    error = ValueError("x")
    error.__cause__ = error
    assert type(classify(error)) is ModelError


# --- what only the run knows -------------------------------------------------------------------


def test_the_batch_size_is_named_and_a_smaller_one_where_there_is_one() -> None:
    found = explained(OutOfMemory("MemoryError"), "", 64)
    assert type(found) is OutOfMemory
    assert str(found) == "at batch size 64: MemoryError; a smaller batch size may fit"
    assert str(explained(OutOfMemory("MemoryError"), "", 1)) == "at batch size 1: MemoryError"


KILLED, ABORTED, SEGFAULT, EXIT_1 = 9, 6, 11, 1 << 8
TERMINATED = "terminate called after throwing an instance of 'std::bad_alloc'\n  what():  std::bad"


@pytest.mark.parametrize(
    ("status", "tail", "kind"),
    [
        (KILLED, "", OutOfMemory),
        (ABORTED, TERMINATED, OutOfMemory),
        (ABORTED, "memory allocation of 68719476736 bytes failed", OutOfMemory),
        (EXIT_1, "libgomp: Out of memory allocating 4096 bytes", OutOfMemory),
        (ABORTED, "free(): invalid pointer", ModelError),
        (ABORTED, "", ModelError),
        (SEGFAULT, TERMINATED, ModelError),
    ],
)
def test_the_last_words_of_a_process_tell_why_it_ended(
    status: int, tail: str, kind: type[RunFailure]
) -> None:
    found = explained(describe_exit(status, "repetition 1"), tail, 8)
    assert type(found) is kind
    assert "repetition 1" in str(found)
    assert ("at batch size 8" in str(found)) is (kind is OutOfMemory)


@pytest.mark.parametrize("kind", [ModelError, DeviceError, RunTimeout, Unsupported])
def test_other_failures_stay_as_they_are(kind: type[RunFailure]) -> None:
    failure = kind("it said std::bad_alloc")
    assert explained(failure, TERMINATED, 8) is failure


# --- real allocations that fail, in real processes ---------------------------------------------


def limited(function: Callable[[], Any], size: int = 8 * GIB) -> Callable[[], Any]:
    """``function`` in a process that may not have more address space than ``size``."""

    def inside() -> Any:
        resource.setrlimit(resource.RLIMIT_AS, (size, size))
        return function()

    return inside


def too_much() -> None:
    bytearray(16 * GIB)


class LoadsTooMuch(FakeAdapter):
    def load(self, request: LoadRequest) -> FakeModel:
        too_much()
        return super().load(request)


def test_while_loading(tmp_path: Path) -> None:
    plan = default_plan(tmp_path / "r.npz")
    adapter = LoadsTooMuch(lambda: None)
    with pytest.raises(OutOfMemory, match="MemoryError"):
        call_in_child(
            limited(lambda: repeat(adapter, REQUEST, plan, lambda _: None)), Nothing, "it"
        )


def test_in_a_repetition(tmp_path: Path) -> None:
    with pytest.raises(OutOfMemory, match="MemoryError"):
        run(default_plan(tmp_path / "r.npz"), limited(too_much))


@pytest.mark.parametrize("adapter", [FakeAdapter(limited(too_much)), LoadsTooMuch(limited(int))])
def test_in_the_memory_pass(adapter: FakeAdapter) -> None:
    def child() -> Nothing:
        resource.setrlimit(resource.RLIMIT_AS, (8 * GIB, 8 * GIB))
        measure_memory(adapter, REQUEST)
        return Nothing()

    with pytest.raises(OutOfMemory, match="MemoryError"):
        call_in_child(child, Nothing, "it")


def test_killed_by_the_kernel_in_the_memory_pass() -> None:
    def call() -> None:
        os.kill(os.getpid(), 9)

    with pytest.raises(OutOfMemory, match="the memory pass was killed"):
        measure_memory(FakeAdapter(call), REQUEST)


def test_torchs_own_words_are_understood() -> None:
    pytest.importorskip("torch")

    def allocate() -> Nothing:
        import torch

        torch.empty(1 << 50)
        return Nothing()

    with pytest.raises(OutOfMemory, match="allocate"):
        call_in_child(limited(allocate, 64 * GIB), Nothing, "it")


def test_onnx_runtimes_own_words_are_understood(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    artifact = save_wide_onnx(tmp_path / "wide.onnx")
    request = REQUEST.model_copy(
        update={
            "model": artifact,
            "model_path": tmp_path / "wide.onnx",
            "batch_size": 65_536,
        }
    )

    def allocate() -> Nothing:
        OnnxRuntimeAdapter().load(request).call()
        return Nothing()

    with pytest.raises(OutOfMemory, match="allocate memory"):
        call_in_child(limited(allocate, 16 * GIB), Nothing, "it")


def test_a_thread_of_the_engine_that_ends_the_process(tmp_path: Path) -> None:
    """What C++ does with an exception that nobody catches, seen from the worker's owner."""
    program = "import os, sys; sys.stderr.write(sys.argv[1]); sys.stderr.flush(); os.abort()"

    def abort() -> Nothing:
        os.execv(sys.executable, [sys.executable, "-c", program, TERMINATED])  # noqa: S606

    with pytest.raises(ModelError, match="SIGABRT") as caught:
        call_in_child(abort, Nothing, "repetition 1")
    assert type(explained(caught.value, TERMINATED, 2)) is OutOfMemory
