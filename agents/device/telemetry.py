"""The agent's own /metrics: the device's readings and what it has run since it started."""

from __future__ import annotations

import logging
import threading
from collections import Counter

from prometheus_client import CollectorRegistry

from agents.device.config import AgentConfig
from agents.device.inventory import read_versions
from agents.device.latencies import LatencyBoard
from agents.device.watch import SensorWatch, WatchThread
from agents.exporter import AgentCollector, AgentRunCount, AgentSnapshot
from agents.messages import Inventory, Versions
from agents.metrics_server import MetricsServer, serve_metrics
from profiler.result import RunResult, RunStatus
from profiler.sensors.discover import open_sources
from profiler.sensors.newest import NewestFile
from profiler.sensors.site import HERE, Site

log = logging.getLogger(__name__)


class AgentState:
    """What the agent tells its exporter; written by the agent, read at a scrape.

    Attributes:
        idle: set while no run is on the device.
        latencies: of the runs that are measured.
        newest: what the sampler of a run reads.
    """

    def __init__(self) -> None:
        self.idle = threading.Event()
        self.idle.set()
        self.latencies = LatencyBoard()
        self.newest = NewestFile()
        self._lock = threading.Lock()
        self._counts: Counter[RunStatus] = Counter()

    @property
    def busy(self) -> bool:
        return not self.idle.is_set()

    @busy.setter
    def busy(self, value: bool) -> None:
        if value:
            self.idle.clear()
        else:
            self.idle.set()

    def count(self, result: RunResult) -> None:
        with self._lock:
            self._counts[result.status] += 1

    def counts(self) -> tuple[AgentRunCount, ...]:
        with self._lock:
            return tuple(
                AgentRunCount(status=status, count=count) for status, count in self._counts.items()
            )


class Telemetry:
    """Snapshots for the exporter: at a scrape no sensor is read."""

    def __init__(
        self,
        state: AgentState,
        versions: Versions,
        inventory: Inventory | None,
        watch: SensorWatch,
    ) -> None:
        self._state = state
        self._versions = versions
        self._inventory = inventory
        self._watch = watch

    def snapshot(self) -> AgentSnapshot:
        busy = self._state.busy
        if busy:
            # The watch has stopped: what it read before the run says nothing of now.
            self._watch.follow()
        now = self._watch.readings()
        return AgentSnapshot(
            build=self._versions,
            inventory=self._inventory,
            channels=now.channels,
            readings=now.readings,
            energy=now.energy,
            throttled=now.throttled,
            sensors=now.sensors,
            histograms=self._state.latencies.histograms(),
            run_counts=self._state.counts(),
            busy=busy,
        )


def start_metrics(config: AgentConfig, state: AgentState) -> MetricsServer | None:
    """Serve the agent's metrics. A port that is taken costs the metrics, not the agent."""
    setup = config.sensors
    sources, _absent = open_sources(Site.at(HERE, setup.meters), setup.only)
    watch = SensorWatch(sources, state.newest.read)
    telemetry = Telemetry(state, read_versions(), config.inventory, watch)
    registry = CollectorRegistry()
    registry.register(AgentCollector(telemetry.snapshot))
    try:
        server = serve_metrics(
            registry, config.metrics_port, config.metrics_address, config.metrics_token_sha256
        )
    except OSError as error:
        log.warning("no metrics on port %d: %s", config.metrics_port, error)
        return None
    WatchThread(watch, state.idle).start()
    return server
