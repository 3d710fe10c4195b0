"""The agent's own /metrics: the device's readings and what it has run since it started."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from time import perf_counter

from prometheus_client import CollectorRegistry

from agents.device.config import AgentConfig
from agents.device.inventory import read_versions
from agents.exporter import AgentCollector, AgentRunCount, AgentSnapshot, SensorRead
from agents.messages import Versions
from agents.metrics_server import MetricsServer, serve_metrics
from profiler.result import RunResult, RunStatus
from profiler.sensors.base import Reading, Source
from profiler.sensors.discover import open_sources
from profiler.sensors.site import HERE, Site

log = logging.getLogger(__name__)


class AgentState:
    """What the agent tells its exporter; written by the agent, read at a scrape."""

    def __init__(self) -> None:
        self.busy = False
        self._lock = threading.Lock()
        self._counts: Counter[tuple[str, RunStatus]] = Counter()

    def count(self, result: RunResult) -> None:
        with self._lock:
            self._counts[result.model, result.status] += 1

    def counts(self) -> tuple[AgentRunCount, ...]:
        with self._lock:
            return tuple(
                AgentRunCount(model=model, status=status, count=count)
                for (model, status), count in self._counts.items()
            )


class Telemetry:
    """Snapshots for the exporter. Sensors are read at a scrape, and not while a run is measured."""

    def __init__(self, state: AgentState, versions: Versions, sources: list[Source]) -> None:
        self._state = state
        self._versions = versions
        self._sources = sources
        self._lock = threading.Lock()
        self._failed = Counter({source.name: 0 for source in sources})

    def snapshot(self) -> AgentSnapshot:
        busy = self._state.busy
        readings: list[Reading] = []
        with self._lock:
            # No exporter work inside a measured window: the run's own sampler reads then.
            sensors = [
                self._idle(source) if busy else self._read(source, readings)
                for source in self._sources
            ]
        return AgentSnapshot(
            build=self._versions,
            channels=tuple(c for source in self._sources for c in source.channels),
            readings=tuple(readings),
            sensors=tuple(sensors),
            run_counts=self._state.counts(),
            busy=busy,
        )

    def _read(self, source: Source, readings: list[Reading]) -> SensorRead:
        start = perf_counter()
        found = source.read()
        seconds = perf_counter() - start
        readings += found
        failed = sum(reading.value is None for reading in found)
        self._failed[source.name] += failed
        return self._idle(source).model_copy(
            update={"failed": failed, "duration_seconds": seconds}
        )  # fmt: skip

    def _idle(self, source: Source) -> SensorRead:
        return SensorRead(
            source=source.name,
            failed=None,
            duration_seconds=None,
            failed_total=self._failed[source.name],
        )


def start_metrics(config: AgentConfig, state: AgentState) -> MetricsServer | None:
    """Serve the agent's metrics. A port that is taken costs the metrics, not the agent."""
    setup = config.sensors
    sources, _absent = open_sources(Site.at(HERE, setup.meters), setup.only)
    telemetry = Telemetry(state, read_versions(), sources)
    registry = CollectorRegistry()
    registry.register(AgentCollector(telemetry.snapshot))
    try:
        return serve_metrics(
            registry, config.metrics_port, config.metrics_address, config.metrics_token_sha256
        )
    except OSError as error:
        log.warning("no metrics on port %d: %s", config.metrics_port, error)
        return None
