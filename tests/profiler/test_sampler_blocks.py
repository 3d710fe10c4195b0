"""A source that hangs, dies or raises costs its own readings and no other's: in real processes."""

from __future__ import annotations

import ast
import mmap
import os
import signal
import struct
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

import numpy as np
import pytest

from profiler import sensors
from profiler.base import Frozen
from profiler.forked import call_in_child
from profiler.result import AbsentSource, SamplerReport, SourceReport
from profiler.sensors import source_reader
from profiler.sensors.base import Channel, Quantity, Reading, Source
from profiler.sensors.recorder import Recorder, encode
from profiler.sensors.sampler import Sampler, sample
from profiler.sensors.sampling import Opener
from profiler.sensors.trace import Series, Trace
from profiler.sensors.trace_file import join
from tests.profiler.test_sampler import HEAT, REPORT

HERTZ = 50.0
DEADLINE_SECONDS = 60.0
BLOCKED_AFTER_SECONDS = 0.2
# More ticks than a read may last before it counts as blocked.
MANY = 30


@pytest.fixture(autouse=True)
def _soon_blocked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_reader, "BLOCKED_AFTER_SECONDS", BLOCKED_AFTER_SECONDS)


class Counts:
    """How often each source was read, seen by parent and child."""

    def __init__(self) -> None:
        self._page = mmap.mmap(-1, 4096)

    def add(self, place: int) -> int:
        struct.pack_into("<Q", self._page, 8 * place, self[place] + 1)
        return self[place]

    def __getitem__(self, place: int) -> int:
        found: int = struct.unpack_from("<Q", self._page, 8 * place)[0]
        return found

    def wait(self, place: int, count: int) -> None:
        end = time.monotonic() + DEADLINE_SECONDS
        while self[place] < count:
            assert time.monotonic() < end, f"source {place} was read {self[place]} times"
            time.sleep(0.005)


class Fake:
    """A source of one channel whose value is the number of the read; ``meanwhile`` may hang."""

    def __init__(
        self, name: str, place: int, counts: Counts, meanwhile: Callable[[int], None]
    ) -> None:
        self.name = name
        self.channels = (Channel(source=name, label="x", quantity=Quantity.POWER),)
        self._place = place
        self._counts = counts
        self._meanwhile = meanwhile

    def read(self, only: Collection[Quantity] | None = None) -> list[Reading]:
        number = self._counts.add(self._place)
        before = time.perf_counter()
        self._meanwhile(number)
        middle = (before + time.perf_counter()) / 2
        return [Reading(channel=self.channels[0].key, seconds=middle, value=float(number))]

    def close(self) -> None: ...


def nothing(number: int) -> None:
    """A source that answers at once."""


def for_ever() -> None:
    """As a read in a driver that hangs: it lets the other threads run, and does not come back."""
    reader, _writer = os.pipe()
    os.read(reader, 1)


def opener(source: Source, *, may_block: bool = True) -> Opener:
    return Opener(source.name, lambda: ([source], ()), may_block=may_block)


def start(openers: Sequence[Opener]) -> Sampler:
    return Sampler.fork(lambda result: sample(openers, HERTZ, (), None, result))


def series_of(trace: Trace, name: str) -> Series:
    (found,) = [s for s in trace.series if s.channel.source == name]
    return found


def report_of(trace: Trace, name: str) -> SourceReport:
    assert trace.report is not None
    (found,) = [r for r in trace.report.by_source if r.source == name]
    return found


@pytest.mark.parametrize("steady_has_a_thread", [False, True])
def test_a_read_that_never_comes_back_leaves_the_others_alone(*, steady_has_a_thread: bool) -> None:
    counts = Counts()

    def hang(number: int) -> None:
        if number == 3:
            for_ever()

    steady = Fake("steady", 0, counts, nothing)
    hung = Fake("hung", 1, counts, hang)
    sampler = start([opener(hung), opener(steady, may_block=steady_has_a_thread)])
    counts.wait(1, 3)
    counts.wait(0, counts[0] + MANY)
    trace = sampler.stop(DEADLINE_SECONDS)
    assert trace.lost is None
    assert len(series_of(trace, "steady").values) >= MANY
    assert np.all(np.diff(series_of(trace, "steady").seconds) > 0)
    assert report_of(trace, "steady").blocked_seconds == 0
    left = series_of(trace, "hung")
    assert left.values.tolist() == [1.0, 2.0]
    assert left.failed == 1
    assert left.error is not None
    assert "has not come back for" in left.error
    told = report_of(trace, "hung")
    assert told.reads == 2
    assert told.own_thread
    assert told.error == left.error
    assert told.blocked_seconds == told.longest_read_seconds >= BLOCKED_AFTER_SECONDS
    assert told.largest_gap_seconds >= BLOCKED_AFTER_SECONDS
    assert told.missed_ticks >= MANY - 5
    assert trace.report is not None
    assert trace.report.missed_ticks >= told.missed_ticks


def test_a_read_that_hung_for_a_while_is_a_gap_and_then_it_goes_on() -> None:
    counts = Counts()

    def hang(number: int) -> None:
        if number == 3:
            counts.wait(0, counts[0] + MANY)

    steady = Fake("steady", 0, counts, nothing)
    slow = Fake("slow", 1, counts, hang)
    sampler = start([opener(slow), opener(steady)])
    counts.wait(1, 10)
    trace = sampler.stop(DEADLINE_SECONDS)
    seen = series_of(trace, "slow")
    # The value of the read that hung is known, but not of which moment it is.
    assert seen.values.tolist()[:3] == [1.0, 2.0, 4.0]
    assert seen.failed == 1
    assert seen.error is not None
    assert seen.error.startswith("the read took")
    assert np.diff(seen.seconds).max() >= BLOCKED_AFTER_SECONDS
    told = report_of(trace, "slow")
    assert told.blocked_seconds == told.longest_read_seconds >= BLOCKED_AFTER_SECONDS
    assert told.missed_ticks >= MANY - 5
    assert np.diff(series_of(trace, "steady").seconds).max() < seen.seconds[2] - seen.seconds[1]


def test_a_source_that_raises_costs_its_own_readings() -> None:
    counts = Counts()

    def fail(number: int) -> None:
        if number in (2, 3):
            raise RuntimeError("the driver is on fire")

    for inline in (True, False):
        broken = Fake("broken", 1 + inline, counts, fail)
        steady = Fake("steady", 0, counts, nothing)
        sampler = start([opener(broken, may_block=not inline), opener(steady, may_block=False)])
        counts.wait(1 + inline, 6)
        counts.wait(0, counts[0] + 6)
        trace = sampler.stop(DEADLINE_SECONDS)
        seen = series_of(trace, "broken")
        assert seen.values.tolist()[:2] == [1.0, 4.0]
        assert (seen.failed, seen.error) == (2, "RuntimeError: the driver is on fire")
        assert report_of(trace, "broken").error == seen.error
        assert report_of(trace, "steady").failed_readings == 0
        assert trace.report is not None
        assert trace.report.failed_readings == 2


def test_a_source_that_does_not_open_is_absent_and_the_others_are_read() -> None:
    counts = Counts()

    def opens_never() -> tuple[Sequence[Source], Sequence[AbsentSource]]:
        for_ever()
        raise AssertionError

    def fails() -> tuple[Sequence[Source], Sequence[AbsentSource]]:
        raise OSError("no such bus")

    sampler = start(
        [
            Opener("hung", opens_never),
            Opener("broken", fails),
            opener(Fake("steady", 0, counts, nothing), may_block=False),
        ]
    )
    # It does not wait for a source that hangs either.
    assert sampler.wait_ready(DEADLINE_SECONDS)
    counts.wait(0, 5)
    trace = sampler.stop(DEADLINE_SECONDS)
    assert [series.channel.source for series in trace.series] == ["steady"]
    hung, broken = trace.absent
    assert (hung.source, broken.source) == ("hung", "broken")
    assert "opening it has not come back for" in hung.reason
    assert hung.remedy is not None
    assert broken.reason == "opening it failed: OSError: no such bus"


def test_what_was_read_is_in_the_order_of_the_sources_whoever_opened_first() -> None:
    counts = Counts()

    def slowly() -> tuple[Sequence[Source], Sequence[AbsentSource]]:
        counts.wait(0, 3)
        return [Fake("first", 1, counts, nothing)], ()

    sampler = start([Opener("first", slowly), opener(Fake("second", 0, counts, nothing))])
    assert sampler.wait_ready(DEADLINE_SECONDS)
    trace = sampler.stop(DEADLINE_SECONDS)
    assert [series.channel.source for series in trace.series] == ["first", "second"]
    assert counts[1] >= 2  # the first tick, and the last moment


def test_the_last_moment_is_read_by_every_thread() -> None:
    counts = Counts()
    places = range(4)
    sampler = start([opener(Fake(f"s{i}", i, counts, nothing)) for i in places])
    assert sampler.wait_ready(DEADLINE_SECONDS)
    before = time.perf_counter()
    trace = sampler.stop(DEADLINE_SECONDS)
    assert all(series.seconds[-1] > before for series in trace.series)
    assert [len(series.values) for series in trace.series] == [counts[i] for i in places]


def test_a_process_that_a_driver_holds_has_still_delivered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A thread in the kernel keeps a process, and all its files, until the driver lets go of it."""
    recorder = Recorder([HEAT])
    recorder.add([Reading(channel=HEAT.key, seconds=1.0, value=2.0)])
    whole = encode([recorder], (), REPORT)
    with monkeypatch.context() as held:
        held.setattr(os, "_exit", lambda _code: time.sleep(3600))
        sampler = Sampler.fork(lambda _result: whole)
    trace = sampler.stop(DEADLINE_SECONDS)
    assert os.waitpid(sampler.pid, os.WNOHANG) == (0, 0)  # it is still there
    os.kill(sampler.pid, signal.SIGKILL)
    os.waitpid(sampler.pid, 0)
    assert trace.lost is None
    assert trace.series[0].values.tolist() == [2.0]


def test_the_wall_clock_may_be_set_at_any_time(monkeypatch: pytest.MonkeyPatch) -> None:
    def asked() -> float:
        raise AssertionError("the wall clock was asked")

    for name in ("time", "time_ns", "localtime", "gmtime"):
        monkeypatch.setattr(time, name, asked)
    counts = Counts()
    sampler = start(
        [
            opener(Fake("a", 0, counts, nothing)),
            opener(Fake("b", 1, counts, nothing), may_block=False),
        ]
    )
    counts.wait(0, 5)
    counts.wait(1, 5)
    trace = sampler.stop(DEADLINE_SECONDS)
    assert trace.lost is None
    assert trace.report is not None
    assert trace.report.failed_readings == 0


# Locks, conditions, events, queues and joins with a time-out wait by the wall clock where Python or
# the C library has no other (Python 3.10: bpo-41710).
WAITS = {"wait", "acquire", "join", "get"}
WALL = {"time", "time_ns", "now", "today", "utcnow", "localtime", "gmtime"}


@pytest.mark.parametrize(
    "module", ["sampler", "sampling", "source_reader", "schedule", "recorder", "rates", "cpus"]
)
def test_no_part_of_the_sampler_looks_at_the_wall_clock(module: str) -> None:
    source = (Path(sensors.__file__).parent / f"{module}.py").read_text()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom):
            assert node.module != "datetime"
            assert node.module != "time" or not WALL & {a.name for a in node.names}
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            timed = node.func.attr in WAITS and (node.args or node.keywords)
            owner = ast.unparse(node.func.value)
            assert not timed or owner.startswith(('b"', "b'", "MAX_HERTZ")), ast.unparse(node)
            assert node.func.attr not in WALL or owner != "time"


class Placed(Frozen):
    report: SamplerReport


def test_a_workload_that_is_bound_has_a_sampler_that_is_not() -> None:
    """The sampler is forked from the bound process, and would else be bound to the same CPUs."""
    everywhere = os.sched_getaffinity(0)
    bound = {min(everywhere)}

    def worker() -> Placed:
        os.sched_setaffinity(0, bound)
        sampler = Sampler.start(only=("system",), workload_cpus=os.sched_getaffinity(0))
        report = sampler.stop(DEADLINE_SECONDS).report
        assert report is not None
        return Placed(report=report)

    found = call_in_child(worker, Placed, "the worker").report
    if len(everywhere) > 2:
        assert found.kept_off is True
        assert not bound & set(found.cpu_affinity)
    else:
        assert found.kept_off is False
        assert found.kept_off_reason == f"there are {len(everywhere)} CPUs"
        assert set(found.cpu_affinity) == everywhere


def test_repetitions_add_up_by_source() -> None:
    first = SourceReport(
        source="a", reads=10, readings=20, failed_readings=1, missed_ticks=2,
        largest_gap_seconds=0.5, longest_read_seconds=0.4, blocked_seconds=0.0, cpu_seconds=0.1,
        own_thread=True,
    )  # fmt: skip
    second = first.model_copy(
        update={"blocked_seconds": 3.0, "longest_read_seconds": 3.0, "error": "it hung"}
    )
    other = first.model_copy(update={"source": "b"})
    reports = [
        REPORT.model_copy(update={"by_source": sources, "kept_off": True})
        for sources in ((first, other), (second,))
    ]
    joined = join([Trace(series=(), absent=(), report=report) for report in reports]).report
    assert joined is not None
    assert joined.kept_off is True
    a, b = joined.by_source
    assert (a.source, a.reads, a.readings, a.failed_readings) == ("a", 20, 40, 2)
    assert (a.blocked_seconds, a.longest_read_seconds, a.error) == (3.0, 3.0, "it hung")
    assert a.largest_gap_seconds == 0.5
    assert b == other
