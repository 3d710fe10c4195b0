"""What both processes say of a device and of themselves."""

from __future__ import annotations

from agents.exporter.families import Row
from agents.messages import Inventory, Versions
from profiler.spec import Runtime

# Engines that come with torch have its version.
_ENGINES = (Runtime.TORCH, Runtime.ONNXRUNTIME)


def device_labels(inventory: Inventory) -> tuple[str, ...]:
    """Values of ``fleetmark_device_info`` behind ``device``; empty where a thing is not known."""
    versions = {s.runtime: s.version for s in inventory.runtimes if s.installed}
    return (
        inventory.kind,
        inventory.board or "",
        inventory.machine,
        inventory.cpu_model,
        ", ".join(inventory.accelerators),
        inventory.driver or "",
        *(versions.get(engine) or "" for engine in _ENGINES),
    )


def build_rows(versions: Versions) -> list[Row]:
    return [Row((versions.fleetmark, versions.python, versions.ray), 1)]
