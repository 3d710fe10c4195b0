"""Between two clock reads there are the call and its synchronisation, and nothing else."""

from __future__ import annotations

from array import array
from collections.abc import Callable

import pytest

from profiler.blocks import TimedBlocks
from profiler.runtimes.cuda_events import CudaEvents
from profiler.samples import UNKNOWN
from profiler.stamps import Stamps
from profiler.timing import clock_overhead_ns, timed_block, timed_block_on_device


class World:
    """A clock that only moves when something is done, and a record of what was."""

    def __init__(self, call_ns: int = 10, sync_ns: int = 5) -> None:
        self.now = 1000
        self.done: list[str] = []
        self._call_ns = call_ns
        self._sync_ns = sync_ns

    def clock(self) -> int:
        self.done.append("clock")
        return self.now

    def call(self) -> None:
        self.done.append("call")
        self.now += self._call_ns

    def synchronize(self) -> None:
        self.done.append("synchronize")
        self.now += self._sync_ns


def block(world: World, until: int, synchronize: Callable[[], None] | None) -> Stamps:
    stamps = Stamps()
    timed_block(world.call, synchronize, until, stamps, world.clock)
    return stamps


def test_only_the_call_is_timed() -> None:
    world = World()
    assert list(block(world, 1030, None)) == [(1000, 1010), (1010, 1020), (1020, 1030)]
    assert world.done == ["clock", "call", "clock"] * 3


def test_the_synchronisation_is_inside_the_timed_region() -> None:
    world = World()
    assert list(block(world, 1020, world.synchronize)) == [(1000, 1015), (1015, 1030)]
    assert world.done == ["clock", "call", "synchronize", "clock"] * 2


class SlowColumn(array):  # type: ignore[type-arg]  # not generic before Python 3.12
    """Keeping a stamp takes time too, and a record of when it was done."""

    world: World

    def append(self, stamp: int, /) -> None:
        self.world.done.append("keep")
        self.world.now += 500
        super().append(stamp)


def slow(world: World) -> Stamps:
    found = Stamps()
    found.starts, found.ends = SlowColumn("q"), SlowColumn("q")
    found.starts.world = found.ends.world = world
    return found


@pytest.mark.parametrize("synchronized", [False, True])
def test_what_the_loop_does_for_itself_is_not_timed(synchronized: bool) -> None:
    world = World(call_ns=10, sync_ns=5)
    stamps = slow(world)
    wait = world.synchronize if synchronized else None
    timed_block(world.call, wait, 3_000, stamps, world.clock)
    assert [b - a for a, b in stamps] == [15 if synchronized else 10] * 3
    called = ["call", "synchronize"] if synchronized else ["call"]
    assert world.done == ["clock", *called, "clock", "keep", "keep"] * 3


@pytest.mark.parametrize("synchronized", [False, True])
@pytest.mark.parametrize("until", [0, 999, 1000, 1001])
def test_there_is_at_least_one_iteration(until: int, synchronized: bool) -> None:
    world = World()
    assert len(block(world, until, world.synchronize if synchronized else None)) == 1


def test_it_stops_at_the_deadline_and_not_before() -> None:
    world = World(call_ns=10)
    stamps = block(world, 1095, None)
    assert len(stamps) == 10
    assert stamps[-2][1] < 1095 <= stamps[-1][1]


def test_stamps_are_appended_to_those_that_are_there() -> None:
    world = World()
    stamps = Stamps([(1, 2)])
    timed_block(world.call, None, 0, stamps, world.clock)
    assert list(stamps) == [(1, 2), (1000, 1010)]


def test_what_the_call_raises_comes_through() -> None:
    def broken() -> None:
        raise RuntimeError("no kernel image")

    stamps = Stamps()
    with pytest.raises(RuntimeError, match="no kernel image"):
        timed_block(broken, None, 0, stamps, World().clock)
    assert list(stamps) == []


# --- with the accelerator's own time -----------------------------------------------------------


class Gpu:
    """Stands for ``torch.cuda``: work is queued, and done when it is waited for.

    Attributes:
        streams: asked for, by device.
    """

    def __init__(self, world: World, work_ns: int) -> None:
        self.world = world
        self.streams: list[str] = []
        self._work_ns = work_ns
        self._now_ms = 5000.0
        self._queue: list[Event | None] = []

    def current_stream(self, device: str) -> str:
        self.streams.append(device)
        return f"stream of {device}"

    def Event(self, *, enable_timing: bool) -> Event:  # noqa: N802 - torch's name
        assert enable_timing
        return Event(self)

    def queue(self, event: Event | None) -> None:
        self._queue.append(event)

    def launch(self) -> None:
        self.world.call()
        self.queue(None)

    def synchronize(self) -> None:
        self.world.synchronize()
        for event in self._queue:
            if event is None:
                self._now_ms += self._work_ns / 1e6
            else:
                event.at_ms = self._now_ms
        self._queue.clear()


class Event:
    def __init__(self, gpu: Gpu) -> None:
        self.at_ms: float | None = None
        self._gpu = gpu

    def record(self, stream: str) -> None:
        assert stream == "stream of cuda:1"
        self._gpu.world.done.append("event")
        self.at_ms = None
        self._gpu.queue(self)

    def elapsed_time(self, end: Event) -> float:
        self._gpu.world.done.append("read")
        # torch raises where an event has not come about yet.
        assert self.at_ms is not None
        assert end.at_ms is not None
        return end.at_ms - self.at_ms


def test_events_stand_around_the_call_and_are_read_outside_of_the_timed_region() -> None:
    world = World()
    gpu = Gpu(world, work_ns=4321)
    stamps = Stamps()
    device_ns: list[int] = []
    timer = CudaEvents(gpu, "cuda:1")
    timed_block_on_device(gpu.launch, gpu.synchronize, timer, 1020, stamps, device_ns, world.clock)
    assert gpu.streams == ["cuda:1"]
    assert list(stamps) == [(1000, 1015), (1015, 1030)]
    assert device_ns == [4321, 4321]
    one = ["event", "clock", "call", "event", "synchronize", "clock", "read"]
    assert world.done == one * 2


def test_blocks_keep_both_times() -> None:
    world = World()
    gpu = Gpu(world, work_ns=7)
    blocks = TimedBlocks(
        gpu.launch, gpu.synchronize, timer=CudaEvents(gpu, "cuda:1"), clock=world.clock
    )
    blocks.run(0.0, lambda _: True)
    kept = blocks.recording(0, [(0, 100)]).iterations
    assert kept.latency_ns.tolist() == [100, 15]
    assert kept.device_ns.tolist() == [UNKNOWN, 7]


def test_without_a_timer_nothing_is_between_two_iterations() -> None:
    world = World()
    blocks = TimedBlocks(world.call, None, clock=world.clock)
    blocks.run(20e-9, lambda _: False)
    calls = "".join("c" if what == "call" else "." for what in world.done)
    assert ".c..c." in calls
    assert blocks.device_ns == []


# --- the clock itself --------------------------------------------------------------------------


def test_the_overhead_of_the_clock_is_its_median() -> None:
    ticks = iter(range(0, 10**9, 40))
    assert clock_overhead_ns(lambda: next(ticks)) == 40


def test_the_overhead_of_the_real_clock_is_small_and_positive() -> None:
    assert 0 <= clock_overhead_ns() < 1e6
