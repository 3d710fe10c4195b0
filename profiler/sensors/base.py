"""The protocol between the sampler and a source of readings.

A source is *found* or *absent*, and an absent one says why and what would help. A source that is
found may still fail to read: that gives a reading without a value and with an error, never 0.
Every source is opened with a ``Site``, whose filesystem root may be a recorded device tree: it is
read by the same code.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from profiler.base import Frozen, StrEnum
from profiler.result import AbsentSource, EnergyQuality, EnergyScope, PeriodBasis


class Quantity(StrEnum):
    """What a channel measures; the value names the unit too."""

    POWER = "power_watts"
    ENERGY = "energy_joules"
    TEMPERATURE = "temperature_celsius"
    UTILIZATION = "utilization_ratio"
    MEMORY_USED = "memory_used_bytes"
    MEMORY_TOTAL = "memory_total_bytes"
    CLOCK = "clock_hertz"
    THROTTLED = "throttled_seconds"
    THROTTLED_NOW = "throttled_flag"
    EVENTS = "events_total"
    STALLED = "stalled_seconds"
    COOLING = "cooling_ratio"
    POWER_LIMIT = "power_limit_watts"
    MEMORY_PEAK = "memory_peak_bytes"
    VOLTAGE = "voltage_volts"


class ThrottleCause(StrEnum):
    """Why clocks were lowered, on channels that tell of it.

    ``hardware`` is heat or power, where the chip does not say which; ``cpu_quota`` is a limit of
    this program's control group, not of the device.
    """

    POWER_LIMIT = "power_limit"
    HEAT = "heat"
    HARDWARE = "hardware"
    POWER_BRAKE = "power_brake"
    LOW_VOLTAGE = "low_voltage"
    OVER_CURRENT = "over_current"
    CPU_QUOTA = "cpu_quota"


class Channel(Frozen):
    """One thing that a source measures.

    ``label`` is the kernel's or driver's own (``package-0``, ``VDD_IN``, ``cpu``).

    Attributes:
        scope: set on power and energy; ``None`` there for a part that no scope names (a RAPL
            ``core`` zone), which is recorded but never stands for the run's energy.
        update_period_seconds: how often the sensor has a new value, where that is known.
        period_basis: how that is known; ``None``: as it is stated, nobody looked.
        period_reason: why it was not measured, where somebody looked.
        jitter_seconds: new values lie on a regular beat, off it by so much at most; ``None``: no
            such beat was measured.
        wraps_at: the modulus of a counter that wraps, in the channel's unit.
        resolution: the smallest step of the value, in the channel's unit.
        averaging_seconds: the value is the mean over this long before its update; of a counter,
            what it adds up is. Shorter than the update period: the sensor does not see the rest.
        lag_seconds: by how much the value may be older than ``update_period_seconds`` says.
        calibration_error: relative error of the sensor itself, where it is known.
        quality: set where the value is an estimate, whatever it is integrated from.
        cause: on throttling: seconds (a counter), the flag (1 while it lasts) or events.
        note: what a person should know about it, such as what it does not cover.
    """

    source: str
    label: str
    quantity: Quantity
    scope: EnergyScope | None = None
    update_period_seconds: float | None = None
    period_basis: PeriodBasis | None = None
    period_reason: str | None = None
    jitter_seconds: float | None = None
    wraps_at: float | None = None
    resolution: float | None = None
    averaging_seconds: float | None = None
    lag_seconds: float | None = None
    calibration_error: float | None = None
    quality: EnergyQuality | None = None
    cause: ThrottleCause | None = None
    note: str | None = None

    @property
    def key(self) -> str:
        """Unique within a device: ``source/label/quantity``."""
        return f"{self.source}/{self.label}/{self.quantity.value}"


class Reading(Frozen):
    """One value of one channel.

    ``seconds`` is on the monotonic clock (``time.perf_counter``), midway through the read.
    ``value`` is ``None`` when the read failed; ``error`` then says why.
    """

    channel: str
    seconds: float
    value: float | None
    error: str | None = None


class Source(Protocol):
    """An open source. Files stay open between readings."""

    @property
    def name(self) -> str: ...

    @property
    def channels(self) -> tuple[Channel, ...]: ...

    def read(self, only: Collection[Quantity] | None = None) -> list[Reading]:
        """One reading per channel, in the order of ``channels``; never raises for a failed read.

        A source that is slow to ask may leave out channels that have nothing new since last time.

        Args:
            only: leave out the channels of every other quantity; ``None`` reads all.
        """

    def close(self) -> None: ...


class Discovery(Frozen):
    """What ``discover`` found; the sources themselves are opened separately."""

    channels: tuple[Channel, ...]
    absent: tuple[AbsentSource, ...]
