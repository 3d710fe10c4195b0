"""The stand-ins that the other tools read: pynvml's functions, and a powercap tree."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from tests.benchmarks.energy_peers.scene import MILLI, Scene

_MICRO = 1e-6


@contextmanager
def nvml(scene: Scene) -> Iterator[Any]:
    """The real module's functions answer for one GPU of the scene; its constants stay."""
    import pynvml

    def unsupported(*_: Any) -> Any:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)

    def total(_handle: Any) -> int:
        if scene.counter is None:
            unsupported()
        return round(scene.joules() / MILLI)

    def fields(_handle: Any, _asked: Any) -> list[Any]:
        value = SimpleNamespace(uiVal=round(scene.watts() / MILLI))
        return [SimpleNamespace(nvmlReturn=pynvml.NVML_SUCCESS, value=value)]

    architecture = "NVML_DEVICE_ARCH_PASCAL" if scene.counter is None else "NVML_DEVICE_ARCH_HOPPER"
    with patch.multiple(
        pynvml,
        nvmlInit=lambda: None,
        nvmlShutdown=lambda: None,
        nvmlDeviceGetCount=lambda: 1,
        nvmlDeviceGetHandleByIndex=lambda _: "gpu0",
        nvmlDeviceGetName=lambda _: "simulated",
        nvmlDeviceGetUUID=lambda _: "GPU-0",
        nvmlDeviceGetC2cModeInfoV=unsupported,
        nvmlDeviceGetArchitecture=lambda _: getattr(pynvml, architecture),
        nvmlDeviceGetTotalEnergyConsumption=total,
        nvmlDeviceGetPowerUsage=lambda _: round(scene.watts() / MILLI),
        nvmlDeviceGetEnforcedPowerLimit=lambda _: 400_000,
        nvmlDeviceGetFieldValues=fields,
        nvmlDeviceGetMemoryInfo=lambda _: SimpleNamespace(total=1, free=1, used=0),
    ):
        yield pynvml


class Powercap:
    """A powercap tree with one package, written anew whenever the time moves."""

    def __init__(self, scene: Scene, directory: Path) -> None:
        self._scene = scene
        self.root = directory / "intel-rapl"
        self._zone = self.root / "intel-rapl:0"
        self._zone.mkdir(parents=True)
        (self._zone / "name").write_text("package-0\n")
        counter = scene.counter
        if counter is None or counter.wraps_at is None:
            raise ValueError("a powercap counter wraps")
        highest = round(counter.wraps_at / _MICRO) - 1
        (self._zone / "max_energy_range_uj").write_text(f"{highest}\n")

    def move_to(self, now: float) -> None:
        self._scene.now = now
        try:
            text = f"{round(self._scene.joules() / _MICRO)}\n"
        except OSError:
            # A driver that fails gives no number; a file cannot raise, so it is empty.
            text = ""
        (self._zone / "energy_uj").write_text(text)
