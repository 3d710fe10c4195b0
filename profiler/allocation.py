"""How it shows that memory ran out: engines and the kernel have no common way to say it."""

from __future__ import annotations

from profiler.errors import ModelError, OutOfMemory, RunFailure, Unsupported

# In the text of an exception: PyTorch's allocators for CPU and CUDA, cuBLAS and cuDNN, ONNX
# Runtime's arena, the C++ library's std::bad_alloc.
_SIGNS = (
    "out of memory",
    "can't allocate memory",
    "cannot allocate memory",
    "failed to allocate memory",
    "bad_alloc",
    "bad allocation",
    "status_alloc_failed",
    "allocation_failed",
    "cudaerrormemoryallocation",
)
# Among the last words of a process that ended itself: std::terminate, Rust, GNU OpenMP.
_LAST_WORDS = (
    "instance of 'std::bad_alloc'",
    "memory allocation of ",
    "libgomp: out of memory",
)
# What ``describe_exit`` says of a process that ended itself, and not of one that was ended.
_ENDINGS = ("SIGABRT", "exit code")
# No chain of causes is as long; one that goes in a circle ends here.
_MOST_CAUSES = 20


def ran_out_of_memory(error: BaseException) -> bool:
    """Whether the exception, or what it was raised from, is a failed allocation."""
    found: BaseException | None = error
    for _ in range(_MOST_CAUSES):
        if found is None:
            return False
        text = f"{type(found).__name__}: {found}".lower()
        if isinstance(found, (MemoryError, OutOfMemory)) or any(sign in text for sign in _SIGNS):
            return True
        found = found.__cause__
    return False


def classify(error: BaseException) -> RunFailure:
    """The typed failure for whatever a model or an engine raised.

    An adapter that calls its engine's refusal a model error need not look why it was refused.
    """
    if isinstance(error, (ModelError, Unsupported)):
        cause = error.__cause__
        return OutOfMemory(str(error)) if cause and ran_out_of_memory(cause) else error
    if isinstance(error, RunFailure):
        return error
    text = f"{type(error).__name__}: {error}"
    return OutOfMemory(text) if ran_out_of_memory(error) else ModelError(text)


def explained(failure: RunFailure, stderr_tail: str, batch_size: int) -> RunFailure:
    """The failure with what only its run knows: its last words, and the batch size.

    Args:
        failure: as it was reported, or as the worker's end was described.
        stderr_tail: the last lines that the worker wrote.
        batch_size: of the run.
    """
    text = str(failure)
    if isinstance(failure, ModelError) and any(ending in text for ending in _ENDINGS):
        tail = stderr_tail.lower()
        if any(words in tail for words in _LAST_WORDS):
            failure = OutOfMemory(f"{text}, after an allocation had failed")
    if not isinstance(failure, OutOfMemory):
        return failure
    remedy = "; a smaller batch size may fit" if batch_size > 1 else ""
    return OutOfMemory(f"at batch size {batch_size}: {failure}{remedy}")
