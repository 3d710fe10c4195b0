"""Histograms of what is being measured: fed from a run's progress, asked at a scrape."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from agents.exporter import VARIANT, LatencyHistogram
from profiler.latency_buckets import MeasuredLatencies, bucket_of
from profiler.spec import RunSpec

# A histogram stays for so long after its last iteration, so that a scrape every minute sees all.
LINGER_SECONDS = 120.0


@dataclass
class _Histogram:
    heard: float
    sum_seconds: float = 0.0
    counts: Counter[int] = field(default_factory=Counter)
    exemplars: dict[int, tuple[str, float]] = field(default_factory=dict)


class LatencyBoard:
    """One histogram per configuration that is measured; safe between threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._found: dict[tuple[str, ...], _Histogram] = {}

    def add(self, run_id: str, spec: RunSpec, block: MeasuredLatencies) -> None:
        """A block of a run was measured."""
        now = self._clock()
        with self._lock:
            found = self._found.setdefault(_labels(spec, block), _Histogram(now))
            found.heard = now
            found.sum_seconds += block.sum_seconds
            found.counts.update(block.counts)
            found.exemplars[bucket_of(block.slowest_seconds)] = run_id, block.slowest_seconds

    def histograms(self) -> tuple[LatencyHistogram, ...]:
        """All that were fed lately; the others are gone, and begin anew when they come again."""
        now = self._clock()
        with self._lock:
            self._found = {
                labels: found
                for labels, found in self._found.items()
                if now - found.heard <= LINGER_SECONDS
            }
            return tuple(
                LatencyHistogram(
                    labels=labels,
                    counts=dict(found.counts),
                    sum_seconds=found.sum_seconds,
                    exemplars=dict(found.exemplars),
                )
                for labels, found in self._found.items()
            )


def _labels(spec: RunSpec, block: MeasuredLatencies) -> tuple[str, ...]:
    """The configuration; in the catalogue's order, as ``exporter.run_labels`` of the result."""
    return (
        block.accelerator or "",
        spec.model.label,
        VARIANT,
        spec.runtime.value,
        block.precision or "",
        str(spec.batch_size),
        "" if block.threads is None else str(block.threads),
        block.inputs,
        spec.scenario.value,
    )
