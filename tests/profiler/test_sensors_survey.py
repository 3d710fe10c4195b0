"""The listing's live values and measured rhythms; slow sources; files that must not block."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Collection
from pathlib import Path

import pytest

from profiler.result import AbsentSource
from profiler.sensors.base import Channel, Quantity, Reading
from profiler.sensors.probe import (
    Group,
    OpenFile,
    ProbeSource,
    first_line,
    parse_integer,
    plausible_watts,
)
from profiler.sensors.site import Site, parse_refused, run_command
from profiler.sensors.slow import SlowSource
from profiler.sensors.survey import survey

POWER = Channel(source="s", label="rail", quantity=Quantity.POWER, update_period_seconds=0.1)
HEAT = Channel(source="s", label="rail", quantity=Quantity.TEMPERATURE)


class Sensor:
    """A power that changes every 100 ms, and a temperature that fails the first time."""

    name = "s"
    channels = (POWER, HEAT)

    def __init__(self) -> None:
        self.now = 5.0
        self.heats = 0

    def read(self, only: Collection[Quantity] | None = None) -> list[Reading]:
        found = []
        if only is None or Quantity.POWER in only:
            value = float(int(self.now * 10 + 1e-6))
            found.append(Reading(channel=POWER.key, seconds=self.now, value=value))
        if only is None or Quantity.TEMPERATURE in only:
            self.heats += 1
            value_or_none = 40.0 if self.heats > 1 else None
            found.append(
                Reading(channel=HEAT.key, seconds=self.now, value=value_or_none, error="first")
            )
        return found

    def close(self) -> None: ...

    def pause(self, seconds: float) -> None:
        self.now += seconds


def test_the_real_update_period_is_measured() -> None:
    sensor = Sensor()
    found = survey([sensor], (), 1.0, clock=lambda: sensor.now, pause=sensor.pause)
    power, heat = found.channels
    assert power.measured_update_period_seconds == pytest.approx(0.1, abs=0.002)
    assert power.update_period_seconds == 0.1
    assert power.period_reason is None
    assert heat.measured_update_period_seconds is None
    assert heat.value == 40.0
    assert sensor.heats == 2


def test_without_time_everything_is_read_once() -> None:
    sensor = Sensor()
    found = survey([sensor], (AbsentSource(source="x", reason="y"),), 0)
    assert [c.value for c in found.channels] == [50.0, None]
    assert found.channels[1].error == "first"
    assert sensor.heats == 1
    assert found.absent[0].source == "x"


def test_a_value_that_stays_has_no_rhythm_and_it_is_said() -> None:
    sensor = Sensor()
    sensor.now = 5.0
    found = survey([sensor], (), 0.3, clock=lambda: sensor.now, pause=sensor.pause)
    assert found.channels[0].measured_update_period_seconds is None
    reason = found.channels[0].period_reason or ""
    assert reason == "a new value every 100 ms is too seldom to be watched for"


# --- sources that are slow to ask --------------------------------------------------------------


def test_the_thread_of_a_slow_source_ends_with_it() -> None:
    read = threading.Event()

    class Noting(Sensor):
        def read(self, only: Collection[Quantity] | None = None) -> list[Reading]:
            read.set()
            return super().read(only)

    source = SlowSource(Noting(), 0.01, background=True)
    before = threading.active_count()
    source.read()
    assert threading.active_count() == before + 1
    assert read.wait(30)
    source.close()
    assert threading.active_count() == before


def test_a_slow_source_that_raises_in_its_thread_gives_missing_readings() -> None:
    class Broken(Sensor):
        def read(self, only: Collection[Quantity] | None = None) -> list[Reading]:
            raise RuntimeError("boom")

    source = SlowSource(Broken(), 0.01, background=True)
    found: list[Reading] = []
    while not found:
        found = source.read()
    source.close()
    assert {(r.value, r.error) for r in found} == {(None, "RuntimeError: boom")}


def test_a_slow_source_that_is_never_read_starts_no_thread() -> None:
    before = threading.active_count()
    source = SlowSource(Sensor(), 1.0, background=True)
    assert threading.active_count() == before
    source.close()


# --- files -------------------------------------------------------------------------------------


def test_a_pipe_is_refused_without_waiting_for_a_writer(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="is no regular file"):
        OpenFile(tmp_path / "pipe")
    assert first_line(tmp_path / "pipe") is None
    assert first_line(tmp_path) is None


def test_a_number_beyond_64_bits_is_garbage_and_not_an_overflow() -> None:
    assert parse_integer(str(2**64 - 1)) == 2**64 - 1
    for text in (str(2**64), "9" * 4000, "-" + "9" * 4000):
        with pytest.raises(ValueError, match="beyond 64 bits"):
            parse_integer(text)


@pytest.mark.parametrize("value", [-0.001, 10_000.1, float("nan"), float("inf")])
def test_a_power_that_no_device_draws_is_an_error(value: float) -> None:
    with pytest.raises(ValueError, match="no power"):
        plausible_watts(value)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_what_is_not_finite_is_no_reading(value: float) -> None:
    source = ProbeSource("s", [Group((POWER,), lambda: [value])], close=lambda: None)
    (reading,) = source.read()
    assert reading.value is None
    assert "is no value" in (reading.error or "")


def test_a_group_that_fails_fails_for_all_its_channels_at_one_moment() -> None:
    def fetch() -> list[float | str]:
        raise OSError(errno.EIO, "Input/output error")

    source = ProbeSource("s", [Group((POWER, HEAT), fetch)], close=lambda: None)
    readings = source.read()
    assert [r.value for r in readings] == [None, None]
    assert len({r.seconds for r in readings}) == 1


# --- sites -------------------------------------------------------------------------------------


def test_what_was_refused_is_told_by_line_and_junk_is_left_out() -> None:
    text = "# a comment\nEACCES sys/*/energy_uj\nEAGAIN a/b\nNOTHING c\nEIO\n"
    assert parse_refused(text) == {"sys/*/energy_uj": errno.EACCES, "a/b": errno.EAGAIN}


def test_a_refusal_comes_when_the_file_is_opened_or_when_it_is_read(tmp_path: Path) -> None:
    for name in ("a", "b", "refused.txt"):
        (tmp_path / name).write_text("EACCES a\nEAGAIN b\n")
    site = Site.at(tmp_path)
    with pytest.raises(PermissionError):
        site.open(tmp_path / "a")
    file = site.open(tmp_path / "b")
    with pytest.raises(BlockingIOError):
        file.text()
    file.close()


def test_a_command_that_fails_is_an_error_with_its_words() -> None:
    assert run_command(["echo", "a", "b"]) == "a b\n"
    with pytest.raises(OSError, match="failed: no such thing"):
        run_command(["sh", "-c", "echo no such thing >&2; exit 3"])
    with pytest.raises(FileNotFoundError):
        run_command(["fleetmark-no-such-command"])


def test_a_recorded_tree_never_runs_a_command(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Site.at(tmp_path).output("echo", "a")
