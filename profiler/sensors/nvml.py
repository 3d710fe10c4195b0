"""NVIDIA GPUs through NVML, the driver's own library.

``pynvml`` (distribution ``nvidia-ml-py``) is imported when the source is opened, not before. Units
and semantics: NVIDIA, *NVML API Reference Guide*, "Device Queries".
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from profiler.result import AbsentSource, EnergyScope
from profiler.sensors.base import Channel, Quantity
from profiler.sensors.probe import Probe, ProbeSource
from profiler.sensors.site import Site

NVML = "nvml"

# Typical of the sensor behind both the counter and the power reading, see arXiv 2312.02741.
_UPDATE_PERIOD_SECONDS = 0.1
# nvmlDeviceGetPowerUsage on Ampere and later, GA100 excepted: a mean over one second.
_AVERAGING_SECONDS = 1.0
_GA100_NAMES = frozenset({"A100", "A100X", "A30", "A30X", "A800", "CMP"})
# The driver states 5 %; from -8 to +13 %, by card, was seen against external meters.
_CALIBRATION_ERROR = 0.13

_MILLI = 1e-3
_MEGA = 1e6
_PERCENT = 1e-2


@dataclass(frozen=True)
class _Measure:
    """One quantity of a GPU, and how it is read in SI units from (module, handle)."""

    quantity: Quantity
    fetch: Callable[[Any, Any], float]
    resolution: float | None = None


_MEASURES = (
    _Measure(
        Quantity.ENERGY, lambda m, h: m.nvmlDeviceGetTotalEnergyConsumption(h) * _MILLI, _MILLI
    ),
    _Measure(Quantity.POWER, lambda m, h: m.nvmlDeviceGetPowerUsage(h) * _MILLI, _MILLI),
    _Measure(
        Quantity.TEMPERATURE,
        lambda m, h: float(m.nvmlDeviceGetTemperature(h, m.NVML_TEMPERATURE_GPU)),
    ),
    _Measure(Quantity.UTILIZATION, lambda m, h: m.nvmlDeviceGetUtilizationRates(h).gpu * _PERCENT),
    _Measure(Quantity.MEMORY_USED, lambda m, h: float(m.nvmlDeviceGetMemoryInfo(h).used)),
    _Measure(Quantity.MEMORY_TOTAL, lambda m, h: float(m.nvmlDeviceGetMemoryInfo(h).total)),
    _Measure(Quantity.CLOCK, lambda m, h: m.nvmlDeviceGetClockInfo(h, m.NVML_CLOCK_SM) * _MEGA),
)


def open_nvml(site: Site) -> ProbeSource | AbsentSource:
    """Energy, power, temperature, load, memory and clock of every GPU.

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
        return _closed(module, "the driver is loaded but no GPU answers it")
    return ProbeSource(
        NVML, probes, close=module.nvmlShutdown, failures=(module.NVMLError, OSError, ValueError)
    )


def _probes(m: ModuleType) -> list[Probe]:
    probes: list[Probe] = []
    for index in range(m.nvmlDeviceGetCount()):
        try:
            handle = m.nvmlDeviceGetHandleByIndex(index)
        except m.NVMLError:
            # One GPU that fell off the bus does not take the others along.
            continue
        name = _text(_ask(m, m.nvmlDeviceGetName, handle))
        probes += [
            _probe(m, handle, measure, _channel(m, handle, f"gpu{index}", name, measure))
            for measure in _MEASURES
            if _supported(m, handle, measure)
        ]
    return probes


def _supported(m: ModuleType, handle: Any, measure: _Measure) -> bool:
    """Whether the GPU has the sensor at all; an answer that merely failed is read again later."""
    try:
        measure.fetch(m, handle)
    except (m.NVMLError_NotSupported, m.NVMLError_FunctionNotFound, m.NVMLError_NoPermission):
        return False
    except m.NVMLError:
        return True
    return True


def _probe(m: ModuleType, handle: Any, measure: _Measure, channel: Channel) -> Probe:
    return Probe(channel, lambda: measure.fetch(m, handle))


def _channel(m: ModuleType, handle: Any, label: str, name: str, measure: _Measure) -> Channel:
    quantity = measure.quantity
    metered = quantity in (Quantity.ENERGY, Quantity.POWER)
    averaged = quantity is Quantity.POWER and _averages(m, handle, name)
    return Channel(
        source=NVML,
        label=label,
        quantity=quantity,
        scope=_scope(name) if metered else None,
        update_period_seconds=_UPDATE_PERIOD_SECONDS if metered else None,
        resolution=measure.resolution,
        averaging_seconds=_AVERAGING_SECONDS if averaged else None,
        calibration_error=_CALIBRATION_ERROR if metered else None,
    )


def _scope(name: str) -> EnergyScope:
    """A GPU on a card of its own; on a Grace Hopper module its readings cover the whole module."""
    return EnergyScope.MODULE if "GH200" in name else EnergyScope.ACCELERATOR


def _averages(m: ModuleType, handle: Any, name: str) -> bool:
    architecture = _ask(m, m.nvmlDeviceGetArchitecture, handle)
    if architecture is None or int(architecture) < m.NVML_DEVICE_ARCH_AMPERE:
        return False
    return not _GA100_NAMES & set(name.replace("-", " ").split())


def _ask(m: ModuleType, function: Callable[[Any], Any], handle: Any) -> Any:
    """A constant of the GPU, or ``None`` where this GPU or driver does not tell."""
    try:
        return function(handle)
    except m.NVMLError:
        return None


def _text(name: str | bytes | None) -> str:
    """Older bindings answer in bytes."""
    return name.decode(errors="replace") if isinstance(name, bytes) else name or ""


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
