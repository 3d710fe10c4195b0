"""The device that was measured on: its software, and its state just before."""

from __future__ import annotations

from typing import Literal

from profiler.base import Frozen


class AcceleratorProcess(Frozen):
    """A process that has a context on a GPU, other than ours, as the driver lists it.

    ``name`` and ``memory_bytes`` are ``None`` where the driver or the kernel does not tell.
    """

    accelerator: int
    pid: int
    kind: Literal["compute", "graphics"]
    name: str | None
    memory_bytes: int | None


class Preflight(Frozen):
    """The state of the device just before the first repetition. ``None``: not to be known here.

    Attributes:
        governors: in use, each once; empty where the kernel does not scale clocks.
        cpu_clock_hertz: one for each group of CPUs that share a clock.
        power_mode: what limits clocks and power, each part with its name.
        power_mode_highest: whether every part is the one that allows most.
        temperatures_celsius: of the hottest thermal zones, by the kernel's name.
        throttle_margin_celsius: how far the zone nearest to it is below where the kernel throttles.
        load_average_1m: tasks that ran or waited.
        cpu_pressure_avg10: percent of the last 10 s in which some task waited for a CPU.
        memory_pressure_avg10: the same for memory.
        accelerator_processes: other than ours.
        accelerator_power_limits_watts: in force, for each GPU.
    """

    governors: tuple[str, ...]
    turbo: bool | None
    cpu_clock_hertz: tuple[float, ...]
    cpu_affinity: tuple[int, ...]
    isolated_cpus: tuple[int, ...]
    smt: bool | None
    power_mode: str | None
    power_mode_highest: bool | None = None
    on_battery: bool | None
    temperatures_celsius: dict[str, float]
    throttle_margin_celsius: float | None = None
    load_average_1m: float | None
    cpu_pressure_avg10: float | None
    memory_pressure_avg10: float | None
    swap_used_bytes: int | None
    accelerator_driver: str | None
    accelerator_processes: tuple[AcceleratorProcess, ...] | None
    accelerator_power_limits_watts: tuple[float | None, ...] | None = None


class Environment(Frozen):
    """The device and its software at the time of the run; see ``profiler.device.environment``."""

    os: str
    kernel: str
    architecture: str
    cpu_model: str
    cpu_count: int
    cpu_affinity: tuple[int, ...]
    memory_total_bytes: int | None
    board: str | None
    virtualization: str | None
    governors: tuple[str, ...]
    python: str
    packages: dict[str, str]
    worker_environment: dict[str, str]
    load_average_1m: float | None
    cpu_pressure_avg10: float | None
    accelerator_name: str | None = None
    fleetmark: str
