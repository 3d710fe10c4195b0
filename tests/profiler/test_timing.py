"""Between two clock reads there are the call and its synchronisation, and nothing else."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from profiler.timing import Stamps, clock_overhead_ns, timed_block


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
    stamps: Stamps = []
    timed_block(world.call, synchronize, until, stamps, world.clock)
    return stamps


def test_only_the_call_is_timed() -> None:
    world = World()
    assert block(world, 1030, None) == [(1000, 1010), (1010, 1020), (1020, 1030)]
    assert world.done == ["clock", "call", "clock"] * 3


def test_the_synchronisation_is_inside_the_timed_region() -> None:
    world = World()
    assert block(world, 1020, world.synchronize) == [(1000, 1015), (1015, 1030)]
    assert world.done == ["clock", "call", "synchronize", "clock"] * 2


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
    stamps: Stamps = [(1, 2)]
    timed_block(world.call, None, 0, stamps, world.clock)
    assert stamps == [(1, 2), (1000, 1010)]


def test_what_the_call_raises_comes_through() -> None:
    def broken() -> None:
        raise RuntimeError("no kernel image")

    stamps: Stamps = []
    with pytest.raises(RuntimeError, match="no kernel image"):
        timed_block(broken, None, 0, stamps, World().clock)
    assert stamps == []


def test_the_overhead_of_the_clock_is_its_median() -> None:
    ticks = iter(range(0, 10**9, 40))
    assert clock_overhead_ns(lambda: next(ticks)) == 40


def test_the_overhead_of_the_real_clock_is_small_and_positive() -> None:
    assert 0 <= clock_overhead_ns() < 1e6
