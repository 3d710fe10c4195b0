"""The figures of a run that depend on its scenario."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from profiler import flags, stats, units
from profiler.base import Frozen
from profiler.commands import Summarise
from profiler.plan import RepetitionReport
from profiler.result import (
    Flag,
    Interval,
    Latency,
    Met,
    ServerReport,
    ServerTrial,
    SustainedReport,
    Throughput,
)
from profiler.samples import Iterations, Recording
from profiler.scenarios import device_settling, offline, served_file, trial
from profiler.scenarios.served import Served
from profiler.sensors.trace import Trace
from profiler.spec import RunSpec, Scenario

# So many times what the iterations leave open: five processes that are alike lie as far apart, by
# the spread of their medians with Student's quantile, in one run of a thousand.
APART = 3.0
Groups = list[NDArray[np.float64]]

# So many processes bound a median by themselves, whatever each of them tells.
LEAST_PROCESSES = 3


class Figures(Frozen):
    """What a scenario comes to. ``calls`` counts for energy and throughput."""

    latency: Latency | None
    latency_reason: str | None = None
    calls: int
    items_per_second: float | None
    offline: Throughput | None = None
    server: ServerReport | None = None
    sustained: SustainedReport | None = None
    flags: tuple[Flag, ...] = ()


def figures(
    command: Summarise, recording: Recording, served_paths: list[Path], trace: Trace | None
) -> Figures:
    """The figures of the run's scenario.

    Args:
        command: with the repetitions' reports.
        recording: of all repetitions.
        served_paths: of the scenario ``server``, one for each repetition.
        trace: what the sampler read; ``None`` with the sampler off.
    """
    spec = command.request.spec
    if spec.scenario is Scenario.OFFLINE:
        return _offline(command, spec)
    if spec.scenario is Scenario.SERVER:
        return _server(command, spec, [served_file.load(path) for path in served_paths])
    found = _closed_loop(command, spec, recording.iterations)
    if spec.scenario is Scenario.SUSTAINED:
        report = device_settling.describe(recording.iterations, trace)
        unsettled = report.device_settled_reason if report.device_settled is False else None
        raised = (flags.device_not_settled(unsettled),) if unsettled else ()
        return found.model_copy(update={"sustained": report, "flags": (*found.flags, *raised)})
    return found


def _closed_loop(command: Summarise, spec: RunSpec, iterations: Iterations) -> Figures:
    overhead = max(each.report.clock_overhead_seconds for each in command.repeated)
    groups, clock = without_clock(iterations.timed_groups(), overhead)
    latency = stats.summarise(groups)
    seconds = float(sum(group.sum() for group in groups))
    reports = [each.report for each in command.repeated]
    wide = flags.not_converged(
        latency,
        spec.stop,
        evident=_evident(reports, groups),
        processes_differ=spec.stop.percentile == "p50" and _processes_differ(groups),
    )
    return Figures(
        latency=latency,
        calls=latency.n,
        items_per_second=latency.n * spec.batch_size / seconds if seconds > 0 else None,
        flags=tuple(flag for flag in (clock, wide) if flag),
    )


def _evident(reports: Sequence[RepetitionReport], groups: Groups) -> bool:
    """Whether a narrow interval of the median can be believed.

    Two processes lie close together by chance one time in so many; alone they are no evidence
    where neither tells an interval of its own, as with a latency that grows in both alike.
    """
    if len(reports) == 1:
        return reports[0].converged
    return (
        len(reports) >= LEAST_PROCESSES
        or stats.Measured(groups).within(stats.PERCENTILES["p50"]) is not None
    )


def _processes_differ(groups: Groups) -> bool:
    """Whether the processes lie apart by more than too few iterations in each would make them."""
    measured = stats.Measured(groups)
    inside = stats.relative_half_width(measured.within(stats.PERCENTILES["p50"]))
    return inside is not None and measured.between > APART * inside


def without_clock(groups: Groups, overhead_seconds: float) -> tuple[Groups, Flag | None]:
    """The latencies, less what reading the clock costs where that is worth saying."""
    middle = float(np.median(np.concatenate(groups)))
    clock = flags.clock_overhead(overhead_seconds, middle)
    if clock is None:
        return groups, None
    return [np.maximum(group - overhead_seconds, 0.0) for group in groups], clock


def _offline(command: Summarise, spec: RunSpec) -> Figures:
    groups = [
        [offline.Block(b.calls, b.start_ns, b.end_ns) for b in each.report.offline]
        for each in command.repeated
    ]
    found = offline.throughput(groups, spec.batch_size)
    return Figures(
        latency=None,
        latency_reason=offline.LATENCY_REASON,
        calls=sum(block.calls for group in groups for block in group),
        items_per_second=found.items_per_second.value if found.items_per_second else None,
        offline=found,
        flags=_wide(found.items_per_second, found.reason, spec),
    )


def _wide(interval: Interval | None, reason: str | None, spec: RunSpec) -> tuple[Flag, ...]:
    half = interval.relative_half_width if interval is not None else None
    goal = spec.stop.relative_half_width
    if half is not None and (half <= goal or not goal):
        return ()
    return (flags.throughput_not_converged(half, goal, reason),)


def _server(command: Summarise, spec: RunSpec, served: list[Served]) -> Figures:
    assert spec.server is not None  # noqa: S101 - the spec of this scenario has one
    search = command.repeated[0].report.search
    rate = spec.server.rate_per_second or (search.rate_per_second if search else None) or 0.0
    together = trial.describe(rate, spec.server.percentile, served)
    bound = spec.server.latency_bound_seconds
    if bound is not None:
        together = together.model_copy(update={"met": trial.judge(together, bound)})
    report = (
        concluded(search, together)
        if search is not None
        else ServerReport(
            percentile=spec.server.percentile,
            rate_per_second=rate,
            latency_bound_seconds=None,
            highest_rate_per_second=None,
            trials=(together,),
        )
    )
    return Figures(
        latency=trial.latency(served, rate),
        calls=sum(len(each.end_ns) for each in served),
        items_per_second=together.achieved_per_second * spec.batch_size,
        server=report,
        flags=tuple(_server_flags(together)),
    )


def concluded(search: ServerReport, together: ServerTrial) -> ServerReport:
    """The search, which was one process's, with what all processes saw at its rate.

    Several tell more than one, and what they tell counts: a rate that a short search could not
    show to meet the bound may be shown by all, and one that it could may fail in others.
    """
    update: dict[str, object] = {"trials": (*search.trials, together)}
    rate = together.rate_per_second
    if search.highest_rate_per_second is None and together.met is Met.MEETS:
        update |= {"highest_rate_per_second": rate, "highest_rate_reason": None}
    elif search.highest_rate_per_second is not None and together.met is Met.FAILS:
        update |= {
            "highest_rate_per_second": None,
            "highest_rate_reason": (
                f"one process met the bound at {units.rate(rate)} calls per second, and all of "
                "them together did not. Give it more time (--max-time), or quieten the device "
                "(`fleetmark doctor`)"
            ),
            "failing_rate_per_second": rate,
        }
    return search.model_copy(update=update)


def _server_flags(found: ServerTrial) -> Iterator[Flag]:
    if found.overloaded:
        yield flags.overloaded(found.rate_per_second)
    if reason := trial.late(found):
        yield flags.late_start(reason)
