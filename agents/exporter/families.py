"""Metric families from the catalogue's entries; what has no samples is not served."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.samples import Exemplar

from profiler import metrics
from profiler.latency_buckets import BOUNDS
from profiler.metrics import Exporter, MetricSpec, MetricType


class Row(NamedTuple):
    """One sample: label values in the order of the catalogue, and an exemplar's run."""

    labels: Sequence[str]
    value: float
    run_id: str | None = None


class Buckets(NamedTuple):
    """One histogram.

    ``counts`` is by the index of the bucket, not cumulative; ``exemplars`` has, for some of them, a
    run and one latency of it that fell there.
    """

    labels: Sequence[str]
    counts: Mapping[int, int]
    sum_seconds: float
    exemplars: Mapping[int, tuple[str, float]]


def family(spec: MetricSpec, rows: Iterable[Row], exporter: Exporter) -> Metric:
    """A family of the catalogue with these samples. No timestamps: they would outlive a device."""
    labels = spec.labels_on(exporter)
    if spec.type is MetricType.INFO:
        info = InfoMetricFamily(spec.name.removesuffix("_info"), spec.help, labels=())
        for row in rows:
            info.add_metric((), dict(zip(labels, row.labels, strict=True)))
        return info
    found: Metric
    if spec.type is MetricType.COUNTER:
        name = spec.name.removesuffix("_total")
        found = CounterMetricFamily(name, spec.help, labels=labels, unit=spec.unit or "")
    else:
        found = GaugeMetricFamily(spec.name, spec.help, labels=labels, unit=spec.unit or "")
    for row in rows:
        exemplar = Exemplar({"run_id": row.run_id}, 1.0) if row.run_id is not None else None
        named = dict(zip(labels, row.labels, strict=True))
        found.add_sample(spec.name, named, row.value, exemplar=exemplar)
    return found


def histogram(spec: MetricSpec, rows: Iterable[Buckets], exporter: Exporter) -> Metric:
    """A histogram of the catalogue over ``latency_buckets.BOUNDS``."""
    labels = spec.labels_on(exporter)
    found = HistogramMetricFamily(spec.name, spec.help, labels=labels, unit=spec.unit or "")
    bounds = [*map(str, BOUNDS), "+Inf"]
    for row in rows:
        named = dict(zip(labels, row.labels, strict=True))
        total = 0
        for index, bound in enumerate(bounds):
            total += row.counts.get(index, 0)
            seen = row.exemplars.get(index)
            exemplar = Exemplar({"run_id": seen[0]}, seen[1]) if seen else None
            found.add_sample(
                f"{spec.name}_bucket", named | {"le": bound}, total, exemplar=exemplar
            )  # fmt: skip
        found.add_sample(f"{spec.name}_count", named, total)
        found.add_sample(f"{spec.name}_sum", named, row.sum_seconds)
    return found


def describe(exporter: Exporter) -> Iterator[Metric]:
    """What this process may serve, without samples."""
    for spec in metrics.CATALOGUE:
        if exporter in spec.served_by:
            if spec.type is MetricType.HISTOGRAM:
                yield histogram(spec, (), exporter)
            else:
                yield family(spec, (), exporter)


def present(families: Iterable[Metric]) -> Iterator[Metric]:
    return (found for found in families if found.samples)
