"""NVML's batched fields: which are asked for, and how an answer becomes a value in SI units.

``nvmlDeviceGetFieldValues`` answers many questions in one call, each with a status of its own.
Numbers and units: NVIDIA, *NVML API Reference Guide*, "Field Value Enums". They are written down
here because older bindings lack some of the names; a test holds them against the real module.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any, NamedTuple

from profiler.sensors.base import Quantity, ThrottleCause

_MILLI = 1e-3
_NANO = 1e-9


class Field(NamedTuple):
    """One field.

    Attributes:
        number: NVML's.
        name: of the constant in ``pynvml``.
        label: behind the GPU's, or empty.
    """

    number: int
    name: str
    label: str
    quantity: Quantity
    factor: float
    cause: ThrottleCause | None = None


ENERGY = Field(
    83, "NVML_FI_DEV_TOTAL_ENERGY_CONSUMPTION", "", Quantity.ENERGY, _MILLI
)  # fmt: skip
INSTANT = Field(186, "NVML_FI_DEV_POWER_INSTANT", "instant", Quantity.POWER, _MILLI)
AVERAGE = Field(185, "NVML_FI_DEV_POWER_AVERAGE", "average", Quantity.POWER, _MILLI)
POWER_FIELDS = (INSTANT, AVERAGE)
# Nanoseconds since the driver was loaded in which the clocks were held back, by cause.
THROTTLE_FIELDS = (
    Field(74, "NVML_FI_DEV_CLOCKS_EVENT_REASON_SW_POWER_CAP", "power-cap", Quantity.THROTTLED,
          _NANO, ThrottleCause.POWER_LIMIT),
    Field(269, "NVML_FI_DEV_CLOCKS_EVENT_REASON_SW_THERM_SLOWDOWN", "sw-thermal",
          Quantity.THROTTLED, _NANO, ThrottleCause.HEAT),
    Field(270, "NVML_FI_DEV_CLOCKS_EVENT_REASON_HW_THERM_SLOWDOWN", "hw-thermal",
          Quantity.THROTTLED, _NANO, ThrottleCause.HEAT),
    Field(271, "NVML_FI_DEV_CLOCKS_EVENT_REASON_HW_POWER_BRAKE_SLOWDOWN", "power-brake",
          Quantity.THROTTLED, _NANO, ThrottleCause.POWER_BRAKE),
)  # fmt: skip
FIELDS = (ENERGY, *POWER_FIELDS, *THROTTLE_FIELDS)


class Reason(NamedTuple):
    """One bit of the clocks-event reasons; ``name`` is of the constant in ``pynvml``."""

    bit: int
    name: str
    label: str
    cause: ThrottleCause


# 0x1 is an idle GPU, 0x2 and 0x100 a user's or a screen's setting: no throttling.
REASONS = (
    Reason(0x4, "nvmlClocksEventReasonSwPowerCap", "power-cap", ThrottleCause.POWER_LIMIT),
    Reason(0x8, "nvmlClocksEventReasonHwSlowdown", "hw-slowdown", ThrottleCause.HARDWARE),
    Reason(0x20, "nvmlClocksEventReasonSwThermalSlowdown", "sw-thermal", ThrottleCause.HEAT),
    Reason(0x40, "nvmlClocksEventReasonHwThermalSlowdown", "hw-thermal", ThrottleCause.HEAT),
    Reason(0x80, "nvmlClocksEventReasonHwPowerBrakeSlowdown", "power-brake",
           ThrottleCause.POWER_BRAKE),
)  # fmt: skip

# Member of the value's union by its type (nvmlValueType_t).
MEMBERS = {0: "dVal", 1: "uiVal", 2: "ulVal", 3: "ullVal", 4: "sllVal", 5: "siVal", 6: "usVal"}


def field_value(m: ModuleType, answer: Any, field: Field) -> float:
    """The answer's value in SI units.

    Raises:
        NVMLError: the GPU refused this field.
        ValueError: the answer is of an unknown type, or negative.
    """
    if answer.nvmlReturn != m.NVML_SUCCESS:
        raise m.NVMLError(answer.nvmlReturn)
    member = MEMBERS.get(answer.valueType)
    if member is None:
        raise ValueError(f"{field.name} is of the unknown type {answer.valueType}")
    value = float(getattr(answer.value, member)) * field.factor
    if not 0 <= value < float("inf"):
        raise ValueError(f"{field.name} is {value:g}")
    return value
