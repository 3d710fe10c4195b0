"""Progress of a run as one line on stderr that is written over."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from profiler import units
from profiler.events import ProgressEvent

Listener = Callable[[ProgressEvent], None]


@contextmanager
def told(progress: bool | Listener | None, label: str) -> Iterator[Listener]:
    """Whom to tell, until the block ends.

    Args:
        progress: a function is called with every event; ``True`` writes the line, ``False`` tells
            nobody, and ``None`` writes it where stderr is a terminal.
        label: names the model.
    """
    if callable(progress):
        yield progress
        return
    stream = sys.stderr
    if not (stream.isatty() if progress is None else progress):
        yield _silent
        return
    line = _Line(stream, label)
    try:
        yield line.show
    finally:
        line.clear()


def _silent(event: ProgressEvent) -> None:
    del event


class _Line:
    def __init__(self, stream: TextIO, label: str) -> None:
        self._stream = stream
        self._label = label
        self._width = 0

    def show(self, event: ProgressEvent) -> None:
        phase = event.phase.value.replace("_", " ")
        so_far = f", p50 {units.seconds(event.p50_seconds)}" if event.p50_seconds else ""
        self._write(f"{self._label}: {phase}, {100 * event.fraction:.0f} %{so_far}")

    def clear(self) -> None:
        self._write("")
        self._stream.write("\r")
        self._stream.flush()

    def _write(self, text: str) -> None:
        # What the text before was longer by is blanked.
        self._stream.write(f"\r{text:<{self._width}}")
        self._stream.flush()
        self._width = len(text)
