"""Peaks of the pass for memory."""

from __future__ import annotations

from profiler.base import Frozen


class Memory(Frozen):
    """Peaks of a separate pass, in bytes. ``None`` comes with a reason. None may be added up.

    Attributes:
        peak_rss_bytes: ``VmHWM`` of the process that holds the model, reset after the runtime was
            imported and before the model was loaded.
        peak_rss_anonymous_bytes: of it anonymous memory, as seen from outside when it was highest.
        peak_rss_file_bytes: of it mapped files, seen at the same moment.
        rss_before_load_bytes: the interpreter and the engine.
        rss_anonymous_bytes: at the end of the pass.
        rss_file_bytes: at the end of the pass.
        tree_peak_rss_bytes: of this process and all that it started, the sum of their resident
            sizes at its highest, as seen from outside; pages that they share count in each.
        tree_processes: at most at once; 1 where the model started none.
        cgroup_peak_bytes: ``memory.peak`` of a control group of the pass's own: what all processes
            took from the start of the pass on, page cache and kernel memory included.
        accelerator_peak_allocated_bytes: of tensors, as the engine says.
        accelerator_peak_reserved_bytes: what the engine's allocator took from the driver.
        accelerator_process_bytes: what the driver shows for the process at the end of the pass,
            its context and the libraries' kernels included.
        accelerator_process_before_load_bytes: the same before the model was loaded; ``None`` where
            the process did not use the accelerator yet.
        unified: the accelerator's memory is the host's; ``None``: not known, or none was used.
    """

    peak_rss_bytes: int | None
    peak_rss_reason: str | None = None
    peak_rss_anonymous_bytes: int | None = None
    peak_rss_file_bytes: int | None = None
    peak_rss_split_reason: str | None = None
    rss_before_load_bytes: int | None = None
    rss_anonymous_bytes: int | None = None
    rss_file_bytes: int | None = None
    tree_peak_rss_bytes: int | None = None
    tree_processes: int | None = None
    tree_reason: str | None = None
    cgroup_peak_bytes: int | None = None
    cgroup_reason: str | None = None
    accelerator_peak_allocated_bytes: int | None = None
    accelerator_peak_reserved_bytes: int | None = None
    accelerator_reason: str | None = None
    accelerator_process_bytes: int | None = None
    accelerator_process_before_load_bytes: int | None = None
    accelerator_process_reason: str | None = None
    unified: bool | None = None
    unified_reason: str | None = None
