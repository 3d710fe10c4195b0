"""The sampler's readings beside the iterations: kept to the last bit, and nothing else taken."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from profiler.samples import Blocks, Iterations, Recording, SentinelSlices
from profiler.sensors.base import Channel, Quantity
from profiler.sensors.trace import Series, Trace
from profiler.trace_samples import TraceSamples

HEAT = Channel(source="thermal", label="x86_pkg_temp", quantity=Quantity.TEMPERATURE)
POWER = Channel(source="jetson", label="VDD_IN", quantity=Quantity.POWER)


def trace(**values: list[float]) -> Trace:
    """One reading a second from 100 s on."""
    channels = {"heat": HEAT, "power": POWER}
    series = tuple(
        Series(channels[name], 100.0 + np.arange(len(found), dtype=np.float64), np.array(found))
        for name, found in values.items()
    )
    return Trace(series=series, absent=(), report=None)


def example() -> TraceSamples:
    return TraceSamples.of([trace(heat=[40.0, 41.0], power=[5.5]), trace(power=[6.5, 1 / 3])])


def test_every_reading_is_a_row_of_its_repetition_and_channel() -> None:
    found = example()
    assert found.names == ("thermal/x86_pkg_temp/temperature_celsius", "jetson/VDD_IN/power_watts")
    assert found.repetition.tolist() == [0, 0, 0, 1, 1]
    assert found.channel.tolist() == [0, 0, 1, 1, 1]
    assert (found.time_ns / 1e9).tolist() == [100.0, 101.0, 100.0, 100.0, 101.0]
    assert found.value.tolist() == [40.0, 41.0, 5.5, 6.5, 1 / 3]


def test_it_is_saved_and_loaded_with_the_iterations(tmp_path: Path) -> None:
    path = tmp_path / "iterations.npz"
    iterations = Iterations.from_stamps(0, [], [(1, 2)])
    before = Recording(iterations, Blocks.empty(), SentinelSlices.empty(), example())
    before.save(path)
    after = Recording.load(path)
    assert after.iterations.latency_ns.tolist() == [1]
    assert after.trace.names == before.trace.names
    for name in ("repetition", "channel", "time_ns", "value"):
        assert getattr(after.trace, name).tolist() == getattr(before.trace, name).tolist()
        assert getattr(after.trace, name).dtype == getattr(before.trace, name).dtype


@pytest.mark.parametrize("traces", [[], [Trace(series=(), absent=(), report=None, lost="gone")]])
def test_where_nothing_was_sampled_there_is_no_column(traces: list[Trace], tmp_path: Path) -> None:
    found = TraceSamples.of(traces)
    assert found.columns() == {}
    path = tmp_path / "iterations.npz"
    Iterations.from_stamps(0, [], [(1, 2)]).save(path)
    assert Recording.load(path).trace.names == ()
    assert len(Recording.load(path).trace) == 0


def test_a_channel_without_a_reading_keeps_its_name() -> None:
    found = TraceSamples.of([trace(heat=[], power=[1.0])])
    assert len(found.names) == 2
    assert found.channel.tolist() == [1]


@pytest.mark.parametrize(
    "change",
    [
        {"trace_names": np.array([1, 2])},
        {"trace_names": np.array(["only one"])},
        {"trace_value": np.zeros(5, dtype=np.float32)},
        {"trace_value": np.zeros(4)},
        {"trace_time_ns": np.zeros((5, 1), dtype=np.int64)},
        {"trace_channel": None},
        {"trace_names": np.array([object()], dtype=object)},
    ],
)
def test_what_is_no_trace_is_refused(change: dict[str, Any]) -> None:
    columns = Iterations.from_stamps(0, [], [(1, 2)]).columns() | example().columns() | change
    file = io.BytesIO()
    np.savez(file, **{name: c for name, c in columns.items() if c is not None})
    file.seek(0)
    with pytest.raises(ValueError, match="no iterations are in it"):
        Recording.load(file)
