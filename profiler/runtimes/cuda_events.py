"""CUDA's own clock: events on the stream that a call's work goes to.

Source: PyTorch's documentation of ``torch.cuda.Event``: ``elapsed_time`` is in milliseconds, with a
resolution of about half a microsecond (CUDA Runtime API, ``cudaEventElapsedTime``). Not verified on
hardware.
"""

from __future__ import annotations

from typing import Any


class CudaEvents:
    """``profiler.timing.DeviceTimer``. The stream is idle when a call begins: it was waited for.

    What a call does in streams that it does not wait for itself is not seen.

    Args:
        cuda: ``torch.cuda``.
        accelerator: ``cuda:N``; the stream is the current one there.
    """

    def __init__(self, cuda: Any, accelerator: str) -> None:
        self._stream = cuda.current_stream(accelerator)
        self._begin = cuda.Event(enable_timing=True)
        self._end = cuda.Event(enable_timing=True)

    def begin(self) -> None:
        self._begin.record(self._stream)

    def end(self) -> None:
        self._end.record(self._stream)

    def elapsed_ns(self) -> int:
        return round(float(self._begin.elapsed_time(self._end)) * 1e6)
