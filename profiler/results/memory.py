"""Peaks of the pass for memory."""

from __future__ import annotations

from profiler.base import Frozen


class Memory(Frozen):
    """Peaks of a separate pass, in bytes.

    ``peak_rss_bytes`` is ``VmHWM`` of the process that holds the model, reset after the runtime was
    imported and before the model was loaded; the split tells anonymous from file-mapped memory at
    the end of the pass. ``None`` comes with a reason.
    """

    peak_rss_bytes: int | None
    peak_rss_reason: str | None = None
    rss_before_load_bytes: int | None = None
    rss_anonymous_bytes: int | None = None
    rss_file_bytes: int | None = None
    accelerator_peak_allocated_bytes: int | None = None
    accelerator_peak_reserved_bytes: int | None = None
    accelerator_reason: str | None = None
