"""Recordings: written from a device, read back, played at their own pace."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from profiler.errors import InputError
from profiler.sensors.base import Channel, Quantity, Reading
from profiler.sensors.discover import discover, open_sources
from profiler.sensors.replay import (
    Header,
    Recorder,
    ReplaySource,
    load_recording,
    parse_recording,
)
from profiler.sensors.sampler import Sampler
from tests.profiler.sensor_trees import TREES

POWER = Channel(source="jetson", label="VDD_IN", quantity=Quantity.POWER)
ENERGY = Channel(source="rapl", label="package-0", quantity=Quantity.ENERGY, wraps_at=100.0)
HEAT = Channel(source="thermal", label="cpu", quantity=Quantity.TEMPERATURE)
HEADER = Header(channels=(POWER, ENERGY, HEAT)).model_dump_json()


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def line(channel: int, seconds: float, value: float | None, error: str | None = None) -> str:
    row = {"channel": channel, "seconds": seconds, "value": value}
    return json.dumps(row if error is None else row | {"error": error})


def play(*lines: str) -> tuple[ReplaySource, Clock]:
    clock = Clock()
    return ReplaySource(parse_recording([HEADER, *lines]), clock), clock


def told(readings: list[Reading]) -> list[tuple[str, float, float | None]]:
    return [(r.channel.split("/")[1], round(r.seconds - 1000, 6), r.value) for r in readings]


def test_a_reading_appears_at_its_own_time_and_once() -> None:
    source, clock = play(line(0, 0.0, 5.0), line(0, 0.1, 6.0), line(0, 0.2, 7.0))
    assert told(source.read()) == [("VDD_IN", 0.0, 5.0)]
    assert source.read() == []
    clock.now += 0.15
    assert told(source.read()) == [("VDD_IN", 0.1, 6.0)]


def test_a_failed_reading_fails_again() -> None:
    source, clock = play(line(0, 0.0, None, "EAGAIN"), line(0, 1.0, 1.0))
    (reading,) = source.read()
    assert (reading.value, reading.error) == (None, "EAGAIN")
    clock.now += 0.5


def test_what_is_not_asked_for_is_kept() -> None:
    source, clock = play(line(0, 0.1, 5.0), line(2, 0.1, 40.0), line(2, 0.2, 41.0))
    clock.now += 0.15
    assert told(source.read({Quantity.POWER})) == [("VDD_IN", 0.1, 5.0)]
    assert told(source.read(None)) == [("cpu", 0.1, 40.0)]


def test_a_recording_that_is_over_begins_again_and_a_counter_goes_on() -> None:
    source, clock = play(
        line(0, 0.0, 5.0), line(1, 0.0, 60.0), line(1, 0.5, 90.0), line(1, 1.0, 20.0),
        line(0, 1.0, 6.0),
    )  # fmt: skip
    clock.now += 1.6
    by_label = told(source.read())
    # 60 → 90 → 20 (a wrap at 100) is 60 J a round; the next one begins where the first ended.
    counted = [(s, v) for label, s, v in by_label if label == "package-0"]
    assert counted == [(0.0, 60.0), (0.5, 90.0), (1.0, 20.0), (1.0, 20.0), (1.5, 50.0)]
    power = [(s, v) for label, s, v in by_label if label == "VDD_IN"]
    assert power == [(0.0, 5.0), (1.0, 6.0), (1.0, 5.0)]


def test_its_channels_are_those_of_the_sources_it_was_taken_from() -> None:
    source, _ = play(line(0, 1.0, 1.0))
    assert [c.source for c in source.channels] == ["jetson", "rapl", "thermal"]


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ([], "line 1"),
        (["{}"], "line 1"),
        (["not json"], "line 1"),
        ([HEADER], "no readings"),
        ([HEADER, line(0, 0.0, 1.0)], "no readings after its beginning"),
        ([HEADER, line(0, 1.0, 1.0), "junk"], "line 3"),
        ([HEADER, line(3, 1.0, 1.0)], "channel 3, which is none"),
        ([HEADER, line(0, -1.0, 1.0)], "line 2"),
        ([HEADER, '{"channel": 0, "seconds": 1.0, "value": NaN}'], "line 2"),
        ([HEADER, '{"channel": 0, "seconds": 1e999, "value": 1}'], "line 2"),
        ([HEADER.replace('"version":1', '"version":2'), line(0, 1.0, 1.0)], "line 1"),
    ],
)
def test_what_is_no_recording_is_refused_with_its_line(lines: list[str], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        parse_recording(lines)


def test_a_file_that_is_not_there_is_bad_input(tmp_path: Path) -> None:
    name = f"replay:{tmp_path / 'none.jsonl'}"
    with pytest.raises(InputError, match="cannot be read") as refused:
        discover(only=(name,))
    assert refused.value.value == name
    (tmp_path / "none.jsonl").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="is refused"):
        discover(only=(name,))


def record(path: Path, tree: str = "jetson-orin-nano") -> None:
    sources, absent = open_sources(TREES / tree)
    with path.open("w") as file:
        recorder = Recorder(file, sources, absent, start=0.0)
        for tick in range(3):
            for source in sources:
                stamped = [
                    r.model_copy(update={"seconds": tick * 0.01}) for r in source.read()
                ]  # fmt: skip
                recorder.add(stamped)
    for source in sources:
        source.close()


def test_what_was_recorded_of_a_device_is_what_is_read(tmp_path: Path) -> None:
    path = tmp_path / "orin.jsonl"
    record(path)
    recording = load_recording(path)
    assert recording.header.channels == discover(TREES / "jetson-orin-nano").channels
    assert recording.seconds == pytest.approx(0.02)
    loads = [line for line in recording.lines if line.error]
    assert "no clock tick" in (loads[0].error or "")
    assert {a.source for a in recording.header.absent} >= {"rapl", "meter"}


def test_a_recording_goes_through_the_sampler_like_a_device(tmp_path: Path) -> None:
    path = tmp_path / "orin.jsonl"
    record(path)
    sampler = Sampler.start(hertz=100, only=(f"replay:{path}",))
    assert sampler.wait_ready(60)
    trace = sampler.stop(60)
    assert trace.lost is None
    (series,) = [s for s in trace.series if s.channel.key == "jetson/VDD_IN/power_watts"]
    assert sorted(set(series.values)) == [pytest.approx(6.77824)]
    assert trace.report is not None
    assert trace.report.sources == ("replay",)


def test_a_recorder_writes_one_line_a_reading() -> None:
    file = io.StringIO()
    source, _ = play(line(0, 0.0, 1.0), line(0, 1.0, 1.0))
    recorder = Recorder(file, [source], (), start=1000.0)
    recorder.add([Reading(channel=POWER.key, seconds=1000.25, value=None, error="gone")])
    header, row = file.getvalue().splitlines()
    assert json.loads(header)["kind"] == "fleetmark-sensors"
    assert json.loads(row) == {"channel": 0, "seconds": 0.25, "value": None, "error": "gone"}
