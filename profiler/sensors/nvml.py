"""NVIDIA GPUs through NVML, the driver's own library.

``pynvml`` (distribution ``nvidia-ml-py``) is imported when the source is opened, not before. Units
and semantics: NVIDIA, *NVML API Reference Guide*, "Device Queries".
"""

from __future__ import annotations

import importlib
from types import ModuleType

from profiler.result import AbsentSource
from profiler.sensors.nvml_gpu import NVML, describe, gpu_probes
from profiler.sensors.probe import Group, Probe, ProbeSource
from profiler.sensors.site import Site


def open_nvml(site: Site) -> ProbeSource | AbsentSource:
    """Energy, power, temperature, load, memory, clocks and throttling of every GPU.

    What a GPU answers with "not supported" is no channel of it; the others remain.
    """
    module = site.pynvml
    if module is None:
        if site.recorded:
            reason = "a recorded tree holds no answers of NVIDIA's driver"
            return AbsentSource(source=NVML, reason=reason, expected=False)
        try:
            module = importlib.import_module("pynvml")
        except ImportError:
            return _not_installed(site)
    try:
        module.nvmlInit()
    except module.NVMLError as error:
        return _no_driver(module, error)
    try:
        probes = _probes(module)
    except module.NVMLError as error:
        return _closed(module, f"the driver failed while its GPUs were listed: {error}")
    if not probes:
        return _closed(
            module,
            "the driver is loaded, but no GPU answers it or all it answers is 'not supported', as "
            "on a Jetson, whose rails the source jetson reads",
        )
    return ProbeSource(
        NVML, probes, close=module.nvmlShutdown, failures=(module.NVMLError, OSError, ValueError)
    )


def _probes(m: ModuleType) -> list[Probe | Group]:
    probes: list[Probe | Group] = []
    for index in range(m.nvmlDeviceGetCount()):
        try:
            handle = m.nvmlDeviceGetHandleByIndex(index)
        except m.NVMLError:
            # One GPU that fell off the bus does not take the others along.
            continue
        probes += gpu_probes(describe(m, handle, f"gpu{index}"))
    return probes


def _closed(m: ModuleType, reason: str) -> AbsentSource:
    m.nvmlShutdown()
    return AbsentSource(source=NVML, reason=reason, remedy="See what `nvidia-smi` says.")


def _not_installed(site: Site) -> AbsentSource:
    """Only where there is a GPU would installing the package help."""
    if (site.root / "dev/nvidiactl").exists():
        reason = "the Python package nvidia-ml-py is not installed"
    else:
        reason = "the Python package nvidia-ml-py is not installed, and no NVIDIA driver is loaded"
    return AbsentSource(source=NVML, reason=reason, remedy="pip install 'fleetmark[nvidia]'")


def _no_driver(m: ModuleType, error: Exception) -> AbsentSource:
    if isinstance(error, m.NVMLError_LibraryNotFound):
        reason = "no NVIDIA driver: the library libnvidia-ml.so.1 is not there"
        return AbsentSource(
            source=NVML,
            reason=reason,
            remedy="With an NVIDIA GPU: install its driver; in a container: start it with --gpus.",
        )
    if isinstance(error, m.NVMLError_DriverNotLoaded):
        return AbsentSource(
            source=NVML, reason="the NVIDIA driver is not loaded", remedy="modprobe nvidia"
        )
    return AbsentSource(
        source=NVML, reason=f"NVML does not start: {error}", remedy="See what `nvidia-smi` says."
    )
