"""What a sampler delivers: readings over time, as arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from profiler.result import AbsentSource, SamplerReport
from profiler.sensors.base import Channel
from profiler.sensors.rhythm import Rhythm

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Series:
    """The readings of one channel, in the order of time.

    Attributes:
        channel: what was read.
        seconds: ``perf_counter`` midway through each read that gave a value.
        values: in the channel's unit; as long as ``seconds``, without NaN.
        failed: how many reads gave none.
        error: what the last of those said.
    """

    channel: Channel
    seconds: Floats
    values: Floats
    failed: int = 0
    error: str | None = None


@dataclass(frozen=True)
class Trace:
    """All readings of a run.

    Attributes:
        series: one per channel.
        absent: the sources that could not be read at all, and why.
        report: what the sampler cost; ``None`` when it was lost.
        lost: why the sampler delivered nothing, or ``None``.
        rhythms: of the sources that were listened to.
    """

    series: tuple[Series, ...]
    absent: tuple[AbsentSource, ...]
    report: SamplerReport | None
    lost: str | None = None
    rhythms: tuple[Rhythm, ...] = ()
