"""Blocks that others disturbed are tagged, told apart, and never dropped."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from profiler import disturbance
from profiler.blocks import TimedBlocks
from profiler.contention import Counters, pressure_ns, read_counters, run_delay_ns, steal_ns
from profiler.samples import UNKNOWN, Blocks, Iterations

SECOND = 1_000_000_000


def counters(delay: int | None = 0, steal: int | None = 0) -> Counters:
    return Counters(run_delay_ns=delay, steal_ns=steal, pressure_ns=0, involuntary_switches=0)


def three_blocks(delays: list[int | None], steals: list[int]) -> Blocks:
    spans = [(i * SECOND, (i + 1) * SECOND - 1) for i in range(3)]
    before = [counters(None if d is None else 0) for d in delays]
    after = [counters(d, s) for d, s in zip(delays, steals, strict=True)]
    return Blocks.of(0, spans, before, after)


def iterations() -> Iterations:
    """Ten in each block; those of the second take twice as long."""
    stamps = [
        (i * SECOND // 10, i * SECOND // 10 + (2 if 10 <= i < 20 else 1) * 10_000_000)
        for i in range(30)
    ]
    return Iterations.from_stamps(0, [], stamps)


def test_a_block_in_which_a_thread_waited_is_tagged() -> None:
    blocks = three_blocks([0, SECOND // 10, SECOND // 100], [0, 0, 0])
    assert disturbance.disturbed(blocks).tolist() == [False, True, False]


def test_stolen_time_tags_too_but_not_a_single_tick() -> None:
    tick = int(1e9 / os.sysconf("SC_CLK_TCK"))
    blocks = three_blocks([0, 0, 0], [tick, SECOND // 4, 0])
    assert disturbance.disturbed(blocks, cpus=2).tolist() == [False, True, False]


def test_both_statistics_are_given() -> None:
    blocks = three_blocks([0, SECOND // 2, 0], [0, 0, 0])
    found = disturbance.summarise(iterations(), blocks)
    assert found is not None
    assert (found.blocks, found.disturbed_blocks) == (3, 1)
    assert found.disturbed_share == pytest.approx(1 / 3)
    assert found.run_delay_share == pytest.approx(1 / 6, rel=1e-6)
    (calm,) = disturbance.undisturbed_groups(iterations(), blocks, disturbance.disturbed(blocks))
    assert calm.tolist() == [0.01] * 20
    assert len(iterations().timed_seconds()) == 30


def test_what_the_kernel_does_not_count_is_unknown_and_tags_nothing() -> None:
    blocks = three_blocks([None, None, None], [0, 0, 0])
    assert set(blocks.run_delay_ns) == {UNKNOWN}
    assert not disturbance.disturbed(blocks).any()
    found = disturbance.summarise(iterations(), blocks)
    assert found is not None
    assert found.run_delay_share is None


def test_counters_of_a_recorded_proc(tmp_path: Path) -> None:
    for task, delay in ((7, 1000), (8, 234)):
        directory = tmp_path / f"self/task/{task}"
        directory.mkdir(parents=True)
        (directory / "schedstat").write_text(f"5000 {delay} 3\n")
    (tmp_path / "self/schedstat").write_text("5000 1000 3\n")
    (tmp_path / "stat").write_text("cpu  10 0 5 100 0 0 0 7 0 0\ncpu0 …\n", encoding="utf-8")
    (tmp_path / "pressure").mkdir()
    (tmp_path / "pressure/cpu").write_text(
        "some avg10=0.00 avg60=0.00 avg300=0.00 total=4711\nfull avg10=0.00 total=9\n"
    )
    assert run_delay_ns(tmp_path) == 1234
    assert pressure_ns(tmp_path) == 4_711_000
    (tmp_path / "stat").write_text("cpu  10 0 5 100 0 0 0 7 0 0\n")
    assert steal_ns(tmp_path) == 7 * 1e9 / os.sysconf("SC_CLK_TCK")


def test_a_kernel_without_them_says_none(tmp_path: Path) -> None:
    assert (run_delay_ns(tmp_path), steal_ns(tmp_path), pressure_ns(tmp_path)) == (None,) * 3
    (tmp_path / "self/task/7").mkdir(parents=True)
    assert run_delay_ns(tmp_path) is None
    (tmp_path / "stat").write_text("garbage")
    assert steal_ns(tmp_path) is None


def test_a_hog_on_our_cpu_is_seen() -> None:
    """With a spinning neighbour pinned beside us, blocks are tagged; the hog must be real."""
    cpu = min(os.sched_getaffinity(0))
    allowed = os.sched_getaffinity(0)
    program = f"import os\nos.sched_setaffinity(0, [{cpu}])\nprint(1, flush=True)\nwhile 1: pass"
    hog = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    try:
        assert hog.stdout is not None
        hog.stdout.readline()
        os.sched_setaffinity(0, [cpu])

        def spin() -> None:
            end = time.perf_counter() + 0.002
            while time.perf_counter() < end:
                pass

        blocks = TimedBlocks(spin, None, counters=read_counters)
        blocks.run(1.0, lambda _: False)
    finally:
        os.sched_setaffinity(0, allowed)
        hog.kill()
        hog.communicate()
    found = disturbance.summarise(*_tables(blocks))
    assert found is not None
    assert found.disturbed_share > 0.9
    assert found.run_delay_share is not None
    assert found.run_delay_share > 0.2


def _tables(blocks: TimedBlocks) -> tuple[Iterations, Blocks]:
    recording = blocks.recording(0, [])
    assert np.all(np.diff(recording.blocks.start_ns) > 0)
    return recording.iterations, recording.blocks
