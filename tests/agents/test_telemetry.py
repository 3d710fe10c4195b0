"""The agent reads its sensors at a scrape, counts what fails, and leaves them alone in a run."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from agents.device.telemetry import AgentState, Telemetry
from agents.messages import Versions
from profiler.sensors.base import Channel, Quantity, Reading
from profiler.sensors.discover import open_sources

TREES = Path(__file__).parents[1] / "fixtures" / "sysfs"
BUILD = Versions(fleetmark="0.1.0", protocol=1, ray="2.50.0", python="3.11.7")


class Flaky:
    """A source whose second reading fails."""

    name = "flaky"
    channels = (Channel(source="flaky", label="rail", quantity=Quantity.POWER),)

    def __init__(self) -> None:
        self.reads = 0

    def read(self, only: Collection[Quantity] | None = None) -> list[Reading]:
        self.reads += 1
        value = None if self.reads == 2 else 1.0
        return [Reading(channel=self.channels[0].key, seconds=0.0, value=value)]

    def close(self) -> None: ...


def test_failures_are_counted_and_a_later_success_is_one() -> None:
    telemetry = Telemetry(AgentState(), BUILD, [Flaky()])
    reads = [telemetry.snapshot().sensors[0] for _ in range(3)]
    assert [read.failed for read in reads] == [0, 1, 0]
    assert [read.failed_total for read in reads] == [0, 1, 1]
    assert all(read.duration_seconds is not None for read in reads)


def test_in_a_run_no_sensor_is_read() -> None:
    source, state = Flaky(), AgentState()
    state.busy = True
    now = Telemetry(state, BUILD, [source]).snapshot()
    assert source.reads == 0
    assert now.readings == ()
    assert now.sensors[0].failed is None


def test_every_source_of_a_device_shows_up() -> None:
    sources, _ = open_sources(TREES / "jetson-orin-nano")
    snapshot = Telemetry(AgentState(), BUILD, sources).snapshot()
    for source in sources:
        source.close()
    shown = {read.source: read.failed for read in snapshot.sensors}
    # The load has no value before the first clock tick.
    assert shown == {"jetson": 0, "system": 1, "thermal": 0, "cooling": 0, "pressure": 0}


def test_no_thread_is_started_by_a_device_that_waits(tmp_path: Path) -> None:
    import threading

    before = threading.active_count()
    sources, _ = open_sources(TREES / "raspberry-pi-5")
    telemetry = Telemetry(AgentState(), BUILD, sources)
    telemetry.snapshot()
    assert threading.active_count() == before
    for source in sources:
        source.close()
