"""How much of the machine others used: busy time that is not our own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from profiler.contention import CpuTimes, other_share, parse_stat, read_cpu_times

#      user nice system idle iowait irq softirq steal guest guest_nice
STAT = """cpu  1000 50 300 8000 200 10 40 400 900 0
cpu0 500 25 150 4000 100 5 20 200 450 0
intr 12345
"""


def test_idle_and_iowait_are_not_busy_and_steal_is() -> None:
    busy, total = parse_stat(STAT, 100.0)
    assert busy == pytest.approx(18.0)  # 1000 + 50 + 300 + 10 + 40 + 400, guests inside user
    assert total == pytest.approx(100.0)


def test_it_reads_below_the_given_root(tmp_path: Path) -> None:
    (tmp_path / "stat").write_text(STAT, encoding="ascii")
    found = read_cpu_times(tmp_path)
    ticks = os.sysconf("SC_CLK_TCK")
    assert found.total == pytest.approx(10_000 / ticks)
    assert found.own > 0


def times(busy: float, total: float, own: float) -> CpuTimes:
    return CpuTimes(busy=busy, total=total, own=own)


@pytest.mark.parametrize(
    ("after", "share"),
    [
        (times(20, 120, 10), 0.0),  # all that was busy was our own
        (times(30, 120, 10), 0.5),
        (times(20, 120, 0), 0.5),
        (times(12, 120, 10), 0.0),  # ticks: we seem to have used more than all
        (times(90, 120, 0), 1.0),
        (times(10, 100, 0), 0.0),  # no time passed
    ],
)
def test_the_share_of_others(after: CpuTimes, share: float) -> None:
    assert other_share(times(10, 100, 0), after) == pytest.approx(share)


def test_the_time_of_children_that_ended_is_our_own() -> None:
    before = read_cpu_times()
    pid = os.fork()
    if pid == 0:
        end = os.times().user + 0.05
        while os.times().user < end:
            pass
        os._exit(0)
    os.waitpid(pid, 0)
    assert read_cpu_times().own - before.own >= 0.04
