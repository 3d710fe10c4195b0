"""Fingerprint of the device and its software, recorded with every run. Reads, never tunes."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
from collections.abc import Mapping
from pathlib import Path

from profiler.result import Environment

# Distributions whose version can change a figure.
PACKAGES = ("torch", "torchvision", "timm", "onnxruntime", "onnxruntime-gpu", "onnx", "numpy")

# What a worker keeps of the environment that it is started from. All else is dropped: Ray sets
# OMP_NUM_THREADS=1 and an empty CUDA_VISIBLE_DEVICES in its workers, which would change results.
KEPT_VARIABLES = (
    "PATH", "HOME", "USER", "LANG", "LC_ALL", "TMPDIR", "XDG_CACHE_HOME", "LD_LIBRARY_PATH",
    "LD_PRELOAD", "PYTHONPATH", "CUDA_HOME", "CUDA_PATH", "NVIDIA_VISIBLE_DEVICES",
    "CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "MALLOC_CONF",
)  # fmt: skip
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def worker_environment(base: Mapping[str, str], threads: int) -> dict[str, str]:
    """The environment of the measured process: chosen, so that it can be recorded.

    Args:
        base: environment to take the kept variables from.
        threads: goes into the variables that OpenMP, MKL and OpenBLAS read.
    """
    chosen = {name: base[name] for name in KEPT_VARIABLES if name in base}
    chosen.update(dict.fromkeys(THREAD_VARIABLES, str(threads)))
    # A hub that cannot be reached must not be tried: models are built or brought, never fetched.
    chosen.update(PYTHONUNBUFFERED="1", HF_HUB_OFFLINE="1", PYTHONHASHSEED="0")
    return chosen


# What of the worker's environment a result shows: not paths or names of people.
RECORDED_VARIABLES = (
    *THREAD_VARIABLES, "LD_PRELOAD", "CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "MALLOC_CONF",
)  # fmt: skip


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip("\0\n ") or None
    except OSError:
        return None


def cpu_model(root: Path = Path("/")) -> str:
    """``model name`` of the first CPU; on ARM, where there is none, the implementer and part."""
    text = _read(root / "proc/cpuinfo") or ""
    for key in ("model name", "Model", "Hardware"):
        if found := re.search(rf"^{key}\s*:\s*(.+)$", text, re.MULTILINE):
            return found.group(1).strip()
    implementer = re.search(r"^CPU implementer\s*:\s*(\S+)", text, re.MULTILINE)
    part = re.search(r"^CPU part\s*:\s*(\S+)", text, re.MULTILINE)
    if implementer and part:
        return f"implementer {implementer.group(1)} part {part.group(1)}"
    return platform.processor() or platform.machine()


def memory_total(root: Path = Path("/")) -> int | None:
    """``MemTotal`` in bytes."""
    found = re.search(r"^MemTotal:\s*(\d+) kB", _read(root / "proc/meminfo") or "", re.MULTILINE)
    return int(found.group(1)) * 1024 if found else None


def board(root: Path = Path("/")) -> str | None:
    """The board's name from the device tree (ARM) or DMI (x86)."""
    return _read(root / "proc/device-tree/model") or _read(
        root / "sys/devices/virtual/dmi/id/product_name"
    )


def virtualization(root: Path = Path("/")) -> str | None:
    """``hypervisor`` on a virtual machine, as the CPU says; ``None`` on bare metal."""
    text = _read(root / "proc/cpuinfo") or ""
    return "hypervisor" if re.search(r"^flags\s*:.*\bhypervisor\b", text, re.MULTILINE) else None


def governors(root: Path = Path("/")) -> tuple[str, ...]:
    """The frequency governors in use, each once; empty where the kernel does not scale clocks."""
    paths = sorted((root / "sys/devices/system/cpu").glob("cpu*/cpufreq/scaling_governor"))
    return tuple(sorted({text for path in paths if (text := _read(path))}))


def load_average(root: Path = Path("/")) -> float | None:
    text = _read(root / "proc/loadavg")
    return float(text.split()[0]) if text else None


def cpu_pressure(root: Path = Path("/")) -> float | None:
    """Percent of the last 10 s in which some task waited for a CPU (``/proc/pressure/cpu``)."""
    found = re.search(r"^some avg10=([\d.]+)", _read(root / "proc/pressure/cpu") or "")
    return float(found.group(1)) if found else None


def package_versions() -> dict[str, str]:
    """Versions of the installed distributions among ``PACKAGES``."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def fleetmark_version() -> str:
    try:
        return importlib.metadata.version("fleetmark")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


def read_environment(
    root: Path = Path("/"),
    accelerator_name: str | None = None,
    variables: Mapping[str, str] | None = None,
) -> Environment:
    """The fingerprint.

    Args:
        root: of the filesystem that describes the device.
        accelerator_name: as its driver tells it.
        variables: the worker's environment; ``None`` when the caller is the worker.
    """
    seen = os.environ if variables is None else variables
    return Environment(
        os=platform.platform(terse=True),
        kernel=platform.release(),
        architecture=platform.machine(),
        cpu_model=cpu_model(root),
        cpu_count=os.cpu_count() or 1,
        cpu_affinity=tuple(sorted(os.sched_getaffinity(0))),
        memory_total_bytes=memory_total(root),
        board=board(root),
        virtualization=virtualization(root),
        governors=governors(root),
        python=platform.python_version(),
        packages=package_versions(),
        worker_environment={k: seen[k] for k in RECORDED_VARIABLES if k in seen},
        load_average_1m=load_average(root),
        cpu_pressure_avg10=cpu_pressure(root),
        accelerator_name=accelerator_name,
        fleetmark=fleetmark_version(),
    )
