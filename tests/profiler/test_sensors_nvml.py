"""NVML through a stand-in that has the real module's constants and exceptions."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from profiler.result import AbsentSource, EnergyScope
from profiler.sensors.base import Quantity
from profiler.sensors.nvml import open_nvml
from profiler.sensors.probe import ProbeSource
from profiler.sensors.site import Site

pynvml = pytest.importorskip("pynvml")


class Driver(ModuleType):
    """Two GPUs; ``broken`` maps a function's name to what it raises for a handle."""

    def __init__(self, name: str = "NVIDIA GeForce RTX 4090", gpus: int = 1) -> None:
        super().__init__("pynvml")
        self.name = name
        self.gpus = gpus
        self.broken: dict[str, Callable[[int], Exception | None]] = {}
        self.open = 0
        self.architecture = pynvml.NVML_DEVICE_ARCH_ADA

    def __getattr__(self, name: str) -> Any:
        if name.startswith(("NVML_", "NVMLError")):
            return getattr(pynvml, name)
        raise AttributeError(name)

    def _check(self, function: str, handle: int = 0) -> None:
        error = self.broken.get(function, lambda _: None)(handle)
        if error is not None:
            raise error

    def nvmlInit(self) -> None:  # noqa: N802
        self._check("nvmlInit")
        self.open += 1

    def nvmlShutdown(self) -> None:  # noqa: N802
        self.open -= 1

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        self._check("nvmlDeviceGetCount")
        return self.gpus

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:  # noqa: N802
        self._check("nvmlDeviceGetHandleByIndex", index)
        return index

    def nvmlDeviceGetName(self, handle: int) -> str:  # noqa: N802
        return self.name

    def nvmlDeviceGetArchitecture(self, handle: int) -> int:  # noqa: N802
        self._check("nvmlDeviceGetArchitecture", handle)
        return int(self.architecture)

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: int) -> int:  # noqa: N802
        self._check("nvmlDeviceGetTotalEnergyConsumption", handle)
        return 123_456_789

    def nvmlDeviceGetPowerUsage(self, handle: int) -> int:  # noqa: N802
        self._check("nvmlDeviceGetPowerUsage", handle)
        return 31_250

    def nvmlDeviceGetTemperature(self, handle: int, sensor: int) -> int:  # noqa: N802
        assert sensor == pynvml.NVML_TEMPERATURE_GPU
        return 41

    def nvmlDeviceGetUtilizationRates(self, handle: int) -> Any:  # noqa: N802
        return SimpleNamespace(gpu=25, memory=3)

    def nvmlDeviceGetMemoryInfo(self, handle: int) -> Any:  # noqa: N802
        self._check("nvmlDeviceGetMemoryInfo", handle)
        return SimpleNamespace(total=24 * 2**30, used=2**30, free=23 * 2**30)

    def nvmlDeviceGetClockInfo(self, handle: int, clock: int) -> int:  # noqa: N802
        assert clock == pynvml.NVML_CLOCK_SM
        return 2520


def raising(code: int) -> Callable[[int], Exception]:
    return lambda handle: pynvml.NVMLError(code)  # type: ignore[no-any-return]


def opened(driver: Driver) -> ProbeSource:
    outcome = open_nvml(Site(pynvml=driver))
    assert isinstance(outcome, ProbeSource), outcome
    return outcome


def test_the_stand_in_names_only_what_the_real_module_has() -> None:
    functions = [name for name in vars(Driver) if name.startswith("nvml")]
    assert functions
    assert [name for name in functions if not hasattr(pynvml, name)] == []


def test_everything_comes_in_si_units() -> None:
    driver = Driver()
    source = opened(driver)
    values = {reading.channel: reading.value for reading in source.read()}
    source.close()
    assert values == {
        "nvml/gpu0/energy_joules": pytest.approx(123_456.789),
        "nvml/gpu0/power_watts": 31.25,
        "nvml/gpu0/temperature_celsius": 41.0,
        "nvml/gpu0/utilization_ratio": 0.25,
        "nvml/gpu0/memory_used_bytes": 2**30,
        "nvml/gpu0/memory_total_bytes": 24 * 2**30,
        "nvml/gpu0/clock_hertz": 2.52e9,
    }
    assert driver.open == 0


def test_what_a_gpu_does_not_support_is_no_channel_and_the_rest_remains() -> None:
    driver = Driver()
    driver.broken = {
        "nvmlDeviceGetTotalEnergyConsumption": raising(pynvml.NVML_ERROR_NOT_SUPPORTED),
        "nvmlDeviceGetMemoryInfo": raising(pynvml.NVML_ERROR_NOT_SUPPORTED),
    }
    source = opened(driver)
    source.close()
    assert [c.quantity for c in source.channels] == [
        Quantity.POWER,
        Quantity.TEMPERATURE,
        Quantity.UTILIZATION,
        Quantity.CLOCK,
    ]


def test_a_failure_while_reading_is_missing_and_never_zero() -> None:
    driver = Driver()
    source = opened(driver)
    driver.broken = {"nvmlDeviceGetPowerUsage": raising(pynvml.NVML_ERROR_UNKNOWN)}
    (reading,) = source.read(only={Quantity.POWER})
    source.close()
    assert reading.value is None
    assert "NVMLError_Unknown" in (reading.error or "")


def test_a_failure_at_the_start_that_may_pass_keeps_the_channel() -> None:
    driver = Driver()
    driver.broken = {"nvmlDeviceGetPowerUsage": raising(pynvml.NVML_ERROR_TIMEOUT)}
    source = opened(driver)
    driver.broken = {}
    (reading,) = source.read(only={Quantity.POWER})
    source.close()
    assert reading.value == 31.25


def test_a_lost_gpu_does_not_take_the_others_along() -> None:
    driver = Driver(gpus=2)
    driver.broken = {
        "nvmlDeviceGetHandleByIndex": lambda i: (
            None if i else pynvml.NVMLError(pynvml.NVML_ERROR_GPU_IS_LOST)
        )
    }
    source = opened(driver)
    source.close()
    assert {c.label for c in source.channels} == {"gpu1"}


def test_each_gpu_has_channels_of_its_own() -> None:
    source = opened(Driver(gpus=2))
    source.close()
    keys = [c.key for c in source.channels]
    assert len(keys) == len(set(keys)) == 14


@pytest.mark.parametrize(
    ("name", "architecture", "seconds"),
    [
        ("NVIDIA GeForce RTX 4090", "ADA", 1.0),
        ("NVIDIA RTX A3000 Laptop GPU", "AMPERE", 1.0),
        ("NVIDIA A100-SXM4-40GB", "AMPERE", None),
        ("NVIDIA A30", "AMPERE", None),
        ("Tesla T4", "TURING", None),
    ],
)
def test_power_is_a_mean_on_ampere_and_later_but_for_ga100(
    name: str, architecture: str, seconds: float | None
) -> None:
    driver = Driver(name)
    driver.architecture = getattr(pynvml, f"NVML_DEVICE_ARCH_{architecture}")
    source = opened(driver)
    source.close()
    energy, power, *rest = source.channels
    assert power.averaging_seconds == seconds
    assert energy.averaging_seconds is None
    assert [c.scope for c in rest] == [None] * 5


def test_a_card_is_an_accelerator_and_a_grace_hopper_is_a_module() -> None:
    scopes = [opened(Driver(n)).channels[0].scope for n in ("Tesla T4", "NVIDIA GH200 480GB")]
    assert scopes == [EnergyScope.ACCELERATOR, EnergyScope.MODULE]


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("LIBRARY_NOT_FOUND", "no NVIDIA driver"),
        ("DRIVER_NOT_LOADED", "not loaded"),
        ("LIB_RM_VERSION_MISMATCH", "NVML does not start"),
    ],
)
def test_a_driver_that_does_not_start_says_why(code: str, reason: str) -> None:
    driver = Driver()
    driver.broken = {"nvmlInit": raising(getattr(pynvml, f"NVML_ERROR_{code}"))}
    absent = open_nvml(Site(pynvml=driver))
    assert isinstance(absent, AbsentSource)
    assert reason in absent.reason
    assert absent.remedy


@pytest.mark.parametrize("gpus", [0, 1])
def test_a_driver_without_a_gpu_is_absent_and_closed_again(gpus: int) -> None:
    driver = Driver(gpus=gpus)
    if gpus:
        driver.broken = {"nvmlDeviceGetCount": raising(pynvml.NVML_ERROR_UNKNOWN)}
    absent = open_nvml(Site(pynvml=driver))
    assert isinstance(absent, AbsentSource)
    assert driver.open == 0


def test_without_the_package_the_remedy_is_to_install_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def missing(name: str) -> ModuleType:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(importlib, "import_module", missing)
    absent = open_nvml(Site(root=tmp_path))
    assert isinstance(absent, AbsentSource)
    assert absent.remedy == "pip install 'fleetmark[nvidia]'"
    assert "no NVIDIA driver is loaded" in absent.reason
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev" / "nvidiactl").touch()
    with_gpu = open_nvml(Site(root=tmp_path))
    assert isinstance(with_gpu, AbsentSource)
    assert "no NVIDIA driver" not in with_gpu.reason


def test_the_real_package_finds_no_driver_where_there_is_none() -> None:
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError_LibraryNotFound:
        absent = open_nvml(Site())
        assert isinstance(absent, AbsentSource)
        assert absent.reason.startswith("no NVIDIA driver")
    else:
        pynvml.nvmlShutdown()
        pytest.skip("this machine has an NVIDIA driver")
