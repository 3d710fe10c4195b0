"""Lets calls in until it is closed, and knows when the last one has left."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from profiler.errors import FleetmarkError


class GateClosedError(FleetmarkError):
    """No more calls: what they need is being taken down."""


class Gate:
    """Shared by the threads that call, and closed by the one that takes down."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._inside = 0
        self._closed = False

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Raises:
        GateClosedError: the gate was closed.
        """
        with self._changed:
            if self._closed:
                raise GateClosedError("the coordinator is stopping")
            self._inside += 1
        try:
            yield
        finally:
            with self._changed:
                self._inside -= 1
                self._changed.notify_all()

    def close(self, seconds: float) -> bool:
        """Let nobody in any more; whether all had left within ``seconds``."""
        with self._changed:
            self._closed = True
            return self._changed.wait_for(lambda: self._inside == 0, timeout=seconds)
