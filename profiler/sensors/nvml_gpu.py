"""The channels of one NVIDIA GPU, found by asking once and reading what it answered."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from profiler.result import EnergyScope
from profiler.sensors.base import Channel, Quantity
from profiler.sensors.nvml_fields import (
    AVERAGE,
    ENERGY,
    FIELDS,
    INSTANT,
    REASONS,
    THROTTLE_FIELDS,
    Field,
    field_value,
)
from profiler.sensors.probe import Group, Probe, error_text, plausible_watts

NVML = "nvml"

# Typical of the sensor behind both the counter and the power reading, see arXiv 2312.02741.
_UPDATE_PERIOD_SECONDS = 0.1
# nvmlDeviceGetPowerUsage on Ampere and later, GA100 excepted, and the field "average": a mean over
# one second.
_AVERAGING_SECONDS = 1.0
# The sensor of A100 and H100 looks at 25 ms of each 100 (arXiv 2312.02741), for the counter too.
_LOOK_SECONDS = 0.025
_GA100_NAMES = frozenset({"A100", "A100X", "A30", "A30X", "A800", "CMP"})
# The driver states 5 %; from -8 to +13 %, by card, was seen against external meters.
_CALIBRATION_ERROR = 0.13

_MILLI = 1e-3
_MEGA = 1e6
_PERCENT = 1e-2

_MIG = "MIG is on: this is of the whole GPU, all of its instances together"


@dataclass(frozen=True)
class Gpu:
    """A GPU that answers: the driver's module, its handle, its name and what is told of it."""

    m: ModuleType
    handle: Any
    label: str
    name: str
    averages: bool
    looks_briefly: bool
    mig: bool

    def channel(self, label: str, quantity: Quantity, **more: Any) -> Channel:
        """A channel of this GPU; ``label`` goes behind its own."""
        metered = quantity in (Quantity.ENERGY, Quantity.POWER)
        if metered and self.looks_briefly and more.get("averaging_seconds") is None:
            more["averaging_seconds"] = _LOOK_SECONDS
        name = f"{self.label}:{label}" if label else self.label
        return Channel(
            source=NVML,
            label=name,
            quantity=quantity,
            scope=scope_of(self.name) if metered else None,
            update_period_seconds=_UPDATE_PERIOD_SECONDS if metered else None,
            resolution=_MILLI if metered else None,
            calibration_error=_CALIBRATION_ERROR if metered else None,
            note=_MIG if self.mig else None,
            **more,
        )


@dataclass(frozen=True)
class Measure:
    """One quantity of a GPU, and how it is read in SI units from (module, handle)."""

    label: str
    quantity: Quantity
    fetch: Callable[[Any, Any], float]


def _energy(m: Any, handle: Any) -> float:
    return float(m.nvmlDeviceGetTotalEnergyConsumption(handle) * _MILLI)


def _power(m: Any, handle: Any) -> float:
    return plausible_watts(m.nvmlDeviceGetPowerUsage(handle) * _MILLI)


_MEASURES = (
    Measure(
        "",
        Quantity.TEMPERATURE,
        lambda m, h: float(m.nvmlDeviceGetTemperature(h, m.NVML_TEMPERATURE_GPU)),
    ),
    Measure(
        "",
        Quantity.UTILIZATION,
        lambda m, h: m.nvmlDeviceGetUtilizationRates(h).gpu * _PERCENT,
    ),
    Measure(
        "",
        Quantity.CLOCK,
        lambda m, h: m.nvmlDeviceGetClockInfo(h, m.NVML_CLOCK_SM) * _MEGA,
    ),
    Measure(
        "memory",
        Quantity.CLOCK,
        lambda m, h: m.nvmlDeviceGetClockInfo(h, m.NVML_CLOCK_MEM) * _MEGA,
    ),
    Measure(
        "",
        Quantity.POWER_LIMIT,
        lambda m, h: m.nvmlDeviceGetEnforcedPowerLimit(h) * _MILLI,
    ),
)


def scope_of(name: str) -> EnergyScope:
    """A GPU on a card of its own; on a Grace Hopper module its readings cover the whole module."""
    return EnergyScope.MODULE if "GH200" in name else EnergyScope.ACCELERATOR


def describe(m: ModuleType, handle: Any, label: str) -> Gpu:
    """What decides how the GPU's answers are to be taken."""
    name = _text(_ask(m, m.nvmlDeviceGetName, handle))
    mode = _ask(m, m.nvmlDeviceGetMigMode, handle)
    return Gpu(
        m=m,
        handle=handle,
        label=label,
        name=name,
        averages=_averages(m, handle, name),
        looks_briefly=_is_ga100(name) or _architecture(m, handle) == m.NVML_DEVICE_ARCH_HOPPER,
        mig=bool(mode and mode[0] == m.NVML_DEVICE_MIG_ENABLE),
    )


def gpu_probes(gpu: Gpu) -> list[Probe | Group]:
    """Everything that this GPU answers; energy and power first."""
    fields = _answered(gpu)
    probes: list[Probe | Group] = []
    if fields:
        probes.append(_field_group(gpu, fields))
    singles = []
    if ENERGY not in fields:
        singles.append(Measure("", Quantity.ENERGY, _energy))
    if INSTANT not in fields and AVERAGE not in fields:
        singles.append(Measure("", Quantity.POWER, _power))
    found = [_probe(gpu, measure) for measure in (*singles, *_MEASURES)]
    probes += [probe for probe in found if _supported(gpu.m, probe.fetch)]
    if _supported(gpu.m, lambda: gpu.m.nvmlDeviceGetMemoryInfo(gpu.handle)):
        probes.append(_memory_group(gpu))
    # Sampled flags miss what happens between two readings: only where no counter is told.
    if not set(THROTTLE_FIELDS) & set(fields) and _supported(gpu.m, lambda: _reasons(gpu)):
        probes.append(_reason_group(gpu))
    return probes


def _answered(gpu: Gpu) -> tuple[Field, ...]:
    """The fields that this GPU has; one that merely failed is asked again later."""
    try:
        answers = gpu.m.nvmlDeviceGetFieldValues(gpu.handle, [field.number for field in FIELDS])
    except (gpu.m.NVMLError, AttributeError):
        # Drivers and bindings before batched fields, and a Jetson.
        return ()
    absent = {gpu.m.NVML_ERROR_NOT_SUPPORTED, gpu.m.NVML_ERROR_NO_PERMISSION}
    # What a driver does not know it calls an invalid argument.
    absent.add(gpu.m.NVML_ERROR_INVALID_ARGUMENT)
    pairs = zip(FIELDS, answers, strict=True)
    return tuple(field for field, answer in pairs if answer.nvmlReturn not in absent)


def _field_group(gpu: Gpu, fields: Sequence[Field]) -> Group:
    numbers = [field.number for field in fields]

    def one(answer: Any, field: Field) -> float | str:
        try:
            value = field_value(gpu.m, answer, field)
            return plausible_watts(value) if field.quantity is Quantity.POWER else value
        except (gpu.m.NVMLError, ValueError) as error:
            return error_text(error)

    def fetch() -> list[float | str]:
        answers = gpu.m.nvmlDeviceGetFieldValues(gpu.handle, numbers)
        return [one(answer, field) for answer, field in zip(answers, fields, strict=True)]

    return Group(tuple(_field_channel(gpu, field) for field in fields), fetch)


def _field_channel(gpu: Gpu, field: Field) -> Channel:
    averaged = field is AVERAGE and gpu.averages
    return gpu.channel(
        field.label,
        field.quantity,
        cause=field.cause,
        averaging_seconds=_AVERAGING_SECONDS if averaged else None,
    )


def _probe(gpu: Gpu, measure: Measure) -> Probe:
    averaged = measure.quantity is Quantity.POWER and gpu.averages
    channel = gpu.channel(
        measure.label,
        measure.quantity,
        averaging_seconds=_AVERAGING_SECONDS if averaged else None,
    )
    return Probe(channel, lambda: measure.fetch(gpu.m, gpu.handle))


def _memory_group(gpu: Gpu) -> Group:
    def fetch() -> list[float | str]:
        now = gpu.m.nvmlDeviceGetMemoryInfo(gpu.handle)
        return [float(now.used), float(now.total)]

    quantities = (Quantity.MEMORY_USED, Quantity.MEMORY_TOTAL)
    return Group(tuple(gpu.channel("", quantity) for quantity in quantities), fetch)


def _reasons(gpu: Gpu) -> int:
    """The bits of this moment; the function had another name before it was called events."""
    name = "nvmlDeviceGetCurrentClocksEventReasons"
    older = "nvmlDeviceGetCurrentClocksThrottleReasons"
    function = getattr(gpu.m, name, None) or getattr(gpu.m, older)
    return int(function(gpu.handle))


def _reason_group(gpu: Gpu) -> Group:
    def fetch() -> list[float | str]:
        now = _reasons(gpu)
        return [float(bool(now & reason.bit)) for reason in REASONS]

    channels = tuple(
        gpu.channel(reason.label, Quantity.THROTTLED_NOW, cause=reason.cause) for reason in REASONS
    )
    return Group(channels, fetch)


def _supported(m: ModuleType, fetch: Callable[[], object]) -> bool:
    """Whether the GPU has the sensor at all; an answer that merely failed is read again later."""
    try:
        fetch()
    except (m.NVMLError_NotSupported, m.NVMLError_FunctionNotFound, m.NVMLError_NoPermission):
        return False
    except AttributeError:
        # An older binding without the function.
        return False
    except (m.NVMLError, ValueError):
        return True
    return True


def _averages(m: ModuleType, handle: Any, name: str) -> bool:
    architecture = _architecture(m, handle)
    if architecture is None or architecture < m.NVML_DEVICE_ARCH_AMPERE:
        return False
    return not _is_ga100(name)


def _architecture(m: ModuleType, handle: Any) -> int | None:
    found = _ask(m, m.nvmlDeviceGetArchitecture, handle)
    return None if found is None else int(found)


def _is_ga100(name: str) -> bool:
    return bool(_GA100_NAMES & set(name.replace("-", " ").split()))


def _ask(m: ModuleType, function: Callable[[Any], Any], handle: Any) -> Any:
    """A constant of the GPU, or ``None`` where this GPU or driver does not tell."""
    try:
        return function(handle)
    except m.NVMLError:
        return None


def _text(name: str | bytes | None) -> str:
    """Older bindings answer in bytes."""
    return name.decode(errors="replace") if isinstance(name, bytes) else name or ""
