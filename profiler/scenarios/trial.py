"""One offered rate: what it came to, and whether that is an overload."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from profiler import stats
from profiler.result import Interval, Latency, Met, ServerTrial
from profiler.scenarios.means import mean
from profiler.scenarios.queueing import Forecast, calls_needed, forecast
from profiler.scenarios.served import Served

OVERLOADED = (
    "the model was overloaded: latency grows for as long as calls come, so no percentile of it "
    "is the model's. Offer a lower rate"
)
# Lateness above this share of the percentile is no longer negligible.
LATE_SHARE = 0.1
NO_CALLS = "no call arrived. Offer a higher rate, or measure for longer (--max-time)"


def overloaded(served: Served, rate_per_second: float) -> bool:
    """Whether calls came faster than they could be served.

    Two things must be true of the later half of the calls. None of them found the model idle: the
    backlog did not empty. And the rate exceeds what was served per second then, when serving did
    not pause for want of calls, by more than chance (95 %): rate times service time above 1 is the
    condition under which the queue of a server grows without end (Loynes 1962, "The stability of a
    queue with non-independent inter-arrival and service times").

    Comparing backlogs, early against late, would need many more calls: at 90 % utilisation a
    backlog takes hundreds of calls to come and go. The rate that is offered is known exactly, so
    only the service time is estimated. The first condition keeps a stall that is being worked off
    from counting; the service time of the calls behind it is short again.
    """
    later = len(served.end_ns) // 2
    if later < 1 or bool(served.found_idle()[later:].any()):
        return False
    found = mean(np.diff(served.end_ns[later - 1 :]) / 1e9)
    return found is not None and rate_per_second * (found.value - found.half_width) > 1


def describe(
    rate_per_second: float,
    percentile: str,
    runs: Sequence[Served],
    expected: Forecast | None = None,
) -> ServerTrial:
    """What was seen at a rate.

    Args:
        rate_per_second: that was offered.
        percentile: the name of the one that a bound is on.
        runs: one per process.
        expected: a forecast that was made before; else one is made from the service times.
    """
    served = [len(run.end_ns) for run in runs]
    over = any(overloaded(run, rate_per_second) for run in runs)
    found = _percentile(rate_per_second, percentile, runs, expected, over=over)
    elapsed = sum(run.elapsed_ns for run in runs) / 1e9
    late = np.concatenate([run.lateness_seconds() for run in runs])
    return ServerTrial(
        rate_per_second=rate_per_second,
        achieved_per_second=sum(served) / elapsed,
        queries=sum(served) + sum(len(run.abandoned_ns) for run in runs),
        abandoned=sum(len(run.abandoned_ns) for run in runs),
        utilization=sum(float(run.service_seconds().sum()) for run in runs) / elapsed,
        latency_seconds=found.interval,
        latency_reason=found.reason,
        lateness_seconds=float(np.quantile(late, 0.99)) if len(late) else None,
        backlog_peak=max(int(run.backlog().max(initial=0)) for run in runs),
        backlog_end=max(run.backlog_at_end() for run in runs),
        overloaded=over,
    )


def _percentile(
    rate_per_second: float,
    name: str,
    runs: Sequence[Served],
    expected: Forecast | None,
    *,
    over: bool,
) -> stats.Percentile:
    groups = [latency for run in runs if len(latency := run.latency_seconds())]
    if not groups:
        return stats.Percentile(None, NO_CALLS)
    if over:
        return stats.Percentile(None, OVERLOADED)
    level = stats.PERCENTILES[name]
    service = np.concatenate([run.service_seconds() for run in runs])
    expected = expected or forecast(service, rate_per_second, level)
    reason = too_few(sum(map(len, groups)), rate_per_second, level, expected)
    return stats.Percentile(None, reason) if reason else stats.percentile(groups, level)


def too_few(
    calls: int, rate_per_second: float, level: float, expected: Forecast | None
) -> str | None:
    """Why so many calls give no interval; ``None``: they do, as far as can be foreseen."""
    if expected is None:
        return (
            "the model was busy nearly all of the time; its waits are too long correlated for an "
            "interval. Offer a lower rate"
        )
    needed = calls_needed(expected, level)
    if calls >= needed:
        return None
    return (
        f"{calls} calls: waiting times come in bunches, so that at this rate an interval needs "
        f"about {needed}, which take {needed / rate_per_second:.3g} s (--max-time)"
    )


def latency(runs: Sequence[Served], rate_per_second: float) -> Latency:
    """All statistics of the latencies at a rate; only those percentiles whose interval holds.

    Args:
        runs: one per process; a call arrived in each.
        rate_per_second: that was offered.
    """
    whole = stats.summarise([run.latency_seconds() for run in runs])
    over = any(overloaded(run, rate_per_second) for run in runs)
    service = np.concatenate([run.service_seconds() for run in runs])
    withheld: dict[str, Interval | str | None] = {}
    for name, level in stats.PERCENTILES.items():
        expected = None if over else forecast(service, rate_per_second, level)
        reason = OVERLOADED if over else too_few(whole.n, rate_per_second, level, expected)
        if reason:
            withheld |= {name: None, f"{name}_reason": reason}
    if "p50" in withheld and whole.p50 is not None:
        # A median is never withheld, its bounds are.
        withheld["p50"] = Interval(value=whole.p50.value, low=None, high=None)
    return whole.model_copy(update=withheld)


def judge(trial: ServerTrial, bound_seconds: float) -> Met:
    """Whether the trial shows that its percentile is within the bound."""
    found = trial.latency_seconds
    if trial.overloaded:
        return Met.FAILS
    if found is None or found.low is None or found.high is None:
        return Met.UNDECIDED
    if found.high <= bound_seconds:
        return Met.MEETS
    return Met.FAILS if found.low > bound_seconds else Met.UNDECIDED


def late(trial: ServerTrial) -> str | None:
    """That calls began late with nothing in their way, where it weighs in the latency.

    The load generator woke up late or was put aside: other work has the CPU. A real server on this
    device would be late as well, but without that work the model is faster than it looks.
    """
    if trial.lateness_seconds is None or trial.latency_seconds is None:
        return None
    if trial.lateness_seconds <= LATE_SHARE * trial.latency_seconds.value:
        return None
    return (
        f"1 % of the calls that found the model idle began {1e3 * trial.lateness_seconds:.3g} ms "
        "late or later, since something else had the CPU: stop what else runs on the device"
    )
