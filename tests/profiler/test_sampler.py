"""The sampler: its schedule on a clock of our own, its pipe, and its life as a process."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Collection
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiler.errors import InputError
from profiler.result import AbsentSource, EnergyScope, SamplerReport
from profiler.sensors.base import Channel, Quantity, Reading
from profiler.sensors.cpus import Place, choose
from profiler.sensors.rates import FAST, MAX_HERTZ, SLOW, period_seconds
from profiler.sensors.recorder import Recorder, decode, encode
from profiler.sensors.sampler import Sampler
from profiler.sensors.sampling import Opener, Sampling
from profiler.sensors.schedule import Schedule

TREES = Path(__file__).parents[1] / "fixtures" / "sysfs"
DEADLINE_SECONDS = 60.0

ENERGY = Channel(
    source="fake", label="x", quantity=Quantity.ENERGY, scope=EnergyScope.BOARD, wraps_at=100.0
)
HEAT = Channel(source="fake", label="x", quantity=Quantity.TEMPERATURE)

NOWHERE = Place(frozenset(), None)

REPORT = SamplerReport(
    readings=0,
    failed_readings=0,
    missed_ticks=0,
    largest_gap_seconds=0.0,
    cpu_seconds=0.0,
    cpu_affinity=(0,),
    sources=("fake",),
)


class Time:
    """A clock that stands still until told; each read of a source takes ``read_seconds``."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Fake:
    """A source of two channels; the energy read fails wherever ``fails`` says."""

    name = "fake"
    channels: tuple[Channel, ...] = (ENERGY, HEAT)

    def __init__(self, clock: Time, durations: dict[int, float], fails: Collection[int]) -> None:
        self.clock = clock
        self.durations = durations
        self.fails = fails
        self.asked: list[tuple[float, bool]] = []

    def read(self, only: Collection[Quantity] | None = None) -> list[Reading]:
        count = len(self.asked)
        self.asked.append((self.clock.now, only is None))
        self.clock.now += self.durations.get(count, 0.0)
        value = None if count in self.fails else float(count)
        readings = [Reading(channel=ENERGY.key, seconds=self.clock.now, value=value, error="no")]
        if ENERGY not in self.channels:
            readings = []
        if only is None or Quantity.TEMPERATURE in only:
            readings.append(Reading(channel=HEAT.key, seconds=self.clock.now, value=40.0))
        return readings

    def close(self) -> None:
        pass


def drive(
    ticks: int,
    hertz: float = 10.0,
    durations: dict[int, float] | None = None,
    fails: Collection[int] = (),
) -> tuple[Sampling, Fake, list[str]]:
    """Run a sampling for some waits, each of which takes exactly as long as asked."""
    clock = Time()
    source = Fake(clock, durations or {}, fails)
    sampling = Sampling([Opener("fake", lambda: ([source], ()), may_block=False)], hertz, clock)
    waits: list[float] = []
    events: list[str] = []

    def stopped(seconds: float) -> bool:
        clock.now += seconds
        waits.append(seconds)
        return len(waits) > ticks

    sampling.run(stopped, lambda: events.append(f"ready after {len(source.asked)}"))
    return sampling, source, events


def test_ticks_lie_on_the_schedule_whatever_a_read_costs() -> None:
    _, source, _ = drive(5, durations=dict.fromkeys(range(5), 0.03))
    times = [at for at, _ in source.asked[:5]]
    assert times == pytest.approx([1000.1, 1000.2, 1000.3, 1000.4, 1000.5])


def test_a_slow_read_costs_the_ticks_in_between_and_they_are_counted() -> None:
    sampling, source, _ = drive(4, durations={1: 0.35})
    times = [at for at, _ in source.asked[:4]]
    # The read at 1000.2 ends at 1000.55: 1000.3, .4 and .5 are gone, .6 is the next.
    assert times[:2] == pytest.approx([1000.1, 1000.2])
    assert times[2] == pytest.approx(1000.55)
    report = sampling.report(NOWHERE)
    assert report.missed_ticks == report.by_source[0].missed_ticks == 2
    assert report.largest_gap_seconds == pytest.approx(0.35)
    assert report.by_source[0].longest_read_seconds == pytest.approx(0.35)
    assert report.by_source[0].blocked_seconds == 0


def test_slow_quantities_are_read_once_a_second_and_at_the_end() -> None:
    _, source, _ = drive(25)
    everything = [round(at - 1000, 6) for at, whole in source.asked if whole]
    assert everything == pytest.approx([0.1, 1.1, 2.1, 2.6])


def test_no_quantity_is_neither_fast_nor_slow() -> None:
    assert set(Quantity) == FAST | SLOW
    assert not FAST & SLOW


def test_it_is_ready_after_its_first_tick_and_says_so_once() -> None:
    assert drive(3)[2] == ["ready after 1"]


def test_stopped_at_once_it_still_reads() -> None:
    sampling, source, events = drive(0)
    assert len(source.asked) == 1
    assert events == []
    assert sampling.report(NOWHERE).readings == 2


def test_a_failed_read_is_counted_and_is_no_value() -> None:
    sampling, _, _ = drive(4, fails={1, 2})
    report = sampling.report(NOWHERE)
    assert report.failed_readings == 2
    trace = decode(encode(sampling.recorders, (), report))
    energy = trace.series[0]
    assert energy.values.tolist() == [0.0, 3.0, 4.0]
    assert (energy.failed, energy.error) == (2, "no")
    assert len(energy.seconds) == len(energy.values)


@given(st.lists(st.floats(0.0, 5.0), min_size=1, max_size=50), st.floats(0.001, 2.0))
def test_every_tick_of_the_schedule_is_either_run_or_missed(
    delays: list[float], period: float
) -> None:
    schedule = Schedule(0.0, period)
    for delay in delays:
        # At least half of a period late or on time, so that rounding is not what is tested.
        now = schedule.due + delay
        before = schedule.due
        schedule.ran(now)
        assert schedule.due > before
        assert schedule.due > now - period * 1e-6
    ticks = round(schedule.due / period)
    assert schedule.missed + len(delays) == ticks - 1


VALUES = st.lists(st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False)))


@given(VALUES, VALUES)
def test_what_goes_over_the_pipe_comes_back_to_the_last_bit(
    first: list[float | None], second: list[float | None]
) -> None:
    recorder = Recorder([ENERGY, HEAT])
    for channel, values in ((ENERGY, first), (HEAT, second)):
        recorder.add(
            Reading(channel=channel.key, seconds=i / 3, value=v, error=None if v else f"at {i}")
            for i, v in enumerate(values)
        )
    absent = (AbsentSource(source="rapl", reason="gone"),)
    trace = decode(encode([recorder], absent, REPORT))
    assert trace.absent == absent
    assert trace.report == REPORT
    for series, values in zip(trace.series, (first, second), strict=True):
        assert series.values.tolist() == [v for v in values if v is not None]
        assert series.seconds.tolist() == [i / 3 for i, v in enumerate(values) if v is not None]
        assert series.failed == values.count(None)
    assert trace.series[0].channel == ENERGY


@pytest.mark.parametrize("cut", [0, 5, -1, -8])
def test_a_recording_that_breaks_off_is_refused(cut: int) -> None:
    recorder = Recorder([HEAT])
    recorder.add([Reading(channel=HEAT.key, seconds=1.0, value=2.0)])
    whole = encode([recorder], (), REPORT)
    with pytest.raises(ValueError, match="the recording"):
        decode(whole[:cut])


@pytest.mark.parametrize(
    ("allowed", "workload", "expected", "kept_off"),
    [
        ({0, 1, 2, 3}, {0, 1}, {2, 3}, True),
        ({0, 1}, {0}, {0, 1}, False),
        ({0, 1, 2, 3}, {0, 1, 2, 3}, {0, 1, 2, 3}, False),
        ({0, 1, 2, 3}, set(), {0, 1, 2, 3}, None),
        ({4, 5, 6}, {0, 4}, {5, 6}, True),
    ],
)
def test_the_sampler_keeps_off_the_workloads_cpus_where_it_can(
    allowed: set[int], workload: set[int], expected: set[int], kept_off: bool | None
) -> None:
    found = choose(allowed, workload)
    assert found.cpus == expected
    assert found.kept_off is kept_off
    assert (found.reason is None) is (kept_off is True)


POWER = ENERGY.model_copy(update={"quantity": Quantity.POWER})


@pytest.mark.parametrize(
    ("source", "channels", "hertz", "period"),
    [
        ("rapl", (ENERGY,), 10.0, 0.1),
        ("rapl", (ENERGY,), 100.0, 0.01),
        ("nvml", (POWER, HEAT), 10.0, 0.1),
        ("nvml", (POWER,), 100.0, 0.05),
        ("rpi", (POWER,), 10.0, 1.0),
        ("thermal", (HEAT,), 10.0, 1.0),
        ("thermal", (HEAT,), 0.2, 5.0),
    ],
)
def test_a_source_is_asked_no_more_often_than_it_is_worth(
    source: str, channels: tuple[Channel, ...], hertz: float, period: float
) -> None:
    assert period_seconds(source, channels, hertz) == pytest.approx(period)
    assert MAX_HERTZ["nvml"] == 20


def test_a_source_of_slow_quantities_is_read_soon_and_then_once_a_second() -> None:
    clock = Time()
    source = Fake(clock, {}, ())
    source.channels = (HEAT,)
    opener = Opener("fake", lambda: ([source], ()), may_block=False)
    sampling = Sampling([opener], 10.0, clock)
    waits: list[float] = []

    def stopped(seconds: float) -> bool:
        clock.now += seconds
        waits.append(seconds)
        return len(waits) > 3

    sampling.run(stopped, lambda: None)
    assert [at - 1000 for at, _ in source.asked] == pytest.approx([0.1, 1.1, 2.1, 3.1])


# From here on, real processes.


def wait_for_end(pid: int) -> None:
    """Until a child is a zombie, without reaping it."""
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)


def test_a_device_tree_is_sampled_by_another_process() -> None:
    sampler = Sampler.start(hertz=100, only=("rapl", "system"), root=TREES / "intel-desktop")
    assert sampler.wait_ready(DEADLINE_SECONDS)
    trace = sampler.stop(DEADLINE_SECONDS)
    assert trace.lost is None
    assert trace.report is not None
    package = trace.series[0]
    assert package.channel.key == "rapl/package-0/energy_joules"
    np.testing.assert_allclose(package.values, 81_273.645123)
    assert np.all(np.diff(package.seconds) > 0)
    assert trace.report.sources == ("rapl", "system")
    assert trace.report.cpu_affinity == tuple(sorted(os.sched_getaffinity(0)))
    assert trace.report.readings == sum(len(s.values) for s in trace.series)
    # The tree's /proc/stat stands still, so no ratio is ever known; none is made up.
    (load,) = [s for s in trace.series if s.channel.quantity is Quantity.UTILIZATION]
    assert len(load.values) == 0
    assert load.failed == trace.report.failed_readings >= 2


def test_readings_are_stamped_with_the_parents_clock() -> None:
    before = time.perf_counter()
    sampler = Sampler.start(hertz=100, only=("rapl",), root=TREES / "intel-desktop")
    sampler.wait_ready(DEADLINE_SECONDS)
    series = sampler.stop(DEADLINE_SECONDS).series[0]
    assert before < series.seconds[0] < series.seconds[-1] < time.perf_counter()


def test_absent_sources_come_along() -> None:
    sampler = Sampler.start(only=("rapl", "system"), root=TREES / "virtual-machine")
    trace = sampler.stop(DEADLINE_SECONDS)
    assert [a.source for a in trace.absent] == ["rapl"]


def test_stopped_twice_it_gives_the_same_trace() -> None:
    sampler = Sampler.start(only=(), root=TREES / "virtual-machine")
    trace = sampler.stop(DEADLINE_SECONDS)
    assert sampler.stop() is trace
    assert trace.lost is None
    assert trace.series == ()


def test_a_killed_sampler_gives_a_trace_that_says_so() -> None:
    sampler = Sampler.start(only=("system",))
    os.kill(sampler.pid, signal.SIGKILL)
    wait_for_end(sampler.pid)
    trace = sampler.stop(DEADLINE_SECONDS)
    assert trace.lost == "it was killed by signal 9"
    assert (trace.series, trace.report) == ((), None)


def test_a_sampler_that_does_not_answer_is_killed() -> None:
    sampler = Sampler.fork(lambda result: time.sleep(3600) or b"")
    trace = sampler.stop(timeout_seconds=0.05)
    assert trace.lost == "it did not answer within 0.05 s and was killed"
    with pytest.raises(ChildProcessError):
        os.waitpid(sampler.pid, os.WNOHANG)


def test_an_error_in_the_sampler_arrives_as_its_reason() -> None:
    def fail(result: int) -> bytes:
        raise RuntimeError("the driver is on fire")

    sampler = Sampler.fork(fail)
    assert not sampler.wait_ready(DEADLINE_SECONDS)
    assert sampler.stop(DEADLINE_SECONDS).lost == "RuntimeError: the driver is on fire"


def test_half_an_answer_is_no_trace() -> None:
    trace = Sampler.fork(lambda result: b'{"channels": [').stop(DEADLINE_SECONDS)
    assert trace.lost is not None
    assert "the recording begins with" in trace.lost


def test_an_exit_without_an_answer_names_the_code() -> None:
    trace = Sampler.fork(lambda result: os._exit(3)).stop(DEADLINE_SECONDS)
    assert trace.lost == "it ended itself with exit code 3"


def test_a_child_that_someone_else_reaped_is_no_error() -> None:
    sampler = Sampler.fork(lambda result: os._exit(3))
    os.waitpid(sampler.pid, 0)
    lost = sampler.stop(DEADLINE_SECONDS).lost
    assert lost is not None
    assert "another part" in lost


def test_it_inherits_no_file_and_does_not_hear_ctrl_c() -> None:
    held, held_write = os.pipe()

    def look(result: int) -> bytes:
        os.kill(os.getpid(), signal.SIGINT)
        folder = Path("/proc/self/fd")
        # The folder's own descriptor is among them while it is listed.
        count = len(list(folder.iterdir())) - 1
        output = (folder / "1").readlink()
        return f"!{count} {(folder / str(result)).exists()} {output}".encode()

    lost = Sampler.fork(look).stop(DEADLINE_SECONDS).lost
    os.close(held)
    os.close(held_write)
    assert lost == "4 True /dev/null"


def test_the_parents_pipe_ends_are_closed_after_stop() -> None:
    def open_files() -> set[str]:
        return {e.name for e in Path("/proc/self/fd").iterdir()}

    before = open_files()
    Sampler.start(only=()).stop(DEADLINE_SECONDS)
    assert open_files() == before


@pytest.mark.parametrize(
    "start",
    [
        "Sampler.start(only=('system',)); s.wait_ready()",
        # Stuck in a read it does not see its pipe close: the kernel has to end it.
        "Sampler.fork(lambda out: os.write(out, b'R') and time.sleep(600)); s.wait_ready()",
    ],
)
def test_it_dies_with_its_parent(start: str) -> None:
    code = (
        f"import os, time; from profiler.sensors.sampler import Sampler; s = {start};"
        "print(s.pid, flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        sampler = os.pidfd_open(int(parent.stdout.readline()))
        parent.kill()
        # A pidfd becomes readable when its process ends.
        readable, _, _ = select.select([sampler], [], [], DEADLINE_SECONDS)
        os.close(sampler)
        assert readable


@pytest.mark.parametrize("hertz", [0, -1, 1001, float("nan")])
def test_a_rate_that_is_none_is_refused(hertz: float) -> None:
    with pytest.raises(InputError, match="sample_hertz"):
        Sampler.start(hertz=hertz)


def test_an_unknown_source_is_refused_before_anything_is_forked() -> None:
    with pytest.raises(InputError, match="no sensor source"):
        Sampler.start(only=("nvlm",))
