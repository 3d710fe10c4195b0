"""A figure with its interval, and the statistics of latencies."""

from __future__ import annotations

from pydantic import Field

from profiler.base import Frozen, StrEnum


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


class Experience(StrEnum):
    """Whose runs tell how much runs vary."""

    CONFIGURATION = "configuration"
    DEVICE = "device"


class OverRuns(Frozen):
    """How much runs vary on this device from one to the next, by this one and the last ones.

    Attributes:
        runs: how many tell it, this one included where they are of this configuration.
        of: this configuration's own runs or, while they are too few, those of others here.
        relative_sd: from run to run.
        freedom: degrees of freedom of ``relative_sd``.
        p50: this run's median, and where the device's typical median lies (95 %).
    """

    runs: int
    of: Experience = Experience.CONFIGURATION
    relative_sd: float
    freedom: float = Field(gt=0)
    p50: Interval


class AtUsualSpeed(Frozen):
    """This run's median, had the device been as fast as it usually is: ``usual_speed``.

    Attributes:
        runs: of this configuration with the same sentinel, this one included.
        exponent: latency ∝ sentinel ** exponent; 1: what slows the sentinel slows the model as
            much, 0: the model does not feel it. ``exponent_sd``: what it is uncertain by.
        sentinel_seconds: the sentinel's usual duration: the median over the first four runs. It
            stays, so that all later figures are of one speed, until the device is another one.
        relative_sd: of this figure, from run to run.
        freedom: degrees of freedom of ``relative_sd``.
        p50: the figure, in seconds, and where the typical one lies (95 %).
    """

    runs: int
    exponent: float
    exponent_sd: float
    sentinel_seconds: float = Field(gt=0)
    relative_sd: float
    freedom: float = Field(gt=0)
    p50: Interval
