"""The pass for memory: load the model, call it a few times, and see what that took.

It is a pass of its own because all of it disturbs: the peak is reset, another process looks on, the
driver is asked for its processes. No latency comes from here.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from profiler.device.accelerator_users import OwnUse, read_own_use
from profiler.errors import ModelError
from profiler.forked import call_in_child
from profiler.memory.family import FamilyWatch
from profiler.memory.group import TransientGroup, make_group
from profiler.memory.host import HostMemory, read_host_memory, reset_peak
from profiler.memory.unified import read_unified
from profiler.plan import MEMORY_CALLS
from profiler.result import Memory
from profiler.runtimes.base import LoadedModel, LoadRequest, RuntimeAdapter

CPU = "cpu"
# What was seen is called the peak if it comes to at least this share of the kernel's own figure.
SEEN_SHARE = 0.95


class Place(NamedTuple):
    """Where memory is looked up: this device, or what stands in for it."""

    root: Path = Path("/")
    nvml: ModuleType | None = None
    cuda: Any = None


HERE = Place()


def measure_memory(adapter: RuntimeAdapter, request: LoadRequest, place: Place = HERE) -> Memory:
    """Peak memory of loading and a few calls, in a fresh child where the engine can be forked.

    Raises:
        RunFailure: the model does not load or does not run.
    """
    if not adapter.forkable:
        why = "the engine cannot be forked, so no process looked on"
        return in_this_process(adapter, request, place).model_copy(
            update={"peak_rss_split_reason": why, "tree_reason": why, "cgroup_reason": why}
        )
    watch = FamilyWatch()
    group = make_group(place.root)
    try:
        memory = call_in_child(
            lambda: _grouped(lambda: in_this_process(adapter, request, place), group),
            Memory,
            "the memory pass",
            watch.look,
        )
        return with_family(with_group(memory, group), watch)
    finally:
        if isinstance(group, TransientGroup):
            group.close()


def _grouped(measure: Callable[[], Memory], group: TransientGroup | str) -> Memory:
    reason = group if isinstance(group, str) else group.enter()
    return measure().model_copy(update={"cgroup_reason": reason})


def in_this_process(adapter: RuntimeAdapter, request: LoadRequest, place: Place = HERE) -> Memory:
    """What a process sees of itself.

    Raises:
        RunFailure: the model does not load or does not run, or ``/proc`` does not say.
    """
    # Before the host's figures: it loads the driver's library.
    before_load = _own_use(request.accelerator, place)
    try:
        reset_peak()
        reason = None
    except OSError as error:
        # Without the reset the peak would include the imports: not the model's, so not reported.
        reason = f"the kernel does not reset VmHWM: {error.strerror}"
    before = _host()
    loaded = adapter.load(request)
    for _ in range(MEMORY_CALLS):
        loaded.call()
        if loaded.synchronize is not None:
            loaded.synchronize()
    after = _host()
    host = Memory(
        peak_rss_bytes=after.peak_rss if reason is None else None,
        peak_rss_reason=reason,
        rss_before_load_bytes=before.rss,
        rss_anonymous_bytes=after.anonymous,
        rss_file_bytes=after.file,
    )
    return host.model_copy(update=_accelerator(loaded, before_load, place))


def _host() -> HostMemory:
    try:
        return read_host_memory()
    except (OSError, KeyError) as error:
        raise ModelError(f"/proc/self/status cannot be read: {error}") from error


def _accelerator(loaded: LoadedModel, before: OwnUse, place: Place) -> dict[str, Any]:
    """The fields that are of the accelerator."""
    if loaded.accelerator == CPU:
        why = f"ran on {CPU}"
        return {
            "accelerator_reason": why,
            "accelerator_process_reason": why,
            "unified_reason": why,
        }
    peaks = loaded.accelerator_peak_bytes()
    own = _own_use(loaded.accelerator, place)
    unified = read_unified(loaded.accelerator, place.root, place.cuda)
    return {
        "accelerator_peak_allocated_bytes": peaks[0] if peaks else None,
        "accelerator_peak_reserved_bytes": peaks[1] if peaks else None,
        "accelerator_reason": None if peaks else "the engine does not tell what it allocates",
        "accelerator_process_bytes": own.memory_bytes,
        "accelerator_process_before_load_bytes": before.memory_bytes,
        "accelerator_process_reason": own.reason,
        "unified": unified,
        "unified_reason": None if unified is not None else "the driver does not tell",
    }


def _own_use(accelerator: str, place: Place) -> OwnUse:
    if accelerator == CPU:
        return OwnUse(None, f"ran on {CPU}")
    return read_own_use(os.getpid(), place.nvml)


def with_group(memory: Memory, group: TransientGroup | str) -> Memory:
    """The figures with those of the control group, whose processes have ended."""
    if isinstance(group, str) or memory.cgroup_reason is not None:
        return memory
    try:
        return memory.model_copy(update={"cgroup_peak_bytes": group.peak_bytes()})
    except (OSError, ValueError) as error:
        return memory.model_copy(update={"cgroup_reason": f"memory.peak cannot be read: {error}"})


def with_family(memory: Memory, watch: FamilyWatch) -> Memory:
    """The figures with what was seen from outside."""
    if watch.largest is None:
        why = "the pass was over before it could be looked at"
        return memory.model_copy(update={"peak_rss_split_reason": why, "tree_reason": why})
    anonymous, file, reason = _split(memory.peak_rss_bytes, watch.largest)
    return memory.model_copy(
        update={
            "peak_rss_anonymous_bytes": anonymous,
            "peak_rss_file_bytes": file,
            "peak_rss_split_reason": reason,
            "tree_peak_rss_bytes": _family_peak(memory.peak_rss_bytes, watch),
            "tree_processes": watch.processes,
        }
    )


def _family_peak(peak: int | None, watch: FamilyWatch) -> int:
    if peak is None:
        return watch.peak_rss
    # A process alone has a peak by the kernel; and between two looks it may have held more than
    # all of the family that was seen.
    return peak if watch.processes == 1 else max(watch.peak_rss, peak)


def _split(peak: int | None, seen: HostMemory) -> tuple[int | None, int | None, str | None]:
    if peak is None:
        return None, None, "the peak itself is not known"
    if seen.rss < SEEN_SHARE * peak:
        most = f"{seen.rss / 2**20:.0f} of {peak / 2**20:.0f} MiB"
        return None, None, f"the peak passed between two looks: {most} were seen"
    return seen.anonymous, seen.file, None
