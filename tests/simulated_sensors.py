"""Sensors whose truth is known: a true power over time, and what a sensor would say of it.

``Load`` is the truth. ``SimulatedSensor`` has what real ones have: an update period with a phase of
its own, a mean over a part of it, a lag, steps, wraps, resets, and reads that fail. ``trace_of``
gives what the sampler would hand over.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from profiler.energy.window import Span, Window
from profiler.result import EnergyScope
from profiler.sensors.base import Channel, Quantity, Reading
from profiler.sensors.beat import rhythm_of
from profiler.sensors.rhythm import with_rhythm
from profiler.sensors.trace import Floats, Series

LONG_AGO = -100.0
IDLE_WATTS = 5.0


@dataclass(frozen=True)
class Load:
    """True power as steps: ``watts[i]`` from ``starts[i]`` on, the last one for ever."""

    starts: Floats
    watts: Floats

    def joules(self, at: Floats | float) -> Floats:
        """Energy since the first start."""
        knots = np.append(self.starts, self.starts[-1] + 1e6)
        energy = np.concatenate([[0.0], np.cumsum(self.watts * np.diff(knots))])
        return np.asarray(np.interp(at, knots, energy), dtype=np.float64)

    def between(self, span: Span) -> float:
        return float(self.joules(span[1]) - self.joules(span[0]))

    def power(self, at: Floats) -> Floats:
        return self.watts[np.searchsorted(self.starts, at, side="right") - 1]

    def mean(self, end: Floats, seconds: float) -> Floats:
        """Mean power over the time before; momentary for 0."""
        if seconds == 0:
            return self.power(end)
        return (self.joules(end) - self.joules(end - seconds)) / seconds


def constant(watts: float) -> Load:
    return Load(np.array([LONG_AGO]), np.array([watts]))


def within(window: Window, steps: Sequence[tuple[float, float]], after: float = IDLE_WATTS) -> Load:
    """Idle, then (start, watts) in the window, then idle."""
    starts = [LONG_AGO, *(start for start, _ in steps), window.end]
    return Load(np.array(starts), np.array([IDLE_WATTS, *(watts for _, watts in steps), after]))


def square(window: Window, low: float, high: float, duty: float) -> Load:
    """Each call begins with its stretch of high power."""
    begins = np.concatenate([[window.start], window.ends[:-1]])
    lasts = window.ends - begins
    steps = [
        step
        for begin, last in zip(begins.tolist(), lasts.tolist(), strict=True)
        for step in ((begin, high), (begin + duty * last, low))
    ]
    return within(window, steps)


def ramp(window: Window, low: float, high: float) -> Load:
    starts = np.arange(window.start, window.end, 0.01)
    return within(
        window,
        list(zip(starts.tolist(), np.linspace(low, high, len(starts)).tolist(), strict=True)),
    )


def bursts(window: Window, low: float, high: float, at: Sequence[tuple[float, float]]) -> Load:
    """(pause before, length) of each burst in turn, as far as the window goes."""
    steps, now = [(window.start, low)], window.start
    for pause, length in at:
        begin, end = now + pause, now + pause + length
        if end >= window.end:
            break
        steps += [(begin, high), (end, low)]
        now = end
    return within(window, steps)


def calls(
    start: float, seconds: float, call_seconds: float, jitter: Floats | None = None
) -> Window:
    """A window of calls that follow each other at once, as long as about ``seconds``."""
    count = max(1, round(seconds / call_seconds))
    lasts = np.full(count, call_seconds)
    if jitter is not None:
        lasts = lasts * (1 + np.resize(jitter, count))
    ends = start + np.cumsum(lasts)
    return Window(start, float(ends[-1]), ends, np.arange(1.0, count + 1))


@dataclass(frozen=True)
class SimulatedSensor:
    """What a sensor does to the truth; the fields of ``Channel`` say it, the others do not."""

    quantity: Quantity
    update: float
    averaging: float | None = None
    lag: float = 0.0
    resolution: float | None = None
    wraps_at: float | None = None
    starts_at: float = 0.0
    phase: float = 0.0
    reset_at: float | None = None
    jitter: float = 0.0
    scope: EnergyScope = EnergyScope.BOARD
    source: str = "simulated"

    @property
    def channel(self) -> Channel:
        return Channel(
            source=self.source,
            label="board",
            quantity=self.quantity,
            scope=self.scope,
            update_period_seconds=self.update,
            averaging_seconds=self.averaging,
            lag_seconds=self.lag or None,
            resolution=self.resolution,
            wraps_at=self.wraps_at,
        )

    def updated(self, seconds: Floats) -> Floats:
        """Of what moment the value is that is read at each of these times."""
        count = np.floor((seconds - self.lag - self.phase) / self.update)
        if not self.jitter:
            return self.phase + count * self.update
        near = count[..., None] + np.array([-1.0, 0.0, 1.0])
        # As good as random, and the same whenever it is asked.
        off = np.modf(np.sin(near * 12.9898) * 43758.5453)[0]
        moments = self.phase + near * self.update + self.jitter * off
        passed = moments <= (seconds - self.lag)[..., None]
        return np.asarray(np.max(np.where(passed, moments, -np.inf), axis=-1))

    def read(self, load: Load, seconds: Floats) -> Floats:
        at = self.updated(seconds)
        if self.quantity is Quantity.POWER:
            return self._stepped(load.mean(at, self.averaging or 0.0))
        joules = self.starts_at + self._added_up(load, at)
        if self.reset_at is not None:
            begun = self.starts_at + self._added_up(load, np.array([self.reset_at]))
            joules = np.where(at >= self.reset_at, joules - begun, joules)
        joules = self._stepped(joules)
        return joules if self.wraps_at is None else joules % self.wraps_at

    def _added_up(self, load: Load, at: Floats) -> Floats:
        if self.averaging is None or self.averaging >= self.update:
            return load.joules(at) - load.joules(-1.0)
        # Each update adds what the sensor saw of it, as if the rest had been alike.
        before = int(np.floor((-1.0 - self.phase) / self.update))
        count = np.rint((at - self.phase) / self.update).astype(int) - before
        every = self.phase + self.update * (before + 1 + np.arange(max(1, np.max(count))))
        sums = np.cumsum(load.mean(every, self.averaging) * self.update)
        return np.asarray(np.where(count > 0, sums[np.maximum(count, 1) - 1], 0.0))

    def _stepped(self, values: Floats) -> Floats:
        if self.resolution is None:
            return values
        return np.asarray(np.floor(values / self.resolution + 1e-6) * self.resolution)


def polls(
    end: float, period: float = 0.1, jitter: Floats | None = None, lost: Sequence[Span] = ()
) -> Floats:
    """When the sampler read: late by ``jitter``, and not at all in the spans that are lost."""
    seconds = np.arange(-0.5, end, period)
    if jitter is not None:
        seconds += np.resize(jitter, len(seconds))
    for first, last in lost:
        seconds = seconds[(seconds < first) | (seconds > last)]
    return seconds


def series_of(load: Load, sensor: SimulatedSensor, seconds: Floats) -> Series:
    return Series(sensor.channel, seconds, sensor.read(load, seconds))


def listened(load: Load, sensor: SimulatedSensor, every: float = 0.001) -> Channel:
    """The sensor's channel after it was listened to for a second, as before a run."""
    seconds = np.arange(-2.0, -1.0, every)
    values = sensor.read(load, seconds).tolist()
    key = sensor.channel.key
    readings = [
        Reading(channel=key, seconds=at, value=value)
        for at, value in zip(seconds.tolist(), values, strict=True)
    ]
    return with_rhythm(sensor.channel, rhythm_of(sensor.channel, readings))
