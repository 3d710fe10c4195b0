"""The guard ends a worker over its limit, and one that leaves the device too little."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from profiler.errors import OutOfMemory
from profiler.guard import MemoryGuard, available_and_total, tree_rss

MIB = 2**20


def proc(root: Path, available_mib: int | None, total_mib: int = 8000) -> Path:
    lines = [f"MemTotal: {total_mib * 1024} kB"]
    if available_mib is not None:
        lines.append(f"MemAvailable: {available_mib * 1024} kB")
    (root / "meminfo").write_text("\n".join(lines) + "\n", encoding="ascii")
    return root


def test_meminfo_is_in_bytes(tmp_path: Path) -> None:
    assert available_and_total(proc(tmp_path, 100)) == (100 * MIB, 8000 * MIB)


def test_an_old_kernel_does_not_tell_and_nothing_is_ended(tmp_path: Path) -> None:
    root = proc(tmp_path, None)
    assert available_and_total(root) is None
    MemoryGuard(os.getpid(), None, root).check()


def test_a_worker_below_its_limit_goes_on(tmp_path: Path) -> None:
    MemoryGuard(os.getpid(), 2**60, proc(tmp_path, 4000)).check()


def test_a_worker_over_its_limit_ends(tmp_path: Path) -> None:
    with pytest.raises(OutOfMemory, match="over the limit of 1 MiB"):
        MemoryGuard(os.getpid(), MIB, proc(tmp_path, 4000)).check()


@pytest.mark.parametrize(
    ("available", "total", "ends"),
    [
        (241, 8000, False),  # 3 % of 8000 MiB are 240
        (239, 8000, True),
        (65, 1000, False),  # of a small device never less than 64 MiB
        (63, 1000, True),
    ],
)
def test_the_device_keeps_a_reserve(tmp_path: Path, available: int, total: int, ends: bool) -> None:
    guard = MemoryGuard(os.getpid(), None, proc(tmp_path, available, total))
    if ends:
        with pytest.raises(OutOfMemory, match=f"{available} MiB of {total} MiB left"):
            guard.check()
    else:
        guard.check()


# Holds 64 MiB in a child of its own, and says so.
FAMILY = """
import os, sys
if os.fork() == 0:
    block = b"x" * (64 << 20)
    print("ready", flush=True)
    sys.stdin.read()
    os._exit(0)
os.wait()
"""


def test_the_whole_family_counts() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", FAMILY], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"ready\n"
        assert tree_rss(parent.pid) > 64 * MIB
        parent.communicate()
    assert tree_rss(parent.pid) == 0
