"""The bench does one thing at a time and lets its workers go when nothing comes."""

from __future__ import annotations

import threading
from typing import cast

import pytest

from agents.device.bench import Bench
from profiler.pool import WorkerPool


class FakePool:
    def __init__(self) -> None:
        self.closed = threading.Event()
        self.thread = threading.current_thread()

    def close(self) -> None:
        self.closed.set()


def bench(keep_warm: float) -> tuple[Bench, list[FakePool]]:
    made: list[FakePool] = []

    def make() -> WorkerPool:
        made.append(FakePool())
        return cast("WorkerPool", made[-1])

    found = Bench(make, keep_warm)
    found.start()
    return found, made


def test_tasks_run_in_turn_in_the_one_thread_that_made_the_pool() -> None:
    subject, made = bench(keep_warm=60)
    seen: list[tuple[int, threading.Thread]] = []
    done = threading.Event()
    for number in range(3):
        subject.do(lambda _pool, n=number: seen.append((n, threading.current_thread())))  # type: ignore[misc]
    subject.do(lambda _pool: done.set())
    assert done.wait(20)
    assert [number for number, _ in seen] == [0, 1, 2]
    assert {thread for _, thread in seen} == {subject}
    assert [pool.thread for pool in made] == [subject]
    assert not made[0].closed.is_set()


def test_what_waits_is_let_go_when_nothing_comes() -> None:
    subject, made = bench(keep_warm=0.05)
    first = threading.Event()
    subject.do(lambda _pool: first.set())
    assert first.wait(20)
    assert made[0].closed.wait(20)
    # And the next task still finds a pool.
    again = threading.Event()
    subject.do(lambda _pool: again.set())
    assert again.wait(20)


def test_a_task_that_raises_is_not_the_last(caplog: pytest.LogCaptureFixture) -> None:
    subject, made = bench(keep_warm=60)
    done = threading.Event()

    def broken(_pool: WorkerPool) -> None:
        raise OSError(28, "No space left on device")

    subject.do(broken)
    subject.do(lambda _pool: done.set())
    assert done.wait(20)
    assert "No space left on device" in caplog.text
    assert len(made) == 1
