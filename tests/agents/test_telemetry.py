"""The sensors of recorded devices, as their agents watch them."""

from __future__ import annotations

import threading
from pathlib import Path

from agents.device.watch import SensorWatch
from profiler.sensors.discover import open_sources

TREES = Path(__file__).parents[1] / "fixtures" / "sysfs"


def test_every_source_of_a_device_shows_up() -> None:
    sources, _ = open_sources(TREES / "jetson-orin-nano")
    watch = SensorWatch(sources)
    watch.read()
    for source in sources:
        source.close()
    shown = {read.source: read.failed for read in watch.readings().sensors}
    # The load has no value before the first clock tick.
    assert shown == {"jetson": 0, "system": 1, "thermal": 0, "cooling": 0, "pressure": 0}


def test_reading_a_device_that_waits_starts_no_thread() -> None:
    before = threading.active_count()
    sources, _ = open_sources(TREES / "raspberry-pi-5")
    SensorWatch(sources).read()
    assert threading.active_count() == before
    for source in sources:
        source.close()
