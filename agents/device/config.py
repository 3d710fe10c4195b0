"""What the daemon leaves for the agent: the raylet stands between them, so it goes by a file."""

from __future__ import annotations

from pathlib import Path

from agents.messages import Inventory
from profiler.base import Frozen
from profiler.sensors.setup import SensorSetup

# Names the file below; a raylet's workers inherit it from the daemon.
CONFIG_VARIABLE = "FLEETMARK_AGENT_CONFIG"


# A waiting worker holds its engine's libraries, some 300 MB for torch, and uses no CPU.
KEEP_WARM_SECONDS = 60.0


class AgentConfig(Frozen):
    """The agent's settings.

    Attributes:
        state_dir: outbox and work files.
        cache_dir: models and conversions.
        worker_python: interpreter of the measured process.
        environment: the daemon's own, before Ray changed any of it.
        keep_warm_seconds: how long a worker waits for another run before it is ended.
        sensors: what runs and the agent's own metrics read.
        inventory: what the daemon found the device to be, for the agent's metrics.
    """

    device_id: str
    name: str
    state_dir: Path
    cache_dir: Path
    worker_python: str
    environment: dict[str, str]
    keep_warm_seconds: float = KEEP_WARM_SECONDS
    sensors: SensorSetup = SensorSetup()
    inventory: Inventory | None = None
    metrics_address: str
    metrics_port: int
    metrics_token_sha256: str
