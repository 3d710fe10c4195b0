"""Memory on an accelerator: as the driver shows it, and whether it is the host's own."""

from __future__ import annotations

import os
from ctypes import c_int
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from profiler.device.accelerator_users import read_own_use
from profiler.memory.measure import Place, measure_memory
from profiler.memory.unified import is_unified, read_unified
from tests.fake_model import REQUEST, FakeAdapter, FakeModel


class Driver(ModuleType):
    """Two GPUs; ``listed``: (pid, bytes) on each, or ``None`` where it does not list."""

    class NVMLError(Exception):
        pass

    def __init__(self, *listed: list[tuple[int, int | None]] | None) -> None:
        super().__init__("pynvml")
        self._listed = listed
        self.open = 0

    def nvmlInit(self) -> None:  # noqa: N802
        self.open += 1

    def nvmlShutdown(self) -> None:  # noqa: N802
        self.open -= 1

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        return len(self._listed)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:  # noqa: N802
        return index

    def nvmlDeviceGetComputeRunningProcesses(self, handle: int) -> list[Any]:  # noqa: N802
        found = self._listed[handle]
        if found is None:
            raise self.NVMLError("Not Supported")
        return [SimpleNamespace(pid=pid, usedGpuMemory=used) for pid, used in found]

    def nvmlDeviceGetGraphicsRunningProcesses(self, handle: int) -> list[Any]:  # noqa: N802
        return []


def test_the_stand_in_names_only_what_the_real_module_has() -> None:
    pynvml = pytest.importorskip("pynvml")
    functions = [name for name in vars(Driver) if name.startswith("nvml")]
    assert functions
    assert [name for name in functions if not hasattr(pynvml, name)] == []
    assert {"pid", "usedGpuMemory"} <= set(dict(pynvml.c_nvmlProcessInfo_v3_t._fields_))


def test_a_process_is_summed_over_gpus() -> None:
    driver = Driver([(7, 100), (8, 50)], [(7, 30)])
    assert read_own_use(7, driver) == (130, None)
    assert driver.open == 0


@pytest.mark.parametrize(
    ("driver", "reason"),
    [
        (Driver(None, None), "does not list the processes"),
        (Driver(), "does not list the processes"),
        (Driver([(8, 50)]), "lists no process 7"),
        (Driver([(7, None)]), "does not tell how much"),
        (Driver([(7, 5)], [(7, None)]), "does not tell how much"),
    ],
)
def test_what_the_driver_does_not_show_has_a_reason(driver: Driver, reason: str) -> None:
    found = read_own_use(7, driver)
    assert found.memory_bytes is None
    assert reason in (found.reason or "")
    assert driver.open == 0


def test_without_a_driver_the_reason_is_the_drivers() -> None:
    class Absent(Driver):
        def nvmlInit(self) -> None:  # noqa: N802
            raise self.NVMLError("Driver Not Loaded")

    assert "Driver Not Loaded" in (read_own_use(7, Absent()).reason or "")


JETSON = "nvidia,p3768-0000+p3767-0005\0nvidia,p3767-0005\0nvidia,tegra234"
TREES = Path(__file__).parents[1] / "fixtures" / "sysfs"


@pytest.mark.parametrize(
    ("on_jetson", "integrated", "expected"),
    [
        (True, None, True),
        (True, True, True),
        # A card in a board that has a GPU of its own.
        (True, False, False),
        (False, True, True),
        (False, False, False),
        (False, None, None),
    ],
)
def test_memory_is_unified_where_the_driver_or_the_board_says_so(
    on_jetson: bool, integrated: bool | None, expected: bool | None
) -> None:
    assert is_unified(on_jetson, integrated) is expected


@pytest.mark.parametrize(
    ("tree", "expected"),
    [
        ("jetson-orin-nano", True),
        ("jetson-agx-orin", True),
        ("jetson-xavier-nx", True),
        ("jetson-nano-jp4", True),
        ("raspberry-pi-5", None),
        ("intel-desktop", None),
    ],
)
def test_a_board_is_known_when_the_driver_says_nothing(tree: str, expected: bool | None) -> None:
    assert read_unified("cuda:0", TREES / tree, Cuda(0, "cuInit")) is expected


class Cuda:
    """The driver's library, as ``ctypes`` gives it."""

    def __init__(self, integrated: int, fails: str = "") -> None:
        self._integrated = integrated
        self._fails = fails
        self.asked: list[int] = []

    def _code(self, name: str) -> int:
        return 999 if name == self._fails else 0

    def cuInit(self, flags: int) -> int:  # noqa: N802
        return self._code("cuInit")

    def cuDeviceGet(self, device: Any, ordinal: int) -> int:  # noqa: N802
        self.asked.append(ordinal)
        device._obj.value = 100 + ordinal
        return self._code("cuDeviceGet")

    def cuDeviceGetAttribute(self, value: Any, attribute: int, device: c_int) -> int:  # noqa: N802
        assert attribute == 18
        assert device.value == 100 + self.asked[-1]
        value._obj.value = self._integrated
        return self._code("cuDeviceGetAttribute")


def test_the_driver_is_asked_for_the_gpu_that_was_used(tmp_path: Path) -> None:
    cuda = Cuda(integrated=1)
    assert read_unified("cuda:3", tmp_path, cuda) is True
    assert cuda.asked == [3]
    assert read_unified("cuda:0", tmp_path, Cuda(integrated=0)) is False


@pytest.mark.parametrize("fails", ["cuInit", "cuDeviceGet", "cuDeviceGetAttribute"])
def test_a_driver_that_fails_leaves_it_to_the_board(tmp_path: Path, fails: str) -> None:
    assert read_unified("cuda:0", tmp_path, Cuda(1, fails)) is None
    (tmp_path / "proc/device-tree").mkdir(parents=True)
    (tmp_path / "proc/device-tree/compatible").write_text(JETSON + "\0", encoding="ascii")
    assert read_unified("cuda:0", tmp_path, Cuda(0, fails)) is True


class Gpu(FakeModel):
    accelerator = "cuda:0"
    peaks: tuple[int, int] | None = (300, 400)

    def accelerator_peak_bytes(self) -> tuple[int, int] | None:
        return self.peaks


class GpuAdapter(FakeAdapter):
    """Its process appears on the GPU when the model is loaded."""

    def __init__(self, driver: Driver, peaks: tuple[int, int] | None) -> None:
        super().__init__(lambda: None)
        self._driver = driver
        self._peaks = peaks

    def load(self, request: Any) -> FakeModel:
        listed = self._driver._listed[0]
        assert listed is not None
        listed.append((os.getpid(), 900))
        model = Gpu(self._call)
        model.peaks = self._peaks
        return model


@pytest.mark.parametrize("peaks", [(300, 400), None])
def test_the_pass_on_an_accelerator(peaks: tuple[int, int] | None, tmp_path: Path) -> None:
    driver = Driver([(1, 5)])
    request = REQUEST.model_copy(update={"accelerator": "auto"})
    found = measure_memory(
        GpuAdapter(driver, peaks), request, Place(tmp_path, driver, Cuda(integrated=1))
    )
    assert found.accelerator_process_bytes == 900
    assert found.accelerator_process_before_load_bytes is None
    assert found.accelerator_process_reason is None
    assert found.unified is True
    if peaks is None:
        assert found.accelerator_peak_allocated_bytes is None
        assert found.accelerator_reason == "the engine does not tell what it allocates"
    else:
        assert found.accelerator_peak_allocated_bytes == 300
        assert found.accelerator_peak_reserved_bytes == 400
        assert found.accelerator_reason is None
