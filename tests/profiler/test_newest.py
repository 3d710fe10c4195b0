"""What a sampler tells other processes while it reads: the newest readings, in a file in memory."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from profiler.sensors import newest as module
from profiler.sensors.base import Channel, Quantity, Reading, ThrottleCause
from profiler.sensors.newest import NewestFile, NewestOfSource, NewestWriter
from profiler.sensors.sampler import Sampler

TREES = Path(__file__).parents[1] / "fixtures" / "sysfs"
DEADLINE_SECONDS = 30.0
ENERGY = Channel(source="fake", label="package-0", quantity=Quantity.ENERGY)
FLAG = Channel(
    source="fake", label="board", quantity=Quantity.THROTTLED_NOW, cause=ThrottleCause.HEAT
)


class Reader:
    """As a ``SourceReader``."""

    channels = (ENERGY, FLAG)

    def __init__(self) -> None:
        self.found: NewestOfSource | None = None

    def newest(self) -> NewestOfSource | None:
        return self.found

    def say(self, seconds: float, joules: float | None, flag: float, failed_total: int = 0) -> None:
        values = ((ENERGY, joules), (FLAG, flag))
        self.found = NewestOfSource(
            source="fake",
            readings=tuple(
                Reading(channel=channel.key, seconds=seconds, value=value)
                for channel, value in values
            ),
            failed=int(joules is None),
            duration_seconds=0.001,
            failed_total=failed_total,
        )


@pytest.fixture
def file() -> NewestFile:
    found = NewestFile()
    assert found.path is not None
    return found


def writer_of(file: NewestFile, now: list[float] | None = None) -> NewestWriter:
    assert file.path is not None
    descriptor = os.open(file.path, os.O_RDWR)
    return NewestWriter(descriptor, (lambda: now[0]) if now else time.perf_counter)


def test_nothing_before_the_first_record(file: NewestFile) -> None:
    assert file.read() is None


def test_it_is_written_once_a_second_and_not_at_every_tick(file: NewestFile) -> None:
    now = [100.0]
    writer, reader = writer_of(file, now), Reader()
    written: list[float] = []
    for tick in range(1, 40):
        now[0] = 100.0 + tick / 10
        reader.say(now[0], float(tick), 0.0)
        writer([reader])
        found = file.read()
        if found is not None and found.seconds not in written:
            written.append(found.seconds)
    assert written == pytest.approx([101.0, 102.0, 103.0])


def test_a_reader_without_readings_is_left_out(file: NewestFile) -> None:
    writer = writer_of(file)
    writer.write([Reader()])
    found = file.read()
    assert found is not None
    assert found.sources == ()


def test_what_is_counted_goes_on_from_one_sampler_to_the_next(file: NewestFile) -> None:
    for failed in (2, 1):
        writer, reader = writer_of(file), Reader()
        for second in range(4):
            # Each sampler's own counter begins anew, as those of perf events do.
            reader.say(float(second), 10.0 * second, flag=1.0, failed_total=failed)
            writer.write([reader])
    found = file.read()
    assert found is not None
    assert found.counted == {ENERGY.key: 60.0, FLAG.key: 6.0}
    assert found.failed == {"fake": 3}


def test_a_record_that_is_being_written_is_not_taken(file: NewestFile) -> None:
    writer, reader = writer_of(file), Reader()
    reader.say(1.0, 5.0, 0.0)
    writer.write([reader])
    assert file.path is not None
    descriptor = os.open(file.path, os.O_RDWR)
    os.pwrite(descriptor, b"x", 60)
    assert file.read() is None
    os.pwrite(descriptor, b"", 0)
    os.ftruncate(descriptor, 3)
    assert file.read() is None
    os.close(descriptor)


def test_what_is_no_record_of_this_version_is_nothing(
    file: NewestFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Other(module.Newest):
        unheard_of: int = 1

    with monkeypatch.context() as patch:
        patch.setattr(module, "Newest", Other)
        writer_of(file).write([])
    assert file.read() is None


def test_without_memory_for_it_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MEMORY", "/nonexistent")
    file = NewestFile()
    assert (file.path, file.read()) == (None, None)


def test_a_file_that_cannot_be_opened_costs_a_word(capfd: pytest.CaptureFixture[str]) -> None:
    assert NewestWriter.open(Path("/proc/1/fd/999999")) is None
    assert "no readings for others" in capfd.readouterr().err


# --- with a sampler's process ------------------------------------------------------------------


def written_by(file: NewestFile, sampler: Sampler) -> Sequence[NewestOfSource]:
    """What it writes while it runs, not only at its end."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    try:
        while (found := file.read()) is None:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        return found.sources
    finally:
        assert sampler.stop(DEADLINE_SECONDS).lost is None


@pytest.mark.parametrize("only", [("rapl", "system"), ("hwmon", "thermal")])
def test_a_sampler_writes_while_it_reads(only: tuple[str, ...], file: NewestFile) -> None:
    """Also one whose sources all have threads of their own."""
    sampler = Sampler.start(only=only, root=TREES / "intel-desktop", newest=file.path)
    found = {each.source: each for each in written_by(file, sampler)}
    assert found
    assert set(found) <= set(only)
    values = {r.channel: r.value for each in found.values() for r in each.readings}
    if "rapl" in only:
        assert values["rapl/package-0/energy_joules"] == pytest.approx(81_273.645123)
        # The tree's /proc/stat stands still, so that its load is not known: said, and never 0.
        assert found["system"].failed >= 1
    for each in found.values():
        assert 0 < each.duration_seconds < DEADLINE_SECONDS


def test_a_sampler_without_a_file_to_write_to_reads_all_the_same(tmp_path: Path) -> None:
    sampler = Sampler.start(
        hertz=100, only=("rapl",), root=TREES / "intel-desktop", newest=tmp_path / "gone"
    )
    assert sampler.wait_ready(DEADLINE_SECONDS)
    trace = sampler.stop(DEADLINE_SECONDS)
    assert trace.lost is None
    assert len(trace.series[0].values) >= 1
