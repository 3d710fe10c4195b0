"""The state of the device, read from small trees as they were seen on real devices."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiler.device.accelerator_users import read_accelerator_use
from profiler.device.flags import preflight_flags
from profiler.device.power_mode import jetson_highest, jetson_modes
from profiler.device.preflight import parse_cpus, read_preflight
from profiler.result import AcceleratorProcess, Flag, Preflight
from profiler.sensors import probe

CPU = "sys/devices/system/cpu"
POLICY = f"{CPU}/cpufreq/policy"
SUPPLY = "sys/class/power_supply"
ZONE = "sys/class/thermal/thermal_zone"


class NoGpu(ModuleType):
    """As the real module behaves where there is no driver."""

    class NVMLError(Exception):
        pass

    def nvmlInit(self) -> None:  # noqa: N802
        raise self.NVMLError("Driver Not Loaded")


def tree(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root


def read(root: Path, affinity: tuple[int, ...] = (0, 1)) -> Preflight:
    return read_preflight(root, affinity, NoGpu("pynvml"))


def names(flags: list[Flag]) -> list[str]:
    return [flag.name for flag in flags]


def cpufreq(count: int, governor: str, kilohertz: int) -> dict[str, str]:
    files = {}
    for cpu in range(count):
        files[f"{CPU}/cpu{cpu}/cpufreq/scaling_governor"] = f"{governor}\n"
        files[f"{POLICY}{cpu}/scaling_cur_freq"] = f"{kilohertz}\n"
    return files


LAPTOP = {
    **cpufreq(2, "powersave", 2_800_123),
    f"{POLICY}0/energy_performance_preference": "balance_performance\n",
    f"{POLICY}1/energy_performance_preference": "balance_performance\n",
    f"{CPU}/intel_pstate/no_turbo": "0\n",
    f"{CPU}/isolated": "\n",
    f"{CPU}/smt/active": "1\n",
    "sys/firmware/acpi/platform_profile": "low-power\n",
    "sys/firmware/acpi/platform_profile_choices": "low-power balanced performance\n",
    f"{SUPPLY}/AC/type": "Mains\n",
    f"{SUPPLY}/AC/online": "0\n",
    f"{SUPPLY}/BAT0/type": "Battery\n",
    f"{SUPPLY}/BAT0/status": "Discharging\n",
    f"{SUPPLY}/hidpp_battery_0/type": "Battery\n",
    f"{SUPPLY}/hidpp_battery_0/scope": "Device\n",
    f"{SUPPLY}/hidpp_battery_0/status": "Discharging\n",
    f"{ZONE}0/type": "acpitz\n",
    f"{ZONE}0/temp": "47000\n",
    f"{ZONE}0/trip_point_0_type": "critical\n",
    f"{ZONE}0/trip_point_0_temp": "103000\n",
    f"{ZONE}0/trip_point_1_type": "passive\n",
    f"{ZONE}0/trip_point_1_temp": "95000\n",
    f"{ZONE}1/type": "x86_pkg_temp\n",
    f"{ZONE}1/temp": "61000\n",
    f"{ZONE}1/trip_point_0_type": "passive\n",
    f"{ZONE}1/trip_point_0_temp": "-274000\n",
    f"{ZONE}2/type": "iwlwifi_1\n",
    f"{ZONE}2/temp": "-274000\n",
    "proc/loadavg": "1.25 0.80 0.50 2/900 4711\n",
    "proc/pressure/cpu": "some avg10=7.50 avg60=1.00 avg300=0.10 total=123456\n"
    "full avg10=0.00 avg60=0.00 avg300=0.00 total=0\n",
    "proc/pressure/memory": "some avg10=6.00 avg60=0.00 avg300=0.00 total=99\n"
    "full avg10=5.00 avg60=0.00 avg300=0.00 total=9\n",
    "proc/meminfo": "MemTotal: 16000000 kB\nSwapTotal: 8000000 kB\nSwapFree: 7000000 kB\n",
}


def test_a_laptop_on_its_battery(tmp_path: Path) -> None:
    found = read(tree(tmp_path, LAPTOP))
    assert found == Preflight(
        governors=("powersave",),
        turbo=True,
        cpu_clock_hertz=(2_800_123_000.0, 2_800_123_000.0),
        cpu_affinity=(0, 1),
        isolated_cpus=(),
        smt=True,
        power_mode=(
            "platform_profile low-power, energy_performance_preference balance_performance"
        ),
        power_mode_highest=False,
        on_battery=True,
        temperatures_celsius={"x86_pkg_temp": 61.0, "acpitz": 47.0},
        throttle_margin_celsius=48.0,
        load_average_1m=1.25,
        cpu_pressure_avg10=7.5,
        memory_pressure_avg10=6.0,
        swap_used_bytes=1_000_000 * 1024,
        accelerator_driver=None,
        accelerator_processes=None,
    )
    assert names(preflight_flags(found)) == [
        "governor", "on_battery", "power_mode", "busy_device", "memory_pressure",
    ]  # fmt: skip


def test_a_laptop_that_is_plugged_in_is_not_on_its_battery(tmp_path: Path) -> None:
    assert read(tree(tmp_path, LAPTOP | {f"{SUPPLY}/AC/online": "1\n"})).on_battery is False


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, None),
        ({"AC/type": "Mains", "AC/online": "1"}, False),
        ({"mouse/type": "Battery", "mouse/scope": "Device", "mouse/status": "Discharging"}, None),
        ({"B/type": "Battery", "B/status": "Discharging"}, True),
        ({"B/type": "Battery", "B/status": "Full"}, False),
        ({"B/type": "Battery", "B/status": "Unknown"}, None),
        # A laptop that is charged through its USB port has no Mains.
        ({"B/type": "Battery", "B/status": "Charging", "U/type": "USB", "U/online": "1"}, False),
        ({"B/type": "Battery", "B/status": "Discharging", "U/type": "USB", "U/online": "0"}, True),
    ],
)
def test_the_supply(tmp_path: Path, files: dict[str, str], expected: bool | None) -> None:
    tree(tmp_path, {f"{SUPPLY}/{name}": f"{text}\n" for name, text in files.items()})
    assert read(tmp_path).on_battery is expected


def test_a_raspberry_pi(tmp_path: Path) -> None:
    pi = {
        **cpufreq(1, "ondemand", 1_500_000),
        f"{CPU}/cpufreq/boost": "1\n",
        f"{CPU}/isolated": "2-3\n",
        f"{ZONE}0/type": "cpu-thermal\n",
        f"{ZONE}0/temp": "71582\n",
        f"{ZONE}0/trip_point_0_type": "critical\n",
        f"{ZONE}0/trip_point_0_temp": "110000\n",
        "proc/loadavg": "0.00 0.01 0.00 1/150 900\n",
        "proc/meminfo": "MemTotal: 8000000 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\n",
    }
    found = read(tree(tmp_path, pi), (0, 1, 2, 3))
    assert found.governors == ("ondemand",)
    assert found.turbo is True
    assert found.isolated_cpus == (2, 3)
    assert found.smt is None
    assert found.power_mode is None
    assert found.power_mode_highest is None
    assert found.on_battery is None
    assert found.temperatures_celsius == {"cpu-thermal": 71.582}
    # Where it is switched off is not where it slows down.
    assert found.throttle_margin_celsius is None
    assert found.swap_used_bytes == 0
    assert found.cpu_pressure_avg10 is None
    flags = preflight_flags(found)
    assert names(flags) == ["governor", "hot_start"]
    assert "cpu-thermal is at 72 °C" in flags[1].detail


NVPMODEL = """
# FORMAT: < POWER_MODEL ID=9 NAME=COMMENT >
< PARAM TYPE=FILE NAME=CPU_ONLINE >
< POWER_MODEL ID=0 NAME=15W >
CPU_ONLINE CORE_0 1
< POWER_MODEL ID=1 NAME=25W >
< POWER_MODEL ID=2 NAME=MAXN_SUPER >
< POWER_MODEL ID=3 NAME=7W >
< PM_CONFIG DEFAULT=1 >
"""
JETSON = {
    **cpufreq(2, "schedutil", 1_510_400),
    "var/lib/nvpmodel/status": "pmode:0000 fmode:quiet\n",
    "etc/nvpmodel.conf": NVPMODEL,
    f"{ZONE}0/type": "cpu-thermal\n",
    f"{ZONE}0/temp": "92000\n",
    f"{ZONE}0/trip_point_0_type": "passive\n",
    f"{ZONE}0/trip_point_0_temp": "99000\n",
}


def test_a_jetson_below_its_highest_mode(tmp_path: Path) -> None:
    found = read(tree(tmp_path, JETSON))
    assert found.power_mode == "nvpmodel 15W"
    assert found.power_mode_highest is False
    assert found.throttle_margin_celsius == pytest.approx(7.0)
    flags = {flag.name: flag for flag in preflight_flags(found)}
    assert set(flags) == {"governor", "power_mode", "hot_start"}
    assert "nvpmodel -m" in flags["power_mode"].advice


def test_a_jetson_in_its_highest_mode(tmp_path: Path) -> None:
    found = read(tree(tmp_path, JETSON | {"var/lib/nvpmodel/status": "pmode:0002\n"}))
    assert found.power_mode == "nvpmodel MAXN_SUPER"
    assert found.power_mode_highest is True


@pytest.mark.parametrize(
    ("modes", "highest"),
    [
        (["15W", "7W"], 0),
        (["MAXN", "10W", "15W", "30W"], 0),
        (["MAXN", "MAXQ", "MAXP_CORE_ALL"], 0),
        (["MODE_15W_2CORE", "MODE_15W_6CORE", "MODE_10W_2CORE"], None),
        (["TURBO", "10W"], None),
        ([], None),
    ],
)
def test_the_highest_mode_is_found_by_its_name(
    tmp_path: Path, modes: list[str], highest: int | None
) -> None:
    lines = [f"< POWER_MODEL ID={n} NAME={name} >" for n, name in enumerate(modes)]
    found = jetson_highest(jetson_modes(tree(tmp_path, {"etc/nvpmodel.conf": "\n".join(lines)})))
    assert (found.number if found else None) == highest


def test_a_mode_without_a_name_is_its_number(tmp_path: Path) -> None:
    found = read(tree(tmp_path, {"var/lib/nvpmodel/status": "pmode:0007\n"}))
    assert found.power_mode == "nvpmodel number 7"
    assert found.power_mode_highest is None


def test_a_virtual_machine_that_shows_nothing(tmp_path: Path) -> None:
    found = read(tmp_path)
    assert found.model_dump(exclude={"cpu_affinity"}) == {
        "governors": (),
        "turbo": None,
        "cpu_clock_hertz": (),
        "isolated_cpus": (),
        "smt": None,
        "power_mode": None,
        "power_mode_highest": None,
        "on_battery": None,
        "temperatures_celsius": {},
        "throttle_margin_celsius": None,
        "load_average_1m": None,
        "cpu_pressure_avg10": None,
        "memory_pressure_avg10": None,
        "swap_used_bytes": None,
        "accelerator_driver": None,
        "accelerator_processes": None,
        "accelerator_power_limits_watts": None,
    }
    assert preflight_flags(found, found) == []


def test_files_that_may_not_be_read_are_as_absent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(path: Path, *_: object, **__: object) -> str:
        raise PermissionError(13, "Permission denied", str(path))

    tree(tmp_path, LAPTOP | JETSON)
    # Not by mode bits: whoever runs the tests may be root.
    monkeypatch.setattr(Path, "read_text", denied)
    monkeypatch.setattr(probe, "_open_regular", denied)
    found = read(tmp_path)
    monkeypatch.undo()
    assert found == read(tmp_path / "empty")


GARBAGE = ["", "\n", "\0\xff\xfe", "nonsense", "-", "1e999", "9" * 400, "nan", "0x10", "1\n2\n3"]
FILES = sorted(
    {*LAPTOP, *JETSON, f"{CPU}/cpufreq/boost", f"{POLICY}0/boost", "proc/pressure/memory"}
)


@pytest.mark.parametrize("text", GARBAGE)
def test_garbage_is_not_known_rather_than_an_error(tmp_path: Path, text: str) -> None:
    for name in FILES:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode("latin-1"))
    found = read(tmp_path)
    assert preflight_flags(found, found) is not None
    assert found.load_average_1m is None or text == "1\n2\n3"
    assert found.cpu_pressure_avg10 is None
    assert found.swap_used_bytes is None
    assert found.temperatures_celsius == {}
    assert found.on_battery is None


def test_garbage_in_a_tree_of_directories_is_no_error(tmp_path: Path) -> None:
    for name in FILES:
        (tmp_path / name).mkdir(parents=True, exist_ok=True)
    assert read(tmp_path) == read(tmp_path / "empty")


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({f"{CPU}/intel_pstate/no_turbo": "1"}, False),
        ({f"{CPU}/intel_pstate/no_turbo": "0", f"{CPU}/cpufreq/boost": "0"}, True),
        ({f"{CPU}/cpufreq/boost": "0"}, False),
        ({f"{POLICY}0/boost": "0", f"{POLICY}4/boost": "1"}, True),
        ({f"{POLICY}0/boost": "0", f"{POLICY}4/boost": "0"}, False),
    ],
)
def test_turbo(tmp_path: Path, files: dict[str, str], expected: bool) -> None:
    assert read(tree(tmp_path, files)).turbo is expected


def test_only_the_hottest_zones_are_named_and_no_name_twice(tmp_path: Path) -> None:
    files = {}
    for zone in range(12):
        files[f"{ZONE}{zone}/type"] = "cpu\n"
        files[f"{ZONE}{zone}/temp"] = f"{40000 + 1000 * zone}\n"
    found = read(tree(tmp_path, files)).temperatures_celsius
    assert list(found.items()) == [
        ("cpu@thermal_zone11", 51.0),
        ("cpu@thermal_zone10", 50.0),
        ("cpu@thermal_zone9", 49.0),
        ("cpu@thermal_zone8", 48.0),
    ]


@pytest.mark.parametrize(
    ("text", "cpus"),
    [
        ("", ()),
        ("3", (3,)),
        ("0-2,5\n", (0, 1, 2, 5)),
        ("2-1", ()),
        ("0-99999999", ()),
        ("a", ()),
        ("1-", ()),
        ("1,,2", (1, 2)),
    ],
)
def test_lists_of_cpus(text: str, cpus: tuple[int, ...]) -> None:
    assert parse_cpus(text) == cpus


@given(st.sets(st.integers(0, 300)))
def test_every_list_that_the_kernel_writes_is_read_back(cpus: set[int]) -> None:
    assert parse_cpus(",".join(map(str, cpus))) == tuple(sorted(cpus))


# --- the accelerator --------------------------------------------------------------------------


class Driver(ModuleType):
    """One GPU and what runs on it; ``broken`` names the functions that fail."""

    class NVMLError(Exception):
        pass

    def __init__(self, compute: list[int], graphics: list[int], broken: str = "") -> None:
        super().__init__("pynvml")
        self.compute, self.graphics, self.broken = compute, graphics, broken
        self.open = 0

    def _answer(self, name: str, pids: list[int]) -> list[Any]:
        if name in self.broken:
            raise self.NVMLError("Not Supported")
        return [SimpleNamespace(pid=pid, usedGpuMemory=pid * 2**20) for pid in pids]

    def nvmlInit(self) -> None:  # noqa: N802
        self.open += 1

    def nvmlShutdown(self) -> None:  # noqa: N802
        self.open -= 1

    def nvmlSystemGetDriverVersion(self) -> bytes:  # noqa: N802
        self._answer("nvmlSystemGetDriverVersion", [])
        return b"550.54.14"

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        return 1

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:  # noqa: N802
        return index

    def nvmlDeviceGetEnforcedPowerLimit(self, handle: int) -> int:  # noqa: N802
        self._answer("nvmlDeviceGetEnforcedPowerLimit", [])
        return 300_000

    def nvmlDeviceGetComputeRunningProcesses(self, handle: int) -> list[Any]:  # noqa: N802
        return self._answer("nvmlDeviceGetComputeRunningProcesses", self.compute)

    def nvmlDeviceGetGraphicsRunningProcesses(self, handle: int) -> list[Any]:  # noqa: N802
        return self._answer("nvmlDeviceGetGraphicsRunningProcesses", self.graphics)


def test_the_stand_in_names_only_what_the_real_module_has() -> None:
    pynvml = pytest.importorskip("pynvml")
    functions = [name for name in vars(Driver) if name.startswith("nvml")]
    assert functions
    assert [name for name in functions if not hasattr(pynvml, name)] == []
    assert "usedGpuMemory" in dict(pynvml.c_nvmlProcessInfo_v3_t._fields_)


def processes(root: Path, *lines: tuple[int, int, str]) -> Path:
    for pid, parent, name in lines:
        text = f"Name:\t{name}\nPid:\t{pid}\nPPid:\t{parent}\n"
        tree(root, {f"proc/{pid}/status": text, f"proc/{pid}/comm": f"{name}\n"})
    return root


def test_other_users_of_the_gpu_are_named_and_our_own_tree_is_not(tmp_path: Path) -> None:
    processes(
        tmp_path, (10, 1, "fleetmark"), (11, 10, "worker"), (12, 11, "repetition"),
        (20, 1, "train.py"), (30, 1, "Xorg"),
    )  # fmt: skip
    driver = Driver(compute=[12, 20, 99], graphics=[20, 30])
    found = read_accelerator_use(tmp_path, driver, own=10)
    assert driver.open == 0
    assert found.driver == "550.54.14"
    assert found.power_limits_watts == (300.0,)
    assert found.processes == (
        AcceleratorProcess(
            accelerator=0, pid=20, kind="compute", name="train.py", memory_bytes=20 * 2**20
        ),
        AcceleratorProcess(
            accelerator=0, pid=99, kind="compute", name=None, memory_bytes=99 * 2**20
        ),
        AcceleratorProcess(
            accelerator=0, pid=30, kind="graphics", name="Xorg", memory_bytes=30 * 2**20
        ),
    )


def test_a_process_tree_that_bites_its_tail_ends(tmp_path: Path) -> None:
    processes(tmp_path, (20, 21, "a"), (21, 20, "b"))
    found = read_accelerator_use(tmp_path, Driver([20], []), own=10)
    assert [p.pid for p in found.processes or ()] == [20]


def test_a_gpu_that_lists_no_processes_is_not_known_to_be_free(tmp_path: Path) -> None:
    found = read_accelerator_use(tmp_path, Driver([], [], "nvmlDeviceGetComputeRunningProcesses"))
    assert found.driver == "550.54.14"
    assert found.processes is None
    free = read_accelerator_use(tmp_path, Driver([], [], "nvmlDeviceGetGraphicsRunningProcesses"))
    assert free.processes == ()


def test_a_gpu_without_a_power_limit_has_none(tmp_path: Path) -> None:
    found = read_accelerator_use(tmp_path, Driver([], [], "nvmlDeviceGetEnforcedPowerLimit"))
    assert found.power_limits_watts == (None,)
    assert found.processes == ()
    assert read_preflight(tmp_path, (0,), Driver([], [])).accelerator_power_limits_watts == (300.0,)


def test_a_driver_that_fails_is_closed_again(tmp_path: Path) -> None:
    driver = Driver([], [], "nvmlSystemGetDriverVersion")
    assert read_accelerator_use(tmp_path, driver) == (None, None, None)
    assert driver.open == 0


# --- what it means ----------------------------------------------------------------------------


def state(**changes: Any) -> Preflight:
    values: dict[str, Any] = {
        "governors": ("performance",),
        "turbo": True,
        "cpu_clock_hertz": (2.0e9, 3.0e9),
        "cpu_affinity": (0, 1),
        "isolated_cpus": (),
        "smt": True,
        "power_mode": "platform_profile performance",
        "power_mode_highest": True,
        "on_battery": False,
        "temperatures_celsius": {"cpu": 45.0},
        "throttle_margin_celsius": 50.0,
        "load_average_1m": 0.1,
        "cpu_pressure_avg10": 0.0,
        "memory_pressure_avg10": 0.0,
        "swap_used_bytes": 2**30,
        "accelerator_driver": "550.54.14",
        "accelerator_processes": (),
    }
    return Preflight.model_validate(values | changes)


def gpu_user(kind: str, pid: int = 20) -> dict[str, Any]:
    return {"accelerator": 0, "pid": pid, "kind": kind, "name": "x", "memory_bytes": None}


def test_a_device_in_order_has_no_flags() -> None:
    assert preflight_flags(state(), state()) == []


@pytest.mark.parametrize(
    ("change", "flag"),
    [
        ({"governors": ("performance", "powersave")}, "governor"),
        ({"on_battery": True}, "on_battery"),
        ({"power_mode_highest": False}, "power_mode"),
        ({"throttle_margin_celsius": 9.9}, "hot_start"),
        (
            {"throttle_margin_celsius": None, "temperatures_celsius": {"a": 20, "b": 70}},
            "hot_start",
        ),
        ({"cpu_pressure_avg10": 5.1}, "busy_device"),
        ({"memory_pressure_avg10": 5.1}, "memory_pressure"),
        ({"accelerator_processes": (gpu_user("compute"),)}, "accelerator_shared"),
    ],
)
def test_each_state_has_its_flag_and_says_what_to_do(change: dict[str, Any], flag: str) -> None:
    (found,) = preflight_flags(state(**change))
    assert found.name == flag
    assert found.advice


@pytest.mark.parametrize(
    "change",
    [
        {"throttle_margin_celsius": 10.0, "temperatures_celsius": {"cpu": 89.0}},
        {"throttle_margin_celsius": None, "temperatures_celsius": {"cpu": 69.0}},
        {"cpu_pressure_avg10": 5.0},
        {"memory_pressure_avg10": 5.0},
        {"accelerator_processes": (gpu_user("graphics"),)},
        {"turbo": False},
    ],
)
def test_what_is_within_bounds_has_none(change: dict[str, Any]) -> None:
    assert preflight_flags(state(**change)) == []


def test_what_changed_during_the_run_counts_too() -> None:
    unplugged = state(on_battery=True)
    shared = state(accelerator_processes=(gpu_user("compute"),))
    swapping = state(memory_pressure_avg10=50.0)
    assert names(preflight_flags(state(), unplugged)) == ["on_battery"]
    assert names(preflight_flags(state(), shared)) == ["accelerator_shared"]
    assert names(preflight_flags(state(), swapping)) == ["memory_pressure"]
    # After a run the CPU's pressure and the heat are the run's own.
    own = state(cpu_pressure_avg10=99.0, throttle_margin_celsius=1.0)
    assert preflight_flags(state(), own) == []


@pytest.mark.parametrize(("last", "flagged"), [(3.0e9, 0), (2.95e9, 0), (2.9e9, 1), (3.1e9, 1)])
def test_a_clock_that_was_held_and_moved(last: float, flagged: int) -> None:
    flags = preflight_flags(state(), state(cpu_clock_hertz=(1.0e9, last)))
    assert names(flags) == ["clocks_changed"] * flagged


def test_a_clock_that_follows_the_load_is_not_flagged_twice() -> None:
    free = {"governors": ("powersave",)}
    flags = preflight_flags(state(**free), state(**free, cpu_clock_hertz=(0.8e9,)))
    assert names(flags) == ["governor"]
    assert preflight_flags(state(), state(cpu_clock_hertz=())) == []
