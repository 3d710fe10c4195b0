"""Which devices are here now. In memory only: after a restart it is found out again."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from agents.coordinator.rows import DeviceRecord
from agents.messages import Device, DeviceState, Progress


@dataclass
class _Seen:
    at: datetime | None = None
    reason: str | None = None
    ever: bool = False
    online: bool = False
    run_id: str | None = None


class Present(NamedTuple):
    """A device at this moment; ``run_id`` is what it works on."""

    state: DeviceState
    reason: str | None
    last_seen_at: datetime | None
    run_id: str | None


class Presence:
    """Written by the loops, read by the API; safe between threads."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._seen: dict[str, _Seen] = {}
        self._progress: dict[str, Progress] = {}

    def answered(self, device_id: str, run_id: str | None) -> None:
        """The device's agent answered; ``run_id`` is what it works on."""
        with self._lock:
            seen = self._seen.setdefault(device_id, _Seen())
            seen.at, seen.reason, seen.ever, seen.online = self._now(), None, True, True
            seen.run_id = run_id

    def missing(self, device_id: str, reason: str) -> None:
        with self._lock:
            seen = self._seen.setdefault(device_id, _Seen())
            seen.online, seen.reason, seen.run_id = False, reason, None

    def joining(self, device_id: str) -> None:
        """The device registered (again): not offline, and not here yet either."""
        with self._lock:
            self._seen[device_id] = _Seen()

    def forget(self, device_id: str) -> None:
        with self._lock:
            self._seen.pop(device_id, None)

    def progress(self, run_id: str) -> Progress | None:
        with self._lock:
            return self._progress.get(run_id)

    def show(self, run_id: str, progress: Progress | None) -> None:
        with self._lock:
            if progress is None:
                self._progress.pop(run_id, None)
            else:
                self._progress[run_id] = progress

    def now(self, device_id: str, last_seen_at: datetime | None) -> Present:
        """Args:
        device_id: which device.
        last_seen_at: as stored; the later of this and what is known here counts.
        """
        with self._lock:
            seen = self._seen.get(device_id, _Seen())
            state = DeviceState.JOINING
            if seen.online:
                state = DeviceState.BUSY if seen.run_id else DeviceState.ONLINE
            elif seen.ever or seen.reason:
                state = DeviceState.OFFLINE
            moments = [at for at in (seen.at, last_seen_at) if at is not None]
            return Present(state, seen.reason, max(moments, default=None), seen.run_id)

    def view(self, record: DeviceRecord) -> Device:
        """The stored device with its present state."""
        found = self.now(record.id, record.last_seen_at)
        return Device(
            id=record.id,
            name=record.name,
            state=found.state,
            state_reason=found.reason,
            labels=record.labels,
            inventory=record.inventory,
            versions=record.versions,
            address=record.address,
            metrics_port=record.metrics_port,
            registered_at=record.registered_at,
            last_seen_at=found.last_seen_at,
            current_run_id=found.run_id,
        )
