"""The fingerprint, read from injected roots, and the environment that a worker is given."""

from __future__ import annotations

from pathlib import Path

import pytest

from profiler.device import environment
from profiler.device.environment import KEPT_VARIABLES, RECORDED_VARIABLES, worker_environment


def write(root: Path, name: str, text: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


# --- the worker's environment ----------------------------------------------------------------


def test_threads_are_chosen_and_never_inherited() -> None:
    # Ray sets OMP_NUM_THREADS=1 in its workers; a shell may set the others.
    base = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "9", "OPENBLAS_NUM_THREADS": "9"}
    found = worker_environment(base, 4)
    assert {found[name] for name in base} == {"4"}


@pytest.mark.parametrize(
    "name",
    [
        "FLEETMARK_TOKEN",
        "RAY_AUTH_TOKEN_PATH",
        "RAY_AUTH_TOKEN",
        "RAY_JOB_ID",
        "FLEETMARK_AGENT_CONFIG",
        "AWS_SECRET_ACCESS_KEY",
        "HF_TOKEN",
        "OMP_PROC_BIND",
        "PYTHONSTARTUP",
    ],
)
def test_what_is_not_chosen_is_dropped(name: str) -> None:
    found = worker_environment({name: "secret", "PATH": "/bin"}, 1)
    assert name not in found
    assert "secret" not in found.values()
    assert found["PATH"] == "/bin"


def test_nothing_that_is_kept_is_a_credential() -> None:
    for name in (*KEPT_VARIABLES, *RECORDED_VARIABLES):
        assert not {"TOKEN", "SECRET", "KEY", "PASSWORD"} & set(name.split("_"))


def test_a_gpu_that_the_owner_hides_stays_hidden() -> None:
    # The base is the daemon's own environment: an empty value there is the owner's wish, not Ray's.
    assert worker_environment({"CUDA_VISIBLE_DEVICES": ""}, 1)["CUDA_VISIBLE_DEVICES"] == ""
    assert "CUDA_VISIBLE_DEVICES" not in worker_environment({}, 1)


def test_no_hub_is_asked() -> None:
    assert worker_environment({"HF_HUB_OFFLINE": "0"}, 1)["HF_HUB_OFFLINE"] == "1"


# --- the fingerprint -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "model"),
    [
        ("processor\t: 0\nmodel name\t: Intel(R) N100\nflags\t: fpu\n", "Intel(R) N100"),
        (
            "processor\t: 0\nCPU part\t: 0xd0b\n\nModel\t\t: Raspberry Pi 5 Model B Rev 1.0\n",
            "Raspberry Pi 5 Model B Rev 1.0",
        ),
        ("processor\t: 0\nHardware\t: BCM2835\n", "BCM2835"),
        (
            "processor\t: 0\nCPU implementer\t: 0x41\nCPU part\t: 0xd42\n",
            "implementer 0x41 part 0xd42",
        ),
    ],
)
def test_the_cpu_is_named_as_the_kernel_does(tmp_path: Path, text: str, model: str) -> None:
    write(tmp_path, "proc/cpuinfo", text)
    assert environment.cpu_model(tmp_path) == model


def test_a_cpu_that_the_kernel_does_not_name_is_the_platforms(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platform.processor", lambda: "")
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    assert environment.cpu_model(tmp_path) == "riscv64"


def test_memory_is_in_bytes_or_not_known(tmp_path: Path) -> None:
    assert environment.memory_total(tmp_path) is None
    write(tmp_path, "proc/meminfo", "MemTotal:        8000000 kB\nMemFree:  1 kB\n")
    assert environment.memory_total(tmp_path) == 8_000_000 * 1024


def test_the_board_is_the_device_trees_before_dmis(tmp_path: Path) -> None:
    assert environment.board(tmp_path) is None
    write(tmp_path, "sys/devices/virtual/dmi/id/product_name", "ThinkCentre\n")
    assert environment.board(tmp_path) == "ThinkCentre"
    write(tmp_path, "proc/device-tree/model", "NVIDIA Jetson Orin Nano\0")
    assert environment.board(tmp_path) == "NVIDIA Jetson Orin Nano"


@pytest.mark.parametrize(
    ("flags", "found"),
    [("fpu sse hypervisor avx", "hypervisor"), ("fpu sse avx", None), ("fpu xhypervisor", None)],
)
def test_a_virtual_machine_is_what_the_cpu_says(
    tmp_path: Path, flags: str, found: str | None
) -> None:
    write(tmp_path, "proc/cpuinfo", f"processor\t: 0\nflags\t\t: {flags}\n")
    assert environment.virtualization(tmp_path) == found


def test_governors_are_named_once(tmp_path: Path) -> None:
    assert environment.governors(tmp_path) == ()
    for cpu, governor in enumerate(["powersave", "performance", "powersave"]):
        path = f"sys/devices/system/cpu/cpu{cpu}/cpufreq/scaling_governor"
        write(tmp_path, path, f"{governor}\n")
    assert environment.governors(tmp_path) == ("performance", "powersave")


def test_load_and_pressure(tmp_path: Path) -> None:
    assert environment.load_average(tmp_path) is None
    assert environment.cpu_pressure(tmp_path) is None
    write(tmp_path, "proc/loadavg", "0.52 0.58 0.59 1/389 12345\n")
    write(
        tmp_path,
        "proc/pressure/cpu",
        "some avg10=12.34 avg60=1.00 avg300=0.10 total=1\n"
        "full avg10=0.50 avg60=0.00 avg300=0.00 total=0\n",
    )
    assert environment.load_average(tmp_path) == 0.52
    assert environment.cpu_pressure(tmp_path) == 12.34


def test_the_environment_that_is_recorded_holds_no_paths(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.setenv("FLEETMARK_TOKEN", "secret")
    monkeypatch.setenv("HOME", "/home/someone")
    found = environment.read_environment(tmp_path, accelerator_name="a GPU")
    assert found.worker_environment["OMP_NUM_THREADS"] == "3"
    assert "secret" not in found.model_dump_json()
    assert "someone" not in found.model_dump_json()
    assert found.accelerator_name == "a GPU"
    assert found.memory_total_bytes is None
    assert found.cpu_affinity
    assert "numpy" in found.packages


def test_packages_that_are_not_installed_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "PACKAGES", ("numpy", "no-such-distribution"))
    assert set(environment.package_versions()) == {"numpy"}
