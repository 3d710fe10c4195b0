"""Who uses the GPU, through which driver, within which limit. Not to be asked while timing.

Listing the processes of a GPU takes milliseconds in the driver, and its lock stalls launches.
"""

from __future__ import annotations

import importlib
import os
import re
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, NamedTuple

from profiler.result import AcceleratorProcess
from profiler.sensors.probe import first_line

# Deeper than this is no process tree but a loop in what was read.
_MOST_ANCESTORS = 64


class AcceleratorUse(NamedTuple):
    """``None``: there is no NVIDIA driver, or it does not tell.

    ``power_limits_watts`` are those in force, one for each GPU.
    """

    driver: str | None
    processes: tuple[AcceleratorProcess, ...] | None
    power_limits_watts: tuple[float | None, ...] | None = None


UNKNOWN = AcceleratorUse(None, None)


def read_accelerator_use(
    root: Path = Path("/"), module: ModuleType | None = None, own: int | None = None
) -> AcceleratorUse:
    """The NVIDIA driver's version, the power limits, and the processes that are not ours.

    Args:
        root: of the filesystem, for the names of processes.
        module: ``pynvml`` or a stand-in for it; imported when ``None``.
        own: the process whose whole tree is ours; ``None`` is the calling one.
    """
    if module is None:
        try:
            module = importlib.import_module("pynvml")
        except ImportError:
            return UNKNOWN
    try:
        module.nvmlInit()
    except module.NVMLError:
        return UNKNOWN
    try:
        return _read(module, root, os.getpid() if own is None else own)
    finally:
        module.nvmlShutdown()


class OwnUse(NamedTuple):
    """What the driver shows for one process on all GPUs together, or why it shows nothing."""

    memory_bytes: int | None
    reason: str | None


def read_own_use(pid: int, module: ModuleType | None = None) -> OwnUse:
    """GPU memory of a process as the driver sees it: its context is in it, and its libraries'.

    Args:
        pid: of the process.
        module: ``pynvml`` or a stand-in for it; imported when ``None``.
    """
    if module is None:
        try:
            module = importlib.import_module("pynvml")
        except ImportError:
            return OwnUse(None, "nvidia-ml-py is not installed")
    try:
        module.nvmlInit()
    except module.NVMLError as error:
        return OwnUse(None, f"the NVIDIA driver's library does not answer: {error}")
    try:
        return _own(module, pid)
    finally:
        module.nvmlShutdown()


def _own(m: ModuleType, pid: int) -> OwnUse:
    try:
        count = m.nvmlDeviceGetCount()
    except m.NVMLError as error:
        return OwnUse(None, f"the NVIDIA driver does not list its GPUs: {error}")
    listed = [_of_gpu(m, Path("/"), index) for index in range(count)]
    known = [processes for processes in listed if processes is not None]
    if not known:
        return OwnUse(None, "the driver does not list the processes of this device's GPUs")
    mine = [process for processes in known for process in processes if process.pid == pid]
    if not mine:
        return OwnUse(
            None,
            f"the driver lists no process {pid} on its GPUs; inside a container it counts the "
            "processes by the host's numbers",
        )
    sizes = [process.memory_bytes for process in mine if process.memory_bytes is not None]
    if len(sizes) < len(mine):
        return OwnUse(None, "the driver does not tell how much memory a process has")
    return OwnUse(sum(sizes), None)


def _read(m: ModuleType, root: Path, own: int) -> AcceleratorUse:
    try:
        version = m.nvmlSystemGetDriverVersion()
        count = m.nvmlDeviceGetCount()
    except m.NVMLError:
        return UNKNOWN
    # Older bindings answer in bytes.
    driver = version.decode(errors="replace") if isinstance(version, bytes) else str(version)
    listed = [_of_gpu(m, root, index) for index in range(count)]
    limits = tuple(_power_limit(m, index) for index in range(count)) or None
    known = [processes for processes in listed if processes is not None]
    if not known:
        return AcceleratorUse(driver, None, limits)
    others = [p for processes in known for p in processes if own not in _lineage(root, p.pid)]
    return AcceleratorUse(driver, tuple(others), limits)


def _power_limit(m: ModuleType, index: int) -> float | None:
    """Watts, the lowest of all limits that are set; ``None`` where the GPU has none (a Jetson)."""
    try:
        milliwatts = m.nvmlDeviceGetEnforcedPowerLimit(m.nvmlDeviceGetHandleByIndex(index))
    except m.NVMLError:
        return None
    return float(milliwatts) / 1000


def _of_gpu(m: ModuleType, root: Path, index: int) -> list[AcceleratorProcess] | None:
    """``None``: this GPU or driver does not list them (a Jetson, Windows's Linux)."""
    try:
        handle = m.nvmlDeviceGetHandleByIndex(index)
        compute = m.nvmlDeviceGetComputeRunningProcesses(handle)
    except m.NVMLError:
        return None
    try:
        graphics = m.nvmlDeviceGetGraphicsRunningProcesses(handle)
    except m.NVMLError:
        graphics = []
    found = [_process(root, index, entry, "compute") for entry in compute]
    computing = {process.pid for process in found}
    return found + [
        _process(root, index, entry, "graphics") for entry in graphics if entry.pid not in computing
    ]


def _process(
    root: Path, index: int, entry: Any, kind: Literal["compute", "graphics"]
) -> AcceleratorProcess:
    used = entry.usedGpuMemory
    return AcceleratorProcess(
        accelerator=index,
        pid=entry.pid,
        kind=kind,
        # In a container the driver's numbers are the host's, and name nobody here.
        name=first_line(root / f"proc/{entry.pid}/comm"),
        memory_bytes=used if isinstance(used, int) and used >= 0 else None,
    )


def _lineage(root: Path, pid: int) -> set[int]:
    """The process and its ancestors."""
    seen: set[int] = set()
    while pid > 0 and pid not in seen and len(seen) < _MOST_ANCESTORS:
        seen.add(pid)
        status = first_line(root / f"proc/{pid}/status") or ""
        parent = re.search(r"^PPid:\s*(\d+)", status, re.MULTILINE)
        pid = int(parent.group(1)) if parent else 0
    return seen
