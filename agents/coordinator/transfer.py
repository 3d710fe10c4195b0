"""Models to devices: in chunks through Ray's object store, each put there once for all devices."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from agents.coordinator.calls import Agents
from agents.coordinator.models import CHUNK_BYTES, ModelStore
from profiler.spec import ArtifactRef

# Chunks kept in the object store: one model that many devices ask for at about the same time.
KEPT_CHUNKS = 32
KEPT_SECONDS = 60.0
COMPLETE = -1


class Transfers:
    """Sends models; used by the loops of all devices at once."""

    def __init__(
        self, fleet: Agents, models: ModelStore, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._fleet = fleet
        self._models = models
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[str, int], tuple[float, tuple[Any, int]]] = OrderedDict()

    def send(self, device_id: str, model: ArtifactRef, show: Callable[[float], None]) -> None:
        """Bring the model to the device, from where an interrupted transfer stopped.

        Args:
            device_id: where to.
            model: what.
            show: told the fraction done.

        Raises:
            DeviceUnreachableError: the device does not answer, or refuses a chunk.
            OSError: the model cannot be read here.
        """
        offset = self._fleet.model_offset(device_id, model.digest)
        while offset != COMPLETE:
            show(min(1.0, offset / model.size_bytes))
            # Offsets are multiples of the chunk's size: a device keeps whole chunks only.
            ref, size = self._chunk(model.digest, offset)
            # Where all bytes are there but were not verified, an empty chunk completes the model.
            self._fleet.send_chunk(device_id, model.digest, model.size_bytes, offset, ref)
            offset += size
            if offset >= model.size_bytes:
                return

    def _chunk(self, digest: str, offset: int) -> tuple[Any, int]:
        key = (digest, offset)
        with self._lock:
            self._expire()
            kept = self._kept.get(key)
        if kept is not None:
            return kept[1]
        data = self._models.read(digest, offset, CHUNK_BYTES)
        entry = (self._fleet.put(data), len(data))
        with self._lock:
            self._kept[key] = (self._clock(), entry)
            while len(self._kept) > KEPT_CHUNKS:
                self._kept.popitem(last=False)
        return entry

    def _expire(self) -> None:
        limit = self._clock() - KEPT_SECONDS
        for key in [key for key, (at, _) in self._kept.items() if at < limit]:
            del self._kept[key]
