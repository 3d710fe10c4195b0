"""What the scenarios other than ``single_stream`` have to tell."""

from __future__ import annotations

from profiler.base import Frozen, StrEnum
from profiler.results.latency import Interval, Latency


class Throughput(Frozen):
    """Items per second in the scenario ``offline``, over blocks of calls that were not awaited."""

    blocks: int
    items_per_second: Interval | None
    reason: str | None = None


class Met(StrEnum):
    """Whether a rate meets the bound: yes or no by the whole interval, or it cannot be told."""

    MEETS = "meets"
    FAILS = "fails"
    UNDECIDED = "undecided"


class ServerTrial(Frozen):
    """One rate that was offered.

    Attributes:
        rate_per_second: offered, and what was really ``achieved_per_second``.
        queries: calls that arrived, and of them those ``abandoned``: not begun when time was over.
        utilization: share of the time in which a call was served.
        latency_seconds: the percentile that the bound is on, or ``None`` with a reason.
        lateness_seconds: p99 of how late calls began that found nothing in their way: the load
            generator's own error, part of the latencies. ``None``: there was no such call.
        backlog_peak: most calls that had arrived and were not begun.
        backlog_end: calls ahead of the last one when it arrived; what grows to the end is overload.
        overloaded: calls came faster than they were served, and the backlog no longer emptied.
        met: whether the bound was met; ``None`` where there is none.
    """

    rate_per_second: float
    achieved_per_second: float
    queries: int
    abandoned: int
    utilization: float
    latency_seconds: Interval | None
    latency_reason: str | None = None
    lateness_seconds: float | None
    backlog_peak: int
    backlog_end: int
    overloaded: bool
    met: Met | None = None


class ServerReport(Frozen):
    """The scenario ``server``. Latencies in the result are those at ``rate_per_second``.

    ``highest_rate_per_second`` is the search's answer: the highest rate that was shown to meet the
    bound. ``None`` where a rate was given, or with a reason where no rate was shown to.
    ``failing_rate_per_second`` is the lowest that was shown not to; what lies between is undecided.
    ``rate_per_second`` is ``None`` where nothing was offered.
    """

    percentile: str
    rate_per_second: float | None
    latency_bound_seconds: float | None
    highest_rate_per_second: float | None
    highest_rate_reason: str | None = None
    failing_rate_per_second: float | None = None
    trials: tuple[ServerTrial, ...]


class LatencyWindow(Frozen):
    """Latency in one stretch of a sustained run, times from the first timed iteration."""

    start_seconds: float
    end_seconds: float
    iterations: int
    p50_seconds: float
    p90_seconds: float


class SustainedReport(Frozen):
    """Latency over time.

    ``slowdown`` is the median of the last tenth of the time over that of the first;
    ``settled_after_seconds`` is when the median came to within 2 % of the last tenth's for good,
    ``None`` where that was not before the last tenth itself. ``device_settled`` is of clocks and
    temperatures at the end; ``None``: none can be read. ``device_settled_after_seconds`` is when it
    had, for good; ``settled_latency`` is of the iterations from then on.
    """

    windows: tuple[LatencyWindow, ...]
    slowdown: Interval | None
    slowdown_reason: str | None = None
    settled_after_seconds: float | None
    settled_reason: str | None = None
    device_settled: bool | None = None
    device_settled_reason: str | None = None
    device_settled_after_seconds: float | None = None
    settled_latency: Latency | None = None
    settled_latency_reason: str | None = None
