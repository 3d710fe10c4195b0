"""Host memory: of a process, of all that it starts, and what its peak was made of."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from profiler.base import Frozen
from profiler.forked import call_in_child
from profiler.memory import family, measure
from profiler.memory.family import FamilyWatch, descendants
from profiler.memory.host import HostMemory, parse_status, read_host_memory, reset_peak
from profiler.memory.measure import measure_memory, with_family
from profiler.result import Memory
from tests.fake_model import REQUEST, FakeAdapter

STATUS = """Name:\tpython
Umask:\t0022
VmPeak:\t  912000 kB
VmHWM:\t  123456 kB
VmRSS:\t   98304 kB
RssAnon:\t   65536 kB
RssFile:\t   32768 kB
RssShmem:\t       0 kB
Groups:\t
"""


def test_the_fields_are_in_bytes() -> None:
    found = parse_status(STATUS)
    assert found.peak_rss == 123456 * 1024
    assert found.rss == 96 * 2**20
    assert found.anonymous == 64 * 2**20
    assert found.file == 32 * 2**20


def test_a_kernel_thread_has_none_of_them() -> None:
    with pytest.raises(KeyError, match="VmHWM"):
        parse_status("Name:\tkthreadd\nThreads:\t1\n")


def test_it_reads_below_the_given_root(tmp_path: Path) -> None:
    (tmp_path / "self").mkdir()
    (tmp_path / "self" / "status").write_text(STATUS, encoding="ascii")
    assert read_host_memory(tmp_path).peak_rss == 123456 * 1024


def test_a_kernel_that_cannot_reset_is_told_apart(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="clear_refs"):
        reset_peak(tmp_path)


class _Peaks(Frozen):
    held: int
    after_free: int
    after_reset: int


SIZE = 128 * 2**20


def _peaks() -> _Peaks:
    block = bytearray(SIZE)
    held = read_host_memory().peak_rss
    del block
    after_free = read_host_memory().peak_rss
    reset_peak()
    return _Peaks(held=held, after_free=after_free, after_reset=read_host_memory().peak_rss)


def test_the_peak_stays_until_it_is_reset() -> None:
    found = call_in_child(_peaks, _Peaks, "the test")
    assert found.after_free >= found.held >= SIZE
    assert found.after_reset < found.held - SIZE // 2


# --- the process and what it starts ------------------------------------------------------------

MIB = 2**20


def status(rss_mib: int, anonymous_mib: int) -> str:
    return (
        f"VmHWM:\t{rss_mib * 1024} kB\nVmRSS:\t{rss_mib * 1024} kB\n"
        f"RssAnon:\t{anonymous_mib * 1024} kB\nRssFile:\t{(rss_mib - anonymous_mib) * 1024} kB\n"
    )


def make_process(proc: Path, pid: int, text: str, children: str | None, parent: int = 1) -> None:
    task = proc / str(pid) / "task" / str(pid)
    task.mkdir(parents=True, exist_ok=True)
    (proc / str(pid) / "status").write_text(text, encoding="ascii")
    (proc / str(pid) / "stat").write_text(f"{pid} (a) b) S {parent} 1 1 0 -1 0", encoding="ascii")
    if children is not None:
        (task / "children").write_text(children, encoding="ascii")


@pytest.mark.parametrize("listed", [True, False])
def test_the_family_is_found_with_and_without_the_kernels_lists(
    tmp_path: Path, listed: bool
) -> None:
    def children(text: str) -> str | None:
        return text if listed else None

    make_process(tmp_path, 10, STATUS, children("11 12 "))
    make_process(tmp_path, 11, STATUS, children("13 "), parent=10)
    make_process(tmp_path, 12, STATUS, children(""), parent=10)
    make_process(tmp_path, 13, STATUS, children(""), parent=11)
    make_process(tmp_path, 20, STATUS, children(""))
    assert sorted(descendants(tmp_path, 10)) == [11, 12, 13]
    assert descendants(tmp_path, 4711) == []


def test_a_circle_of_processes_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(family, "_MOST_PROCESSES", 50)
    make_process(tmp_path, 10, STATUS, "10")
    assert len(descendants(tmp_path, 10)) == 50


def test_the_watch_keeps_the_highest_that_it_saw(tmp_path: Path) -> None:
    watch = FamilyWatch(tmp_path)
    watch.look(10)
    assert watch.largest is None
    for own, child in ((100, 300), (400, 50), (200, 100)):
        make_process(tmp_path, 10, status(own, own - 30), "11 12")
        make_process(tmp_path, 11, status(child, 10), "")
        watch.look(10)
    assert watch.largest is not None
    assert watch.largest.rss == 400 * MIB
    assert (watch.largest.anonymous, watch.largest.file) == (370 * MIB, 30 * MIB)
    assert watch.peak_rss == 450 * MIB
    # 12 was listed and had ended before it could be read.
    assert watch.processes == 2


@pytest.mark.parametrize("text", ["", "\0\xff", "VmHWM: x kB\nVmRSS: x kB\n", "VmHWM:\n"])
def test_a_status_that_makes_no_sense_is_left_out(tmp_path: Path, text: str) -> None:
    make_process(tmp_path, 10, STATUS, "11")
    make_process(tmp_path, 11, STATUS, "")
    (tmp_path / "11" / "status").write_text(text, encoding="latin-1")
    watch = FamilyWatch(tmp_path)
    watch.look(10)
    assert watch.processes == 1


def seen(rss: int, processes: int = 1, peak: int | None = None) -> FamilyWatch:
    watch = FamilyWatch()
    watch.largest = HostMemory(peak_rss=rss, rss=rss, anonymous=rss - 10, file=10)
    watch.peak_rss = rss if peak is None else peak
    watch.processes = processes
    return watch


def test_what_was_seen_close_to_the_peak_tells_what_it_was_made_of() -> None:
    found = with_family(Memory(peak_rss_bytes=1000), seen(960, processes=3, peak=1500))
    assert (found.peak_rss_anonymous_bytes, found.peak_rss_file_bytes) == (950, 10)
    assert found.peak_rss_split_reason is None
    assert (found.tree_peak_rss_bytes, found.tree_processes) == (1500, 3)


def test_a_peak_that_nobody_saw_is_not_split() -> None:
    found = with_family(Memory(peak_rss_bytes=1000 * MIB), seen(900 * MIB))
    assert found.peak_rss_anonymous_bytes is None
    assert found.peak_rss_split_reason == (
        "the peak passed between two looks: 900 of 1000 MiB were seen"
    )
    # The kernel's own figure of this process is a lower bound of the family's.
    assert found.tree_peak_rss_bytes == 1000 * MIB


def test_without_a_peak_and_without_a_look_there_are_reasons() -> None:
    found = with_family(Memory(peak_rss_bytes=None, peak_rss_reason="x"), seen(900))
    assert found.peak_rss_anonymous_bytes is None
    assert found.peak_rss_split_reason
    assert found.tree_peak_rss_bytes == 900
    found = with_family(Memory(peak_rss_bytes=1), FamilyWatch())
    assert found.tree_peak_rss_bytes is None
    assert found.tree_reason
    assert found.peak_rss_split_reason


# --- the pass ----------------------------------------------------------------------------------


def hold(size: int, seconds: float = 0.05) -> Callable[[], None]:
    def call() -> None:
        block = b"x" * size
        time.sleep(seconds)
        del block

    return call


def test_the_pass_sees_what_the_calls_hold_and_of_what_kind() -> None:
    found = measure_memory(FakeAdapter(hold(96 * MIB)), REQUEST)
    assert found.peak_rss_bytes is not None
    assert found.rss_before_load_bytes is not None
    assert found.peak_rss_bytes - found.rss_before_load_bytes > 80 * MIB
    assert found.peak_rss_split_reason is None
    assert found.peak_rss_anonymous_bytes is not None
    assert found.rss_anonymous_bytes is not None
    # The block was anonymous, and is gone at the end.
    assert found.peak_rss_anonymous_bytes - found.rss_anonymous_bytes > 80 * MIB
    assert found.tree_processes == 1
    assert found.tree_peak_rss_bytes == found.peak_rss_bytes
    assert found.accelerator_peak_allocated_bytes is None
    assert found.accelerator_reason == "ran on cpu"
    assert found.accelerator_process_reason == "ran on cpu"
    assert found.unified is None
    assert (found.cgroup_peak_bytes is None) == (found.cgroup_reason is not None)


CHILD = "import sys; block = b'x' * (96 << 20); print(flush=True); sys.stdin.read()"


def test_the_pass_sees_the_processes_that_a_model_starts() -> None:
    def call() -> None:
        with subprocess.Popen(
            [sys.executable, "-c", CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as child:
            assert child.stdout is not None
            child.stdout.readline()
            time.sleep(0.1)

    found = measure_memory(FakeAdapter(call), REQUEST)
    assert found.tree_processes == 2
    assert found.tree_peak_rss_bytes is not None
    assert found.peak_rss_bytes is not None
    assert found.tree_peak_rss_bytes - found.peak_rss_bytes > 80 * MIB


def test_an_engine_that_cannot_be_forked_is_not_watched() -> None:
    adapter = FakeAdapter(lambda: None)
    adapter.forkable = False
    found = call_in_child(lambda: measure_memory(adapter, REQUEST), Memory, "it")
    assert found.peak_rss_bytes is not None
    for reason in (found.peak_rss_split_reason, found.tree_reason, found.cgroup_reason):
        assert "cannot be forked" in (reason or "")


def test_a_kernel_that_cannot_reset_costs_the_peak_only(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(measure, "reset_peak", refuse)
    found = measure_memory(FakeAdapter(hold(MIB)), REQUEST)
    assert found.peak_rss_bytes is None
    assert "Permission denied" in (found.peak_rss_reason or "")
    assert found.peak_rss_split_reason == "the peak itself is not known"
    assert found.tree_peak_rss_bytes is not None
