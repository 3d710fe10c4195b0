"""How a model did on a device over time, with the changes marked."""

from __future__ import annotations

from collections.abc import Sequence

from agents.views import (
    CHART_POINTS,
    CHART_SERIES,
    History,
    HistoryPoint,
    HistorySeries,
    RunSummary,
)
from profiler.comparing.compare import MARGIN, judge
from profiler.comparing.comparison import Verdict
from profiler.result import Interval


def history(device: str, model: str, runs: Sequence[RunSummary], *, cut: bool) -> History:
    """Args:
    device: its name.
    model: its name.
    runs: newest first.
    cut: whether there are older ones.
    """
    series: dict[str, list[RunSummary]] = {}
    for run in runs:
        series.setdefault(run.series, []).append(run)
    shown = list(series.items())[:CHART_SERIES]
    left_out = []
    if len(series) > len(shown):
        left_out.append(
            f"{len(series)} configurations are more than one chart shows; these are the "
            f"{CHART_SERIES} that were measured last"
        )
    if cut:
        left_out.append(f"only the last {CHART_POINTS} runs are shown")
    return History(
        device=device,
        model=model,
        series=tuple(
            HistorySeries(series=name, points=marked(list(reversed(found))))
            for name, found in shown
        ),
        left_out="; ".join(left_out) or None,
    )


def marked(runs: Sequence[RunSummary], margin: float = MARGIN) -> tuple[HistoryPoint, ...]:
    """Each run against the one that began its level.

    Where two runs' intervals lie apart by more than the margin the later one is slower or faster,
    and begins a level of its own: a slow drift is found too, which the run just before would hide.
    The bounds of the ratio are those of the two intervals, which is stricter than an interval of
    the ratio itself.

    Args:
        runs: oldest first.
        margin: relative; differences within it are of no interest.
    """
    level: RunSummary | None = None
    points = []
    for run in runs:
        if run.p50 is None:
            points.append(HistoryPoint(run=run, verdict=None, ratio=None))
            continue
        if level is None or not level.p50:
            level = run
            points.append(HistoryPoint(run=run, verdict=None, ratio=None))
            continue
        verdict = judge(_ratio(level, run), margin)
        points.append(HistoryPoint(run=run, verdict=verdict, ratio=run.p50 / level.p50))
        if verdict in (Verdict.SLOWER, Verdict.FASTER):
            level = run
    return tuple(points)


def _ratio(old: RunSummary, new: RunSummary) -> Interval:
    value = (new.p50 or 0.0) / (old.p50 or 1.0)
    if not (old.p50_low and old.p50_high and new.p50_low and new.p50_high):
        return Interval(value=value, low=None, high=None)
    return Interval(value=value, low=new.p50_low / old.p50_high, high=new.p50_high / old.p50_low)
