"""How a model did on a device over time: its runs, and the verdicts that are kept on them."""

from __future__ import annotations

from collections.abc import Sequence

from agents.views import CHART_POINTS, CHART_SERIES, History, HistoryPoint, HistorySeries


def history(device: str, model: str, points: Sequence[HistoryPoint], *, cut: bool) -> History:
    """One line per configuration, of those that one chart can show.

    Args:
        device: its name.
        model: its name.
        points: newest first.
        cut: whether there are older ones.
    """
    series: dict[str, list[HistoryPoint]] = {}
    for point in points:
        series.setdefault(point.run.series, []).append(point)
    shown = list(series.items())[:CHART_SERIES]
    left_out = []
    if len(series) > len(shown):
        left_out.append(
            f"{len(series):,} configurations are more than one chart shows; these are the "
            f"{CHART_SERIES} that were measured last"
        )
    if cut:
        left_out.append(f"only the last {CHART_POINTS:,} runs are shown")
    return History(
        device=device,
        model=model,
        series=tuple(
            HistorySeries(series=name, points=tuple(reversed(found))) for name, found in shown
        ),
        left_out="; ".join(left_out) or None,
    )
