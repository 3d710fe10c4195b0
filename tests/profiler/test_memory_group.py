"""A control group for the memory pass: only where one was given, and nothing escapes its limits."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from profiler.memory.group import TransientGroup, make_group
from profiler.memory.measure import with_group
from profiler.result import Memory


def groups(root: Path, name: str = "/user.slice/app.scope") -> Path:
    """A root whose process is in the group ``name``; the folder of that group."""
    folder = root / "sys/fs/cgroup" / name.strip("/")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cgroup.procs").write_text("1\n", encoding="ascii")
    (root / "proc/self").mkdir(parents=True, exist_ok=True)
    (root / "proc/self/cgroup").write_text(f"0::{name}\n", encoding="ascii")
    return folder


def kernel(path: Path) -> None:
    """Makes a group as a kernel does that counts memory in it."""
    path.mkdir()
    (path / "cgroup.procs").write_text("", encoding="ascii")
    (path / "memory.peak").write_text("123456\n", encoding="ascii")


def given(*folders: Path) -> Callable[[Path], bool]:
    return lambda folder: folder in folders


def test_a_group_beside_our_own_counts(tmp_path: Path) -> None:
    own = groups(tmp_path)
    (own / "memory.max").write_text("max\n", encoding="ascii")
    (own / "cpu.max").write_text("max 100000\n", encoding="ascii")
    (own / "cpuset.cpus").write_text("\n", encoding="ascii")
    left = own.parent / "fleetmark-memory-1"
    left.mkdir()
    found = make_group(tmp_path, kernel, given(own.parent))
    assert isinstance(found, TransientGroup)
    assert found.enter() is None
    (made,) = own.parent.glob("fleetmark-memory-*")
    assert made != left
    assert (own.parent / "cgroup.subtree_control").read_text(encoding="ascii") == "+memory"
    assert (made / "cgroup.procs").read_text(encoding="ascii").strip() == str(os.getpid())
    assert with_group(Memory(peak_rss_bytes=1), found).cgroup_peak_bytes == 123456


@pytest.mark.parametrize(
    ("name", "text"),
    [("memory.max", "1073741824"), ("cpu.max", "50000 100000"), ("cpuset.cpus", "0-1")],
)
def test_no_process_escapes_the_limits_of_its_group(tmp_path: Path, name: str, text: str) -> None:
    own = groups(tmp_path)
    (own / name).write_text(f"{text}\n", encoding="ascii")
    found = make_group(tmp_path, kernel, given(own.parent))
    assert isinstance(found, str)
    assert "would escape" in found
    assert list(own.parent.iterdir()) == [own]


def test_nothing_is_touched_that_was_not_given(tmp_path: Path) -> None:
    own = groups(tmp_path)
    for found in (make_group(tmp_path, kernel, given(own)), make_group(tmp_path)):
        assert isinstance(found, str)
        assert "Delegate=memory" in found
    assert list(own.parent.iterdir()) == [own]


def test_a_container_sees_its_group_as_the_root_and_nothing_above(tmp_path: Path) -> None:
    own = groups(tmp_path, "/")
    found = make_group(tmp_path, kernel, given(own, own.parent))
    assert isinstance(found, str)
    assert list((tmp_path / "sys/fs").iterdir()) == [own]


def test_refusals_and_old_kernels_are_told(tmp_path: Path) -> None:
    def refusing(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    own = groups(tmp_path)
    found = make_group(tmp_path, refusing, given(own.parent))
    assert found == "no control group could be made: Permission denied"
    found = make_group(tmp_path, os.mkdir, given(own.parent))
    assert "keeps no memory.peak" in str(found)
    assert list(own.parent.glob("fleetmark-memory-*")) == []


@pytest.mark.parametrize("text", ["", "4:memory:/x\n", "0::/../../etc\n", "0::/gone\n", "\0"])
def test_without_version_2_there_is_no_group(tmp_path: Path, text: str) -> None:
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text(text, encoding="ascii")
    assert make_group(tmp_path) == "this process is in no control group of version 2"


@pytest.mark.parametrize("text", ["", "max", "12 MiB"])
def test_a_peak_that_is_no_number_is_missing(tmp_path: Path, text: str) -> None:
    own = groups(tmp_path)
    group = make_group(tmp_path, kernel, given(own.parent))
    assert isinstance(group, TransientGroup)
    (made,) = own.parent.glob("fleetmark-memory-*")
    (made / "memory.peak").write_text(text, encoding="ascii")
    found = with_group(Memory(peak_rss_bytes=1), group)
    assert found.cgroup_peak_bytes is None
    assert "memory.peak cannot be read" in (found.cgroup_reason or "")


def test_who_may_not_move_says_so(tmp_path: Path) -> None:
    reason = TransientGroup(tmp_path / "gone").enter()
    assert "may not be moved" in (reason or "")
    found = with_group(
        Memory(peak_rss_bytes=1, cgroup_reason=reason), TransientGroup(tmp_path / "gone")
    )
    assert (found.cgroup_peak_bytes, found.cgroup_reason) == (None, reason)
