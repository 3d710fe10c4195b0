"""Processes that are held still for a moment, so that what they cost can be seen.

A process that is stopped (SIGSTOP) costs nothing, keeps its state and its connections, and goes on
where it was (SIGCONT). Whoever holds one still must let it go again, also when it is killed itself:
a guard process, which outlives it for that moment, does.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Sequence
from types import TracebackType
from typing import NoReturn

from typing_extensions import Self


class Paused:
    """Holds processes still and lets them go; on exit, and on any end of this process, they run.

    Args:
        pids: those that are ours to stop. One that has ended meanwhile is left out.
    """

    def __init__(self, pids: Sequence[int]) -> None:
        self._pids = tuple(pids)
        self._guard: tuple[int, int] | None = None

    def __enter__(self) -> Self:
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            _guard(reader, writer, self._pids)
        os.close(reader)
        self._guard = (pid, writer)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.resume()
        if self._guard is not None:
            pid, writer = self._guard
            os.close(writer)
            os.waitpid(pid, 0)
            self._guard = None

    def stop(self) -> None:
        """Hold them still."""
        _send(self._pids, signal.SIGSTOP)

    def resume(self) -> None:
        """Let them go on."""
        _send(self._pids, signal.SIGCONT)


def _send(pids: Sequence[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def _guard(reader: int, writer: int, pids: Sequence[int]) -> NoReturn:
    """Wait until the other end of the pipe closes, whyever it does, and let the processes go."""
    try:
        os.close(writer)
        # Its own group: what ends the process that it guards must not end the guard first.
        os.setsid()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        os.read(reader, 1)
        _send(pids, signal.SIGCONT)
    finally:
        os._exit(0)
