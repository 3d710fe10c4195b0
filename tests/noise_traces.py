"""Synthetic devices: what a recording of the noise floor looks like when its cause is known."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from profiler.noise.trace import Block
from profiler.result import Preflight

SLICE_NS = 1_500_000.0
SLICES = 160
CPUS = 4

Floats = NDArray[np.float64]


class NoGpu(ModuleType):
    class NVMLError(Exception):
        pass

    def nvmlInit(self) -> None:  # noqa: N802
        raise self.NVMLError


@dataclass
class Trace:
    """A synthetic device. What differs from block to block is an array, one value each.

    Attributes:
        stretch: factor on the time that the work itself takes.
        delay: share of a block's time that the work waits for a CPU, in turns of 3 ms.
        stolen: share of the CPU time that the hypervisor takes.
        others: CPUs that other programs keep busy.
    """

    blocks: int = 40
    jitter: float = 0.002
    stretch: Floats | float = 1.0
    delay: Floats | float = 0.0
    stolen: float = 0.0
    others: float = 0.0
    clock: Floats | float | None = 3.0e9
    highest: Floats | float | None = 3.0e9
    temperature: Floats | float | None = 50.0
    memory: float = 0.0
    extra: dict[str, Any] = field(default_factory=dict)

    def build(self, seed: int = 1) -> list[Block]:
        rng = np.random.default_rng(seed)
        return [self._block(rng, index) for index in range(self.blocks)]

    def _at(self, value: Floats | float | None, index: int) -> float | None:
        return float(value[index]) if isinstance(value, np.ndarray) else value

    def _block(self, rng: np.random.Generator, index: int) -> Block:
        stretch, delay = self._at(self.stretch, index), self._at(self.delay, index)
        assert stretch is not None
        assert delay is not None
        work = SLICE_NS * stretch * rng.lognormal(0, self.jitter, SLICES)
        turns = rng.poisson(delay / (1 - delay) * work.sum() / 3e6) if delay else 0
        slices = work.copy()
        np.add.at(slices, rng.integers(0, SLICES, turns), 3e6)
        wall = float(slices.sum()) / 1e9
        machine = wall * CPUS
        cpu = float(work.sum()) / 1e9
        begin = int(index * 3e8)
        block = Block(
            start_ns=begin,
            end_ns=begin + int(slices.sum()),
            slices_ns=slices.astype(np.int64),
            cpu_seconds=cpu,
            involuntary_switches=int(turns),
            run_delay_seconds=turns * 3e-3,
            machine_seconds=machine,
            busy_seconds=min(machine, cpu + self.others * wall),
            stolen_seconds=self.stolen * (cpu + self.others * wall),
            cpu_pressure_seconds=turns * 3e-3,
            memory_pressure_seconds=self.memory * wall,
            cpu=0,
            clock_hertz=self._at(self.clock, index),
            highest_clock_hertz=self._at(self.highest, index),
            temperature_celsius=self._at(self.temperature, index),
            throttled=False,
            undervoltage=None,
        )
        return replace(block, **self.extra)


def state(**changes: Any) -> Preflight:
    values: dict[str, Any] = {
        "governors": ("performance",),
        "turbo": True,
        "cpu_clock_hertz": (3.0e9,),
        "cpu_affinity": (0, 1, 2, 3),
        "isolated_cpus": (),
        "smt": False,
        "power_mode": None,
        "on_battery": False,
        "temperatures_celsius": {},
        "load_average_1m": 0.0,
        "cpu_pressure_avg10": 0.0,
        "memory_pressure_avg10": 0.0,
        "swap_used_bytes": 0,
        "accelerator_driver": None,
        "accelerator_processes": None,
    }
    return Preflight.model_validate(values | changes)


def wander(size: float, blocks: int = 40, seed: int = 2) -> Floats:
    """A factor that differs from block to block, correlated like a busy host."""
    rng = np.random.default_rng(seed)
    level, found = 0.0, []
    for _ in range(blocks):
        level = 0.5 * level + rng.normal()
        found.append(level)
    values = np.array(found)
    return np.asarray(np.exp(size * (values - values.mean()) / values.std()))
