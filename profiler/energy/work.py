"""A run's recording → the windows over which its energy is asked for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from profiler.energy.window import Window
from profiler.plan import RepetitionReport
from profiler.samples import Iterations, Recording

_NS = 1e9


def windows_of(recording: Recording, reports: Sequence[RepetitionReport]) -> list[Window]:
    """One window for each repetition's timed part.

    Args:
        recording: of all repetitions.
        reports: of the same; the scenario ``offline`` has its calls there, block by block.
    """
    if any(report.offline for report in reports):
        return [_offline(report) for report in reports]
    iterations = recording.iterations
    return [_iterations(iterations, window) for window in iterations.timed_windows()]


def _iterations(iterations: Iterations, window: tuple[float, float]) -> Window:
    """Those that only led in after a pause used energy as well, so they count."""
    start, end = window
    done = (iterations.start_ns + iterations.latency_ns) / _NS
    mine = (iterations.start_ns / _NS >= start) & (done <= end)
    ends = np.sort(done[mine])
    return Window(start, end, ends, np.arange(1.0, len(ends) + 1))


def _offline(report: RepetitionReport) -> Window:
    blocks = report.offline
    return Window(
        blocks[0].start_ns / _NS,
        blocks[-1].end_ns / _NS,
        np.array([block.end_ns / _NS for block in blocks]),
        np.cumsum([float(block.calls) for block in blocks]),
    )
