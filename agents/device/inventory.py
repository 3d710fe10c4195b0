"""What this device is: its kind, its hardware, and what its measuring Python can run."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import socket
import subprocess
from pathlib import Path

from pydantic import ValidationError

from agents.messages import PROTOCOL_VERSION, Inventory, Versions
from profiler.device.accelerator_users import read_accelerator_use
from profiler.device.environment import board, cpu_model, fleetmark_version, memory_total
from profiler.device.inventory import Software
from profiler.errors import FleetmarkError
from profiler.sensors.base import Quantity
from profiler.sensors.discover import discover
from profiler.sensors.setup import ALL_SENSORS, SensorSetup
from profiler.sensors.site import Site

SOFTWARE_SECONDS = 180.0


def read_versions() -> Versions:
    """Raises:
    FleetmarkError: Ray is not installed.
    """
    try:
        ray = importlib.metadata.version("ray")
    except importlib.metadata.PackageNotFoundError as error:
        raise FleetmarkError("Ray is not installed here: pip install 'fleetmark[agent]'") from error
    return Versions(
        fleetmark=fleetmark_version(),
        protocol=PROTOCOL_VERSION,
        ray=ray,
        python=platform.python_version(),
    )


def device_kind(root: Path, accelerators: tuple[str, ...]) -> str:
    """``jetson``, ``gpu``, ``cpu-board`` (a board with a device tree) or ``cpu``."""
    if (root / "etc/nv_tegra_release").exists() or "Jetson" in (board(root) or ""):
        return "jetson"
    if accelerators:
        return "gpu"
    return "cpu-board" if (root / "proc/device-tree/model").exists() else "cpu"


def accelerator_driver(root: Path) -> str | None:
    """The NVIDIA driver's version; on a Jetson that of Linux for Tegra, of which it is a part."""
    release = root / "etc/nv_tegra_release"
    if release.exists():
        text = release.read_text(encoding="utf-8", errors="replace")
        found = re.match(r"# R(\d+) \(release\), REVISION: ([\d.]+)", text)
        return f"L4T {found[1]}.{found[2]}" if found else None
    return read_accelerator_use(root).driver


def read_software(python: str) -> Software:
    """Ask the measuring Python what it has.

    Raises:
        FleetmarkError: it does not run, or has no fleetmark.
    """
    command = [python, "-m", "profiler.device.inventory"]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            check=True,
            timeout=SOFTWARE_SECONDS,
            env=os.environ | {"HF_HUB_OFFLINE": "1"},
        )
        return Software.model_validate_json(done.stdout)
    except subprocess.CalledProcessError as error:
        last = error.stderr.decode(errors="replace").strip().splitlines()[-3:]
        raise FleetmarkError(
            f"the measuring Python {python} cannot be used: {' '.join(last)}. "
            "Install fleetmark there too, or choose another with --worker-python"
        ) from error
    except (OSError, subprocess.TimeoutExpired, ValidationError) as error:
        raise FleetmarkError(f"the measuring Python {python} cannot be used: {error}") from error


def read_inventory(
    python: str, root: Path = Path("/"), sensors: SensorSetup = ALL_SENSORS
) -> Inventory:
    """Look at the device.

    Args:
        python: interpreter of the measured process.
        root: of the filesystem that describes the device.
        sensors: as the device was set up.

    Raises:
        FleetmarkError: the measuring Python cannot be used.
    """
    software = read_software(python)
    found = discover(Site.at(root, sensors.meters), sensors.only)
    power = [c for c in found.channels if c.quantity in (Quantity.ENERGY, Quantity.POWER)]
    reasons = "; ".join(f"{a.source}: {a.reason}" for a in found.absent if a.expected)
    labels = {c.label.partition(":")[0] for c in found.channels if c.source == "nvml"}
    accelerators = tuple(sorted(labels))
    return Inventory(
        kind=device_kind(root, accelerators),
        hostname=socket.gethostname(),
        machine=platform.machine(),
        board=board(root),
        cpu_model=cpu_model(root),
        cpu_count=os.cpu_count() or 1,
        memory_total_bytes=memory_total(root),
        accelerators=accelerators,
        driver=accelerator_driver(root),
        runtimes=software.runtimes,
        catalogs=software.catalogs,
        energy_sources=tuple(sorted({channel.source for channel in power})),
        energy_reason=None if power else reasons or "no source of power was found",
    )
