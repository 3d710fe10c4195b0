"""Server-sent events: a view of the fleet, sent whenever it has changed.

An event's id is a digest of its data. A page that comes back says which it saw last and is told
only what is new, also by a coordinator that was started anew: nothing is remembered for it.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Callable
from typing import NamedTuple

from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool

from profiler.errors import FleetmarkError

TICK_SECONDS = 0.5
# Silence that a page takes for a lost connection is longer.
KEEP_ALIVE_SECONDS = 5.0
MOST_STREAMS = 256
FRESH_SECONDS = 0.4
MOST_KEPT = 512


class BusyError(FleetmarkError):
    """Too many pages are open."""


class _Kept(NamedTuple):
    at: float
    data: str
    digest: str


class Snapshots:
    """Views as JSON, made once for all who watch the same.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._kept: dict[str, _Kept] = {}

    def get(self, topic: str, make: Callable[[], BaseModel]) -> _Kept:
        """The view, younger than ``FRESH_SECONDS``. Two threads may make it twice; no harm."""
        kept = self._kept.get(topic)
        if kept is not None and self._clock() - kept.at < FRESH_SECONDS:
            return kept
        data = make().model_dump_json()
        kept = _Kept(self._clock(), data, hashlib.sha256(data.encode()).hexdigest()[:16])
        if len(self._kept) >= MOST_KEPT:
            self._kept.clear()
        self._kept[topic] = kept
        return kept


class Streams:
    """Open streams, and their end when the coordinator stops."""

    def __init__(self, snapshots: Snapshots | None = None) -> None:
        self._snapshots = snapshots or Snapshots()
        self._open = 0
        self._closing = False

    def close(self) -> None:
        """End all of them at their next turn: a server waits for its answers to end."""
        self._closing = True

    def refuse_if_full(self) -> None:
        """Raises:
        BusyError: no other page can be served.
        """
        if self._open >= MOST_STREAMS:
            raise BusyError(f"{MOST_STREAMS} pages are open, more than this coordinator serves")

    async def follow(
        self,
        topic: str,
        make: Callable[[], BaseModel],
        may: Callable[[], bool],
        last: str | None,
        tick: float = TICK_SECONDS,
    ) -> AsyncIterator[str]:
        """Lines of an event stream, until the reader goes or may no longer read.

        Args:
            topic: what ``make`` makes.
            make: the view; blocking.
            may: whether the reader's token is still one.
            last: id of the event that the reader saw last.
            tick: seconds between two looks.
        """
        self._open += 1
        try:
            silent = 0.0
            yield "retry: 1000\n\n"
            while not self._closing:
                if not may():
                    yield "event: refused\ndata: {}\n\n"
                    return
                try:
                    kept = await run_in_threadpool(self._snapshots.get, topic, make)
                except FleetmarkError as error:
                    # What was watched is gone; the page asks again and is told in words.
                    yield f"event: gone\ndata: {_one_line(str(error))}\n\n"
                    return
                if kept.digest != last:
                    last, silent = kept.digest, 0.0
                    yield f"id: {kept.digest}\nevent: view\ndata: {kept.data}\n\n"
                elif silent >= KEEP_ALIVE_SECONDS:
                    silent = 0.0
                    yield ": still here\n\n"
                await asyncio.sleep(tick)
                silent += tick
        finally:
            self._open -= 1


def _one_line(text: str) -> str:
    return " ".join(text.split())
