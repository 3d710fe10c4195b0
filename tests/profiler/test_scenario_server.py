"""``server``: an open loop whose latencies count from the scheduled arrival."""

from __future__ import annotations

from time import perf_counter_ns

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiler.scenarios.arrivals import poisson_arrivals, waiter
from profiler.scenarios.served import Served, join
from profiler.scenarios.server import Server, serve, stretches
from profiler.stamps import Stamps
from profiler.timing import timed_block
from tests.queueing import SimulatedDevice, lindley

SECOND = 1_000_000_000
MILLISECOND = 1_000_000
EVER = 10**18


def served(
    device: SimulatedDevice, arrivals: list[int], *, enough: int = 10**9, until_ns: int = EVER
) -> Served:
    return serve(
        device.call,
        None,
        np.array(arrivals, dtype=np.int64),
        enough=enough,
        until_ns=until_ns,
        clock=device.clock,
        wait_until=device.wait_until,
    )


def test_calls_are_begun_when_they_arrive_or_when_the_one_before_is_done() -> None:
    found = served(SimulatedDevice(10, now=0), [5, 12, 13, 60])
    assert found.scheduled_ns.tolist() == [5, 12, 13, 60]
    assert found.start_ns.tolist() == [5, 15, 25, 60]
    assert found.end_ns.tolist() == [15, 25, 35, 70]
    assert found.found_idle().tolist() == [True, False, False, True]
    assert (found.latency_seconds() * 1e9).round().tolist() == [10, 13, 22, 10]
    assert (found.service_seconds() * 1e9).round().tolist() == [10] * 4
    assert found.elapsed_ns == 70
    assert found.over_ns is None


def test_the_synchronisation_is_part_of_the_call() -> None:
    device = SimulatedDevice([10, 5, 10, 5], now=0)
    found = serve(
        device.call,
        device.call,
        np.array([3, 4]),
        enough=9,
        until_ns=EVER,
        clock=device.clock,
        wait_until=device.wait_until,
    )
    assert found.end_ns.tolist() == [18, 33]


@given(
    st.lists(st.tuples(st.integers(0, 50), st.integers(1, 60)), min_size=1, max_size=60),
    st.integers(0, 10**12),
)
def test_waiting_follows_the_recursion_of_lindley(
    calls: list[tuple[int, int]], origin: int
) -> None:
    arrivals = np.cumsum([gap for gap, _ in calls]).tolist()
    services = [service for _, service in calls]
    found = served(SimulatedDevice(services, now=origin), arrivals)
    latencies = (found.end_ns - found.scheduled_ns).tolist()
    assert latencies == lindley(arrivals, services)
    assert (found.start_ns >= found.scheduled_ns).all()
    assert found.abandoned_ns.tolist() == []


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 60)), min_size=1, max_size=40))
def test_the_backlog_is_who_has_come_and_was_not_begun(calls: list[tuple[int, int]]) -> None:
    arrivals = np.cumsum([gap for gap, _ in calls]).tolist()
    found = served(SimulatedDevice([service for _, service in calls], now=0), arrivals)
    starts = found.start_ns.tolist()
    counted = [
        sum(arrival <= start for arrival in arrivals) - (index + 1)
        for index, start in enumerate(starts)
    ]
    assert found.backlog().tolist() == counted
    last = arrivals[-1]
    begun = sum(start <= last for start in starts[:-1])
    assert found.backlog_at_end() == len(arrivals) - 1 - begun


def test_a_stall_is_in_the_latency_of_every_call_behind_it() -> None:
    services = [MILLISECOND] * 2000
    services[500] = SECOND
    arrivals = poisson_arrivals(500.0, 2000, (1,)).tolist()
    found = served(SimulatedDevice(services), arrivals)
    late = found.latency_seconds() > 0.1
    # A second's worth of calls arrived meanwhile; working them off takes another second.
    assert 700 < late.sum() < 1100
    assert np.flatnonzero(late)[0] == 500
    assert np.diff(np.flatnonzero(late)).max() == 1
    assert found.backlog().max() == pytest.approx(500, rel=0.15)
    assert found.backlog_at_end() < 10
    assert np.quantile(found.latency_seconds(), 0.99) > 0.9


def test_a_closed_loop_hides_the_stall() -> None:
    services = [MILLISECOND] * 2000
    services[500] = SECOND
    device = SimulatedDevice(services)
    stamps = Stamps()
    timed_block(device.call, None, device.now + sum(services), stamps, device.clock)
    closed = np.array([(end - start) / 1e9 for start, end in stamps])
    assert len(closed) == 2000
    assert (closed > 0.1).sum() == 1
    assert np.quantile(closed, 0.99) == 0.001


def test_it_ends_at_the_first_idle_moment_after_enough_calls() -> None:
    # 1 and 2 come while 0 is served, 3 while 2 is; the model is idle before 4.
    found = served(SimulatedDevice(10, now=0), [5, 6, 7, 30, 99, 200], enough=2)
    assert found.scheduled_ns.tolist() == [5, 6, 7, 30]
    assert found.over_ns is None
    assert found.abandoned_ns.tolist() == []


def test_what_was_not_begun_in_time_counts_with_its_wait() -> None:
    found = served(SimulatedDevice(100, now=0), [0, 10, 20, 30, 290, 310], until_ns=250)
    assert found.end_ns.tolist() == [100, 200, 300]
    assert found.over_ns == 300
    assert found.abandoned_ns.tolist() == [30, 290]
    assert (found.latency_seconds() * 1e9).round().tolist() == [100, 190, 280, 270, 10]
    assert found.backlog_at_end() == 1


def test_a_call_that_comes_after_the_time_is_waited_for_only_so_long() -> None:
    device = SimulatedDevice(10, now=0)
    found = served(device, [5, 500], until_ns=100)
    assert found.scheduled_ns.tolist() == [5]
    assert device.now == 100
    assert found.elapsed_ns == 100
    assert found.over_ns is None


def test_no_call_at_all_is_a_result_too() -> None:
    found = served(SimulatedDevice(10, now=0), [500], until_ns=100)
    assert found.latency_seconds().tolist() == []
    assert found.found_idle().tolist() == []
    assert found.backlog_at_end() == 0


def test_lateness_is_that_of_calls_with_nothing_in_their_way() -> None:
    device = SimulatedDevice(10, now=0)

    def late(when_ns: int) -> None:
        device.wait_until(when_ns + 3)

    found = serve(
        device.call,
        None,
        np.array([5, 6, 50]),
        enough=9,
        until_ns=EVER,
        clock=device.clock,
        wait_until=late,
    )
    assert (found.lateness_seconds() * 1e9).round().tolist() == [3, 3]
    # It is the load generator's error, and it is not hidden from the latency.
    assert (found.latency_seconds() * 1e9).round().tolist() == [13, 22, 13]


def test_what_the_call_raises_comes_through() -> None:
    def broken() -> None:
        raise RuntimeError("no kernel image")

    device = SimulatedDevice(10, now=0)
    with pytest.raises(RuntimeError, match="no kernel image"):
        serve(
            broken, None, np.array([1]),
            enough=1, until_ns=EVER, clock=device.clock, wait_until=device.wait_until,
        )  # fmt: skip


def make_server(device: SimulatedDevice, seed: int = 0, repetition: int = 0) -> Server:
    return Server(
        device.call,
        None,
        seed=seed,
        repetition=repetition,
        clock=device.clock,
        wait_until=device.wait_until,
    )


def test_an_offer_is_reproducible_and_the_next_one_differs() -> None:
    one, two = (make_server(SimulatedDevice(MILLISECOND)) for _ in range(2))
    first, again = one.offer(400.0, 50, 10.0), two.offer(400.0, 50, 10.0)
    assert first.scheduled_ns.tolist() == again.scheduled_ns.tolist()
    following = one.offer(400.0, 50, 10.0)
    assert np.diff(first.scheduled_ns)[:9].tolist() != np.diff(following.scheduled_ns)[:9].tolist()
    other = make_server(SimulatedDevice(MILLISECOND), repetition=1).offer(400.0, 50, 10.0)
    assert other.scheduled_ns[0] != first.scheduled_ns[0]


def test_an_offer_ends_though_the_load_is_absurd() -> None:
    device = SimulatedDevice(SECOND, now=0)
    found = make_server(device).offer(1e6, 10**9, 5.0)
    assert device.calls <= 6
    assert len(found.abandoned_ns) > 100_000
    assert device.now <= 6 * SECOND


def test_stretches_pause_only_when_no_call_is_waiting() -> None:
    device = SimulatedDevice(MILLISECOND)
    parts = []
    for part in stretches(make_server(device).offer, 800.0, 20.0, 0.25, device.clock):
        parts.append(part)
        device.now += 70 * MILLISECOND  # reporting, the sentinel
    assert 30 < len(parts) < 90
    whole = join(parts)
    # The pauses are in no latency, nor in the time that counts.
    assert whole.latency_seconds().max() < 0.07
    starts = np.cumsum([0, *(len(part.end_ns) for part in parts)])[:-1]
    assert whole.found_idle()[starts].all()
    assert whole.elapsed_ns == sum(part.elapsed_ns for part in parts)
    assert len(whole.end_ns) / (whole.elapsed_ns / 1e9) == pytest.approx(800, rel=0.03)


def test_stretches_end_though_hardly_any_call_comes() -> None:
    device = SimulatedDevice(MILLISECOND, now=0)
    parts = list(stretches(make_server(device).offer, 0.01, 10.0, 0.25, device.clock))
    # Drawing again until an early arrival turns up would make the rate higher than asked for.
    assert len(parts) == 1
    assert device.calls == 0
    assert device.now >= 10 * SECOND


def test_stretches_of_an_overload_end_a_quarter_after_their_time() -> None:
    device = SimulatedDevice(MILLISECOND, now=0)
    parts = list(stretches(make_server(device).offer, 2000.0, 10.0, 20.0, device.clock))
    assert parts[-1].over_ns is not None
    assert device.now <= 12.51 * SECOND
    assert len(join(parts).abandoned_ns) > 5000


def test_on_the_real_clock_nothing_is_left_out() -> None:
    """A call that spins, half of the time: real waiting, real arrivals.

    What is compared are stamps with stamps, so a busy machine cannot make it fail.
    """

    def call() -> None:
        end = perf_counter_ns() + 2 * MILLISECOND
        while perf_counter_ns() < end:
            pass

    server = Server(call, None, seed=4, wait_until=waiter())
    found = server.offer(250.0, 150, 100.0)
    assert len(found.end_ns) >= 150
    assert (np.diff(found.scheduled_ns) > 0).all()
    assert (found.start_ns >= found.scheduled_ns).all()
    assert (found.start_ns[1:] >= found.end_ns[:-1]).all()
    # With these service times the queue alone makes calls wait so long; the rest is lateness.
    services = (found.end_ns - found.start_ns).tolist()
    queue = np.array(lindley(found.scheduled_ns.tolist(), services)) / 1e9
    assert (found.latency_seconds() >= queue).all()
    ready = np.maximum(found.scheduled_ns[1:], found.end_ns[:-1])
    late = (found.start_ns[1:] - ready) / 1e9
    assert np.median(late) < np.median(found.service_seconds())
    gaps = np.diff(found.scheduled_ns)
    assert gaps.tolist() == np.diff(poisson_arrivals(250.0, len(gaps) + 1, (4, 0, 0))).tolist()
