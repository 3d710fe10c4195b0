"""The calls to the devices' agents as the coordinator sees them; ``fleet.Fleet`` does them by Ray.

Apart from ``fleet``, because Ray reads its settings when it is imported: nothing may import it
before they are made.
"""

from __future__ import annotations

from typing import Any, Protocol

from agents.messages import AgentStatus, Assignment, AttemptKey, StartAnswer
from profiler.errors import FleetmarkError
from profiler.result import RunResult


class DeviceUnreachableError(FleetmarkError):
    """The device's agent did not answer in time, or could not do what it was asked."""


class AgentFailedError(DeviceUnreachableError):
    """The agent answered, but could not do what it was asked: its disk is full, for one."""


class StrangeResultError(FleetmarkError):
    """A device delivered what is no result of the attempt that was asked for."""


class Agents(Protocol):
    """What can be asked of a device's agent. Every call may raise ``DeviceUnreachableError``."""

    def ensure_agent(self, device_id: str) -> None:
        """Find the device's agent, or create it."""

    def forget(self, device_id: str) -> None:
        """End the device's agent for good."""

    def status(self, device_id: str, wait_seconds: float, version: int) -> AgentStatus:
        """What the agent is doing; waits up to ``wait_seconds`` for news after ``version``."""

    def start(self, device_id: str, assignment: Assignment) -> StartAnswer: ...

    def abort(self, device_id: str, key: AttemptKey) -> None: ...

    def fetch(self, device_id: str, key: AttemptKey) -> tuple[RunResult, bytes | None]:
        """A finished attempt's result and its raw iterations (npz), if there are any.

        Raises:
            StrangeResultError: what came is not understood, or belongs to another attempt.
        """

    def acknowledge(self, device_id: str, key: AttemptKey) -> None: ...

    def model_offset(self, device_id: str, digest: str) -> int:
        """How many bytes of the model the device holds already; -1 when it is complete."""

    def put(self, chunk: bytes) -> Any:
        """Place a chunk where all devices can take it from; raises nothing of a device."""

    def send_chunk(self, device_id: str, digest: str, size: int, offset: int, chunk: Any) -> None:
        """Append a chunk, from ``put``, to the model on the device."""
