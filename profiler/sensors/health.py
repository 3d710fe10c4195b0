"""Sensors that hung, failed or died while a run was measured: what its result has to say. Pure.

A reading that failed is missing and never guessed, so the figures that there are remain true. But
whoever looks at them must not have to find out from counts that half of a sensor is not there.
"""

from __future__ import annotations

from collections.abc import Iterator

from profiler.energy.figures import metered
from profiler.sensors.trace import Series, Trace

# A driver that is busy now and then costs a reading or two; from here on the figures feel it.
MOST_FAILED_SHARE = 0.05
_FEWEST_FAILED = 3


def troubles(trace: Trace) -> tuple[str, ...]:
    """One sentence for each source that did not do what it should have; empty where all did."""
    return (*_hung(trace), *_failed(trace))


def _hung(trace: Trace) -> Iterator[str]:
    for report in trace.report.by_source if trace.report is not None else ():
        if report.blocked_seconds > 0:
            yield (
                f"{report.source} did not answer for up to {report.longest_read_seconds:.1f} s, "
                f"{report.blocked_seconds:.1f} s in all"
            )
    for absent in trace.absent:
        if absent.hangs:
            yield f"{absent.source}: {absent.reason}"


def _failed(trace: Trace) -> Iterator[str]:
    sources = dict.fromkeys(series.channel.source for series in trace.series)
    for source in sources:
        failing = [s for s in trace.series if s.channel.source == source and _is_failing(s)]
        if failing:
            failed = sum(series.failed for series in failing)
            asked = failed + sum(len(series.values) for series in failing)
            labels = ", ".join(dict.fromkeys(series.channel.label for series in failing))
            yield (
                f"{source} ({labels}): {failed} of {asked} readings failed, the last with "
                f"{failing[-1].error!r}"
            )


def _is_failing(series: Series) -> bool:
    """Of what never answered only a source of energy is missed: broken chips are everywhere."""
    if series.failed < _FEWEST_FAILED and len(series.values):
        return False
    if not len(series.values):
        return series.failed > 0 and metered(series.channel)
    return series.failed > MOST_FAILED_SHARE * (series.failed + len(series.values))
