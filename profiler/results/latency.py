"""A figure with its interval, and the statistics of latencies."""

from __future__ import annotations

from profiler.base import Frozen


class Interval(Frozen):
    """A point estimate and the 95 % interval around it.

    A median of too few iterations has no bounds: ``low`` and ``high`` are then both ``None``, and
    ``Latency.p50_reason`` says why. The other percentiles are withheld as a whole.
    """

    value: float
    low: float | None
    high: float | None

    @property
    def relative_half_width(self) -> float | None:
        """Half the width over the value; ``None`` without bounds, or around zero."""
        if self.low is None or self.high is None or self.value <= 0:
            return None
        return (self.high - self.low) / 2 / self.value

    def below(self, other: Interval) -> bool:
        """Whether the two intervals lie apart, this one lower; unknown bounds never do."""
        return self.high is not None and other.low is not None and self.high < other.low


class Latency(Frozen):
    """Statistics of the timed iterations, in seconds.

    A percentile is ``None`` when the effective number of iterations is too small for a two-sided
    95 % interval; ``*_reason`` then says so.
    """

    n: int
    n_effective: float
    mean: float
    minimum: float
    maximum: float
    median_absolute_deviation: float
    outliers: int
    p50: Interval | None
    p50_reason: str | None = None
    p90: Interval | None
    p90_reason: str | None = None
    p95: Interval | None
    p95_reason: str | None = None
    p99: Interval | None
    p99_reason: str | None = None
    p999: Interval | None
    p999_reason: str | None = None


class OverRuns(Frozen):
    """How much runs of this configuration vary on this device, this one and the last ones.

    Attributes:
        runs: how many, this one included.
        relative_sd: from run to run.
        p50: this run's median, and where the device's typical median lies (95 %).
    """

    runs: int
    relative_sd: float
    p50: Interval
