"""Whether a device's versions fit the coordinator's."""

from __future__ import annotations

from agents.messages import Versions
from profiler.errors import InputError


def _minor(version: str) -> str:
    return ".".join(version.split(".")[:2])


def refuse_versions(device: Versions, coordinator: Versions) -> None:
    """Raises:
    InputError: Ray would not work, or the two fleetmarks speak differently; says what to change.
    """
    if device.protocol != coordinator.protocol:
        raise InputError(
            "fleetmark", device.fleetmark,
            f"does not speak with the coordinator's {coordinator.fleetmark}",
            f"pip install 'fleetmark=={coordinator.fleetmark}' on the device",
        )  # fmt: skip
    if _minor(device.ray) != _minor(coordinator.ray):
        raise InputError(
            "ray", device.ray, f"differs from the coordinator's {coordinator.ray}",
            f"pip install 'ray=={coordinator.ray}' on the device",
        )  # fmt: skip
    if _minor(device.python) != _minor(coordinator.python):
        raise InputError(
            "python", device.python, f"differs from the coordinator's {coordinator.python}",
            f"Run the agent under Python {_minor(coordinator.python)}; models may still be "
            "measured under another one with --worker-python",
        )  # fmt: skip
