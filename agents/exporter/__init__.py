"""Prometheus collectors over immutable snapshots.

A collector asks for a snapshot at every scrape and yields what is in it and nothing else: a series
whose device is gone, or whose value could not be measured, is absent from the next scrape, and
Prometheus marks it stale. Metric objects that are updated in place would linger; explicit
timestamps would leave no staleness marker.
"""

from agents.exporter.agent import (
    AgentCollector,
    AgentRunCount,
    AgentSnapshot,
    EnergyCount,
    LatencyHistogram,
    SensorRead,
    ThrottledCount,
)
from agents.exporter.coordinator import CoordinatorCollector, CoordinatorSnapshot, RunCount
from agents.exporter.figures import VARIANT, RunFigures, figures_of, run_labels

__all__ = [
    "VARIANT",
    "AgentCollector",
    "AgentRunCount",
    "AgentSnapshot",
    "CoordinatorCollector",
    "CoordinatorSnapshot",
    "EnergyCount",
    "LatencyHistogram",
    "RunCount",
    "RunFigures",
    "SensorRead",
    "ThrottledCount",
    "figures_of",
    "run_labels",
]
