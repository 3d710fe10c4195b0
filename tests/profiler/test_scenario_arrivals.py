"""Poisson arrivals, the same for a seed everywhere, and waiting for them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import kstest, poisson

from profiler.scenarios.arrivals import poisson_arrivals, waiter


def test_gaps_are_exponential() -> None:
    gaps = np.diff(poisson_arrivals(50.0, 20_001, (7,))) / 1e9
    assert kstest(gaps, "expon", args=(0, 1 / 50)).pvalue > 0.01


def test_gaps_do_not_depend_on_each_other() -> None:
    gaps = np.diff(poisson_arrivals(50.0, 20_001, (7,)))
    assert abs(np.corrcoef(gaps[1:], gaps[:-1])[0, 1]) < 3 / np.sqrt(20_000)


def test_so_many_come_per_second() -> None:
    arrivals = poisson_arrivals(300.0, 40_000, (1,)) / 1e9
    counts = np.histogram(arrivals, bins=np.arange(0, 100))[0]
    low, high = poisson(300).ppf([0.0001, 0.9999])
    assert low <= counts.min() <= counts.max() <= high
    assert counts.var() == pytest.approx(300, rel=0.4)


def test_a_seed_gives_these_arrivals_for_ever() -> None:
    # Were they others, results of the same seed could no longer be compared.
    arrivals = poisson_arrivals(1000.0, 4, (0, 0, 0))
    assert arrivals.tolist() == [1_013_247, 1_327_666, 1_369_502, 1_386_168]
    assert arrivals.dtype == np.int64


def test_other_streams_of_a_seed_are_others() -> None:
    streams = [(5, 0, 0), (5, 0, 1), (5, 1, 0), (6, 0, 0)]
    firsts = {int(poisson_arrivals(10.0, 1, stream)[0]) for stream in streams}
    assert len(firsts) == len(streams)


def test_they_rise_also_at_the_highest_rate() -> None:
    assert (np.diff(poisson_arrivals(1e6, 10_000, (2,))) >= 0).all()


class Sleeper:
    """A clock that moves by 100 ns a read, and a sleep that ends late."""

    def __init__(self, late_ns: int) -> None:
        self.now = 0
        self.slept = 0.0
        self.reads = 0
        self._late_ns = late_ns

    def clock(self) -> int:
        self.now += 100
        self.reads += 1
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept += seconds
        self.now += int(seconds * 1e9) + self._late_ns


@pytest.mark.parametrize("late", [0, 60_000, 150_000])
def test_it_returns_at_the_moment_though_sleep_ends_late(late: int) -> None:
    world = Sleeper(late)
    waiter(world.clock, world.sleep)(10_000_000)
    assert 10_000_000 <= world.now <= 10_000_100


def test_the_clock_is_watched_for_a_fifth_of_a_millisecond_at_most() -> None:
    world = Sleeper(0)
    waiter(world.clock, world.sleep)(10_000_000_000)
    assert world.reads * 100 <= 200_000 + 300
    assert world.slept == pytest.approx(10 - 0.0002, rel=1e-6)


def test_without_watching_it_only_sleeps() -> None:
    world = Sleeper(60_000)
    waiter(world.clock, world.sleep, spin_ns=0)(10_000_000)
    assert world.reads <= 4
    assert 10_000_000 <= world.now <= 10_070_000


def test_what_is_over_is_not_waited_for() -> None:
    world = Sleeper(0)
    world.now = 1_000
    waiter(world.clock, world.sleep)(500)
    assert world.slept == 0
