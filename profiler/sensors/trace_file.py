"""Traces of a run's repetitions: kept on disk between them, joined at the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from profiler.base import Frozen
from profiler.result import AbsentSource, SamplerReport, SourceReport
from profiler.sensors.base import Channel
from profiler.sensors.rhythm import Rhythm, with_rhythms
from profiler.sensors.trace import Series, Trace


class _Header(Frozen):
    channels: tuple[Channel, ...]
    failed: tuple[int, ...]
    errors: tuple[str | None, ...]
    absent: tuple[AbsentSource, ...]
    report: SamplerReport | None
    lost: str | None


def save(trace: Trace, path: Path) -> None:
    """Write a trace as columns of numbers and a header of JSON."""
    header = _Header(
        channels=tuple(series.channel for series in trace.series),
        failed=tuple(series.failed for series in trace.series),
        errors=tuple(series.error for series in trace.series),
        absent=trace.absent,
        report=trace.report,
        lost=trace.lost,
    )
    columns: dict[str, Any] = {
        "header": np.frombuffer(header.model_dump_json().encode(), dtype=np.uint8)
    }
    for number, series in enumerate(trace.series):
        columns[f"seconds_{number}"] = series.seconds
        columns[f"values_{number}"] = series.values
    with path.open("wb") as file:
        np.savez(file, **columns)


def load(path: Path) -> Trace:
    """Read what ``save`` wrote; pickled arrays are refused.

    Raises:
        ValueError: the file holds something else.
        OSError: it cannot be read.
    """
    with np.load(path, allow_pickle=False) as data:
        header = _Header.model_validate_json(data["header"].tobytes())
        series = tuple(
            Series(
                channel, data[f"seconds_{i}"], data[f"values_{i}"], header.failed[i],
                header.errors[i],
            )
            for i, channel in enumerate(header.channels)
        )  # fmt: skip
    return Trace(series=series, absent=header.absent, report=header.report, lost=header.lost)


def listened(trace: Trace, rhythms: Sequence[Rhythm]) -> Trace:
    """The trace whose channels have the periods that were measured before."""
    channels = with_rhythms([series.channel for series in trace.series], rhythms)
    return replace(
        trace,
        series=tuple(
            replace(series, channel=channel)
            for series, channel in zip(trace.series, channels, strict=True)
        ),
    )


def join(traces: Sequence[Trace]) -> Trace:
    """One trace of all, which were taken one after the other on one device.

    A sampler that was lost in one repetition loses the others' channels nothing.
    """
    channels = {s.channel.key: s.channel for trace in traces for s in trace.series}
    reports = [trace.report for trace in traces if trace.report is not None]
    lost = [trace.lost for trace in traces if trace.lost]
    absent = {a.source: a for trace in traces for a in trace.absent}
    return Trace(
        series=tuple(_joined(channel, traces) for channel in channels.values()),
        absent=tuple(absent.values()),
        report=_report(reports) if reports else None,
        lost=lost[0] if lost else None,
    )


def _joined(channel: Channel, traces: Sequence[Trace]) -> Series:
    parts = [s for trace in traces for s in trace.series if s.channel.key == channel.key]
    return Series(
        channel,
        np.concatenate([part.seconds for part in parts]),
        np.concatenate([part.values for part in parts]),
        sum(part.failed for part in parts),
        next((part.error for part in reversed(parts) if part.error), None),
    )


def _report(reports: Sequence[SamplerReport]) -> SamplerReport:
    last = reports[-1]
    return SamplerReport(
        readings=sum(r.readings for r in reports),
        failed_readings=sum(r.failed_readings for r in reports),
        missed_ticks=sum(r.missed_ticks for r in reports),
        largest_gap_seconds=max(r.largest_gap_seconds for r in reports),
        cpu_seconds=sum(r.cpu_seconds for r in reports),
        cpu_affinity=last.cpu_affinity,
        kept_off=last.kept_off,
        kept_off_reason=last.kept_off_reason,
        sources=last.sources,
        by_source=_by_source([each for r in reports for each in r.by_source]),
    )


def _by_source(reports: Sequence[SourceReport]) -> tuple[SourceReport, ...]:
    names = dict.fromkeys(report.source for report in reports)
    return tuple(_added([r for r in reports if r.source == name]) for name in names)


def _added(reports: Sequence[SourceReport]) -> SourceReport:
    return SourceReport(
        source=reports[0].source,
        reads=sum(r.reads for r in reports),
        readings=sum(r.readings for r in reports),
        failed_readings=sum(r.failed_readings for r in reports),
        missed_ticks=sum(r.missed_ticks for r in reports),
        largest_gap_seconds=max(r.largest_gap_seconds for r in reports),
        longest_read_seconds=max(r.longest_read_seconds for r in reports),
        blocked_seconds=sum(r.blocked_seconds for r in reports),
        cpu_seconds=sum(r.cpu_seconds for r in reports),
        own_thread=reports[0].own_thread,
        error=next((r.error for r in reversed(reports) if r.error), None),
    )
