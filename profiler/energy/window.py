"""The time over which energy is asked for, and what is answered. Data only.

Seconds are ``perf_counter``'s throughout.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from profiler.sensors.trace import Floats

# (start, end).
Span = tuple[float, float]


def _none() -> Floats:
    return np.empty(0)


@dataclass(frozen=True)
class Window:
    """One repetition's timed part, and how far its work had come at every moment.

    Attributes:
        start, end: of the timed part.
        ends: when each call was done, or each block of calls that were not awaited; rising.
        calls: how many were done by then since ``start``.
    """

    start: float
    end: float
    ends: Floats = field(default_factory=_none)
    calls: Floats = field(default_factory=_none)

    @property
    def seconds(self) -> float:
        return self.end - self.start

    @property
    def span(self) -> Span:
        return self.start, self.end

    def done(self, at: Floats | float) -> Floats:
        """Calls since ``start``; one that is under way counts by the part that has passed."""
        points = np.concatenate([[self.start], self.ends])
        return np.asarray(np.interp(at, points, np.concatenate([[0.0], self.calls])))

    def calls_between(self, span: Span) -> float:
        return float(self.done(span[1]) - self.done(span[0]))

    @property
    def call_seconds(self) -> float | None:
        """The usual time from one call to the next; ``None`` where none was made."""
        if not len(self.ends) or self.calls[-1] <= 0:
            return None
        steps = np.diff(np.concatenate([[self.start], self.ends]))
        return float(np.median(steps / np.diff(np.concatenate([[0.0], self.calls]))))


@dataclass(frozen=True)
class WindowEnergy:
    """Joules over a span of time, and by how many of them they may be off.

    Attributes:
        span: what the joules are of. A counter's is cut at its ticks, inside the window.
        coverage: share of the window that asked that readings tell of.
        largest_gap_seconds: the longest time without a reading in the window.
    """

    joules: float
    uncertainty_joules: float
    span: Span
    coverage: float
    largest_gap_seconds: float

    @property
    def seconds(self) -> float:
        return self.span[1] - self.span[0]


@dataclass(frozen=True)
class Missing:
    """Why there are no joules."""

    reason: str


def pauses(seconds: Floats, span: Span) -> Floats:
    """Time between the readings that lie around and in a span, cut to it."""
    inside = seconds[(seconds > span[0]) & (seconds < span[1])]
    return np.diff(np.concatenate([[span[0]], inside, [span[1]]]))


def largest_gap(seconds: Floats, span: Span) -> float:
    return float(np.max(pauses(seconds, span)))
