"""Peak memory is read from /proc, and the peak can be set back."""

from __future__ import annotations

from pathlib import Path

import pytest

from profiler.base import Frozen
from profiler.forked import call_in_child
from profiler.memory import parse_status, read_host_memory, reset_peak

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
