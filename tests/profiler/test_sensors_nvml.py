"""NVML through a stand-in that has the real module's constants and exceptions."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from profiler.result import AbsentSource, EnergyScope
from profiler.sensors import nvml, nvml_fields, nvml_gpu
from profiler.sensors.base import Quantity, ThrottleCause
from profiler.sensors.nvml import open_nvml
from profiler.sensors.nvml_fields import FIELDS, MEMBERS, REASONS, Field, Reason
from profiler.sensors.probe import ProbeSource
from profiler.sensors.site import Site

pynvml = pytest.importorskip("pynvml")


# What the stand-in's GPU answers: field → (type of the value, the value).
FIELD_ANSWERS: dict[int, tuple[int, int]] = {
    83: (pynvml.NVML_VALUE_TYPE_UNSIGNED_LONG_LONG, 123_456_789),
    185: (pynvml.NVML_VALUE_TYPE_UNSIGNED_INT, 30_000),
    186: (pynvml.NVML_VALUE_TYPE_UNSIGNED_INT, 31_250),
    74: (pynvml.NVML_VALUE_TYPE_UNSIGNED_LONG_LONG, 4_000_000_000),
    269: (pynvml.NVML_VALUE_TYPE_UNSIGNED_LONG_LONG, 0),
    270: (pynvml.NVML_VALUE_TYPE_UNSIGNED_LONG_LONG, 1_500_000_000),
    271: (pynvml.NVML_VALUE_TYPE_UNSIGNED_LONG_LONG, 0),
}


class Driver(ModuleType):
    """GPUs. ``broken`` maps a function's name to what it raises for a handle."""

    def __init__(self, name: str = "NVIDIA GeForce RTX 4090", gpus: int = 1) -> None:
        super().__init__("pynvml")
        self.name = name
        self.gpus = gpus
        self.broken: dict[str, Callable[[int], Exception | None]] = {}
        self.open = 0
        self.architecture = pynvml.NVML_DEVICE_ARCH_ADA
        self.fields: dict[int, tuple[int, int]] = dict(FIELD_ANSWERS)
        self.field_errors: dict[int, int] = {}
        self.field_calls = 0
        self.reasons = 0
        self.mig = pynvml.NVML_DEVICE_MIG_DISABLE

    def __getattr__(self, name: str) -> Any:
        if name.startswith(("NVML_", "NVMLError")):
            return getattr(pynvml, name)
        raise AttributeError(name)

    def _check(self, function: str, handle: int = 0) -> None:
        error = self.broken.get(function, self.broken.get("*", lambda _: None))(handle)
        if error is not None:
            raise error

    def nvmlInit(self) -> None:  # noqa: N802
        self._check("nvmlInit") if "nvmlInit" in self.broken else None
        self.open += 1

    def nvmlShutdown(self) -> None:  # noqa: N802
        self.open -= 1

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        self._check("nvmlDeviceGetCount") if "nvmlDeviceGetCount" in self.broken else None
        return self.gpus

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:  # noqa: N802
        if "nvmlDeviceGetHandleByIndex" in self.broken:
            self._check("nvmlDeviceGetHandleByIndex", index)
        return index

    def nvmlDeviceGetFieldValues(self, handle: int, fields: list[int]) -> Any:  # noqa: N802
        self._check("nvmlDeviceGetFieldValues", handle)
        self.field_calls += 1
        answers = (pynvml.c_nvmlFieldValue_t * len(fields))()
        for answer, field in zip(answers, fields, strict=True):
            answer.fieldId = field
            answer.nvmlReturn = self.field_errors.get(field, pynvml.NVML_SUCCESS)
            if field not in self.fields:
                answer.nvmlReturn = pynvml.NVML_ERROR_NOT_SUPPORTED
                continue
            answer.valueType, value = self.fields[field]
            wide = answer.valueType == pynvml.NVML_VALUE_TYPE_UNSIGNED_LONG_LONG
            # The rest of the union holds garbage, as after a call that wrote 32 bits only.
            answer.value.ullVal = 0xDEADBEEF00000000
            setattr(answer.value, "ullVal" if wide else "uiVal", value)
        return answers

    def nvmlDeviceGetName(self, handle: int) -> str:  # noqa: N802
        return self.name

    def nvmlDeviceGetArchitecture(self, handle: int) -> int:  # noqa: N802
        self._check("nvmlDeviceGetArchitecture", handle)
        return int(self.architecture)

    def nvmlDeviceGetMigMode(self, handle: int) -> list[int]:  # noqa: N802
        self._check("nvmlDeviceGetMigMode", handle)
        return [self.mig, self.mig]

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: int) -> int:  # noqa: N802
        self._check("nvmlDeviceGetTotalEnergyConsumption", handle)
        return 123_456_789

    def nvmlDeviceGetPowerUsage(self, handle: int) -> int:  # noqa: N802
        self._check("nvmlDeviceGetPowerUsage", handle)
        return 31_250

    def nvmlDeviceGetEnforcedPowerLimit(self, handle: int) -> int:  # noqa: N802
        self._check("nvmlDeviceGetEnforcedPowerLimit", handle)
        return 450_000

    def nvmlDeviceGetTemperature(self, handle: int, sensor: int) -> int:  # noqa: N802
        self._check("nvmlDeviceGetTemperature", handle)
        assert sensor == pynvml.NVML_TEMPERATURE_GPU
        return 41

    def nvmlDeviceGetUtilizationRates(self, handle: int) -> Any:  # noqa: N802
        self._check("nvmlDeviceGetUtilizationRates", handle)
        return SimpleNamespace(gpu=25, memory=3)

    def nvmlDeviceGetMemoryInfo(self, handle: int) -> Any:  # noqa: N802
        self._check("nvmlDeviceGetMemoryInfo", handle)
        return SimpleNamespace(total=24 * 2**30, used=2**30, free=23 * 2**30)

    def nvmlDeviceGetClockInfo(self, handle: int, clock: int) -> int:  # noqa: N802
        self._check("nvmlDeviceGetClockInfo", handle)
        return {pynvml.NVML_CLOCK_SM: 2520, pynvml.NVML_CLOCK_MEM: 10501}[clock]

    def nvmlDeviceGetCurrentClocksEventReasons(self, handle: int) -> int:  # noqa: N802
        self._check("nvmlDeviceGetCurrentClocksEventReasons", handle)
        return self.reasons


class OldDriver(Driver):
    """A driver and binding from before batched fields: each quantity has a call of its own."""

    def __init__(self, name: str = "NVIDIA GeForce RTX 4090", gpus: int = 1) -> None:
        super().__init__(name, gpus)
        self.broken["nvmlDeviceGetFieldValues"] = raising(pynvml.NVML_ERROR_FUNCTION_NOT_FOUND)


def raising(code: int) -> Callable[[int], Exception]:
    return lambda handle: pynvml.NVMLError(code)  # type: ignore[no-any-return]


def opened(driver: Driver) -> ProbeSource:
    outcome = open_nvml(Site(pynvml=driver))
    assert isinstance(outcome, ProbeSource), outcome
    return outcome


def values_of(driver: Driver) -> dict[str, float | None]:
    source = opened(driver)
    values = {reading.channel.removeprefix("nvml/"): reading.value for reading in source.read()}
    source.close()
    return values


# --- the real module ---------------------------------------------------------------------------


def test_the_stand_in_names_only_what_the_real_module_has() -> None:
    functions = [name for name in vars(Driver) if name.startswith("nvml")]
    assert functions
    assert [name for name in functions if not hasattr(pynvml, name)] == []


def test_the_stand_in_takes_the_arguments_of_the_real_functions() -> None:
    for name, function in vars(Driver).items():
        if name.startswith("nvml") and name != "nvmlInit":
            real = inspect.signature(inspect.unwrap(getattr(pynvml, name)))
            ours = list(inspect.signature(function).parameters)[1:]
            needed = [p for p in real.parameters.values() if p.default is p.empty]
            assert len(needed) == len(ours), name


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.name)
def test_fields_have_the_real_modules_numbers(field: Field) -> None:
    assert getattr(pynvml, field.name) == field.number


@pytest.mark.parametrize("reason", REASONS, ids=lambda reason: reason.name)
def test_reasons_have_the_real_modules_bits(reason: Reason) -> None:
    assert getattr(pynvml, reason.name) == reason.bit


def test_an_idle_gpu_and_a_users_setting_are_no_throttling() -> None:
    ours = {reason.bit for reason in REASONS}
    assert pynvml.nvmlClocksEventReasonGpuIdle not in ours
    assert pynvml.nvmlClocksEventReasonApplicationsClocksSetting not in ours
    assert pynvml.nvmlClocksEventReasonDisplayClockSetting not in ours


def test_every_type_of_value_has_its_member_of_the_real_union() -> None:
    names = [name for name, _ in pynvml.c_nvmlValue_t._fields_]
    types = {name: getattr(pynvml, f"NVML_VALUE_TYPE_{name}") for name in (
        "DOUBLE", "UNSIGNED_INT", "UNSIGNED_LONG", "UNSIGNED_LONG_LONG", "SIGNED_LONG_LONG",
        "SIGNED_INT", "UNSIGNED_SHORT",
    )}  # fmt: skip
    assert set(types.values()) == set(MEMBERS)
    assert set(MEMBERS.values()) == set(names)
    assert MEMBERS[types["DOUBLE"]] == "dVal"
    assert MEMBERS[types["UNSIGNED_INT"]] == "uiVal"
    assert MEMBERS[types["UNSIGNED_LONG"]] == "ulVal"
    assert MEMBERS[types["UNSIGNED_LONG_LONG"]] == "ullVal"
    assert MEMBERS[types["SIGNED_LONG_LONG"]] == "sllVal"
    assert MEMBERS[types["SIGNED_INT"]] == "siVal"
    assert MEMBERS[types["UNSIGNED_SHORT"]] == "usVal"


def test_the_struct_of_an_answer_has_the_members_that_are_read() -> None:
    names = {name for name, _ in pynvml.c_nvmlFieldValue_t._fields_}
    assert names >= {"fieldId", "valueType", "nvmlReturn", "value"}


def test_structs_have_the_members_that_are_read() -> None:
    assert {"gpu", "memory"} == {name for name, _ in pynvml.c_nvmlUtilization_t._fields_}
    assert {"total", "used"} <= {name for name, _ in pynvml.c_nvmlMemory_t._fields_}


def test_the_sources_use_no_name_that_the_real_module_lacks() -> None:
    # Older names stand in getattr with a newer one before them.
    code = "".join(inspect.getsource(part) for part in (nvml, nvml_gpu, nvml_fields))
    named = set(re.findall(r"\bm(?:odule)?\.(nvml\w+|NVML\w+)", code))
    assert len(named) > 15
    assert [name for name in sorted(named) if not hasattr(pynvml, name)] == []


# --- readings ----------------------------------------------------------------------------------


def test_everything_comes_in_si_units_in_one_call_for_all_fields() -> None:
    driver = Driver()
    source = opened(driver)
    before = driver.field_calls
    values = {reading.channel.removeprefix("nvml/"): reading.value for reading in source.read()}
    assert driver.field_calls == before + 1
    source.close()
    assert values == {
        "gpu0/energy_joules": pytest.approx(123_456.789),
        "gpu0:instant/power_watts": 31.25,
        "gpu0:average/power_watts": 30.0,
        "gpu0:power-cap/throttled_seconds": pytest.approx(4.0),
        "gpu0:sw-thermal/throttled_seconds": 0.0,
        "gpu0:hw-thermal/throttled_seconds": pytest.approx(1.5),
        "gpu0:power-brake/throttled_seconds": 0.0,
        "gpu0/temperature_celsius": 41.0,
        "gpu0/utilization_ratio": 0.25,
        "gpu0/clock_hertz": 2.52e9,
        "gpu0:memory/clock_hertz": 10.501e9,
        "gpu0/power_limit_watts": 450.0,
        "gpu0/memory_used_bytes": 2**30,
        "gpu0/memory_total_bytes": 24 * 2**30,
    }
    assert driver.open == 0


def test_an_older_driver_answers_by_single_calls_and_sampled_reasons() -> None:
    driver = OldDriver()
    driver.reasons = 0x1 | 0x40
    values = values_of(driver)
    assert values["gpu0/energy_joules"] == pytest.approx(123_456.789)
    assert values["gpu0/power_watts"] == 31.25
    flags = {k: v for k, v in values.items() if "throttled" in k}
    assert flags == {
        "gpu0:power-cap/throttled_flag": 0.0,
        "gpu0:hw-slowdown/throttled_flag": 0.0,
        "gpu0:sw-thermal/throttled_flag": 0.0,
        "gpu0:hw-thermal/throttled_flag": 1.0,
        "gpu0:power-brake/throttled_flag": 0.0,
    }


def test_an_idle_gpu_raises_no_flag() -> None:
    driver = OldDriver()
    driver.reasons = 0x1
    assert not any(v for k, v in values_of(driver).items() if k.endswith("throttled_flag"))


def test_where_throttling_is_counted_it_is_not_sampled_as_well() -> None:
    assert not [key for key in values_of(Driver()) if key.endswith("throttled_flag")]


def test_one_field_that_fails_leaves_the_others() -> None:
    driver = Driver()
    source = opened(driver)
    driver.field_errors = {186: pynvml.NVML_ERROR_TIMEOUT}
    readings = {r.channel.removeprefix("nvml/"): r for r in source.read()}
    source.close()
    assert readings["gpu0:instant/power_watts"].value is None
    assert "Timeout" in (readings["gpu0:instant/power_watts"].error or "")
    assert readings["gpu0:average/power_watts"].value == 30.0


def test_a_field_of_an_unknown_type_or_an_absurd_power_is_missing() -> None:
    driver = Driver()
    source = opened(driver)
    driver.fields[186] = (pynvml.NVML_VALUE_TYPE_UNSIGNED_INT, 4_294_967_295)
    driver.fields[185] = (99, 1)
    readings = {r.channel.removeprefix("nvml/"): r for r in source.read()}
    source.close()
    assert readings["gpu0:instant/power_watts"].value is None
    assert readings["gpu0:average/power_watts"].value is None
    assert "unknown type 99" in (readings["gpu0:average/power_watts"].error or "")


def test_fields_that_a_gpu_lacks_are_asked_for_by_their_own_calls() -> None:
    driver = Driver()
    for field in (83, 185, 186):
        del driver.fields[field]
    keys = set(values_of(driver))
    assert {"gpu0/energy_joules", "gpu0/power_watts"} <= keys
    assert not {"gpu0:instant/power_watts", "gpu0:average/power_watts"} & keys


def test_mig_is_said_and_the_power_is_the_whole_gpus() -> None:
    driver = Driver("NVIDIA A100-SXM4-40GB")
    driver.mig = pynvml.NVML_DEVICE_MIG_ENABLE
    # With MIG a GPU does not tell its utilisation.
    driver.broken = {"nvmlDeviceGetUtilizationRates": raising(pynvml.NVML_ERROR_NOT_SUPPORTED)}
    source = opened(driver)
    source.close()
    assert {c.note for c in source.channels} == {nvml_gpu._MIG}
    assert Quantity.UTILIZATION not in {c.quantity for c in source.channels}


def test_a_jetson_that_supports_nothing_is_absent_and_points_to_its_rails() -> None:
    driver = Driver("Orin (nvgpu)")
    driver.broken = {"*": raising(pynvml.NVML_ERROR_NOT_SUPPORTED)}
    absent = open_nvml(Site(pynvml=driver))
    assert isinstance(absent, AbsentSource)
    assert "jetson" in absent.reason
    assert driver.open == 0


def test_every_cause_of_throttling_is_told() -> None:
    source = opened(Driver())
    source.close()
    causes = {c.label: c.cause for c in source.channels if c.quantity is Quantity.THROTTLED}
    assert causes == {
        "gpu0:power-cap": ThrottleCause.POWER_LIMIT,
        "gpu0:sw-thermal": ThrottleCause.HEAT,
        "gpu0:hw-thermal": ThrottleCause.HEAT,
        "gpu0:power-brake": ThrottleCause.POWER_BRAKE,
    }


def test_what_a_gpu_does_not_support_is_no_channel_and_the_rest_remains() -> None:
    driver = OldDriver()
    for function in ("TotalEnergyConsumption", "MemoryInfo", "CurrentClocksEventReasons"):
        driver.broken[f"nvmlDeviceGet{function}"] = raising(pynvml.NVML_ERROR_NOT_SUPPORTED)
    source = opened(driver)
    source.close()
    assert [c.quantity for c in source.channels] == [
        Quantity.POWER,
        Quantity.TEMPERATURE,
        Quantity.UTILIZATION,
        Quantity.CLOCK,
        Quantity.CLOCK,
        Quantity.POWER_LIMIT,
    ]


def test_a_failure_while_reading_is_missing_and_never_zero() -> None:
    driver = OldDriver()
    source = opened(driver)
    driver.broken = {"nvmlDeviceGetPowerUsage": raising(pynvml.NVML_ERROR_UNKNOWN)}
    (reading,) = source.read(only={Quantity.POWER})
    source.close()
    assert reading.value is None
    assert "NVMLError_Unknown" in (reading.error or "")


def test_a_failure_at_the_start_that_may_pass_keeps_the_channel() -> None:
    driver = OldDriver()
    driver.broken["nvmlDeviceGetPowerUsage"] = raising(pynvml.NVML_ERROR_TIMEOUT)
    source = opened(driver)
    del driver.broken["nvmlDeviceGetPowerUsage"]
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
    assert {c.label.partition(":")[0] for c in source.channels} == {"gpu1"}


def test_each_gpu_has_channels_of_its_own() -> None:
    source = opened(Driver(gpus=2))
    source.close()
    keys = [c.key for c in source.channels]
    assert len(keys) == len(set(keys)) == 28


@pytest.mark.parametrize(
    ("name", "architecture", "seconds"),
    [
        ("NVIDIA GeForce RTX 4090", "ADA", 1.0),
        ("NVIDIA RTX A3000 Laptop GPU", "AMPERE", 1.0),
        ("NVIDIA A100-SXM4-40GB", "AMPERE", None),
        ("NVIDIA A30", "AMPERE", None),
        ("NVIDIA H100 80GB HBM3", "HOPPER", 1.0),
        ("Tesla T4", "TURING", None),
    ],
)
def test_power_is_a_mean_on_ampere_and_later_but_for_ga100(
    name: str, architecture: str, seconds: float | None
) -> None:
    for driver, label in ((OldDriver(name), "gpu0"), (Driver(name), "gpu0:average")):
        driver.architecture = getattr(pynvml, f"NVML_DEVICE_ARCH_{architecture}")
        source = opened(driver)
        source.close()
        metered = {
            (c.label, c.quantity): c.averaging_seconds
            for c in source.channels
            if c.scope is not None
        }
        # A100 and H100 look at a quarter of the time; what else they tell is of those looks.
        look = 0.025 if "100" in name or name == "NVIDIA A30" else None
        assert metered.pop((label, Quantity.POWER)) == (seconds or look)
        assert set(metered.values()) == {look}


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
