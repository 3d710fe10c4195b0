"""A control group of its own for the pass, so that the kernel counts all that is started in it.

``Documentation/admin-guide/cgroup-v2.rst`` of the Linux kernel: ``memory.peak`` is the most that a
group and its processes held since it was made, page cache and kernel memory included. What a
process held before it came in stays with the group that it came from.

The tree of groups has one owner for each part of it, and systemd marks the parts that it has given
away (systemd, *Control Group APIs and Delegation*). So a group is made only in one that was given
to this process: by ``Delegate=memory`` and ``DelegateSubgroup=`` in its unit (systemd 254 and
later). It stands beside our own group and below the unit's, whose limits go on to hold. Without
that there is a reason in the figure's place. Not verified on a system that delegates.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from profiler.sensors.cgroup import own_group

MOUNT = "sys/fs/cgroup"
_NAME = "fleetmark-memory"

# Files of a group and what they say without a limit; one that is not there limits nothing.
_UNLIMITED = {
    "memory.max": "max",
    "memory.high": "max",
    "memory.swap.max": "max",
    "pids.max": "max",
    "cpu.max": "max",
    "cpuset.cpus": "",
    "cpuset.mems": "",
}


class TransientGroup:
    """A group that was made for one pass; ``close`` removes it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def enter(self) -> str | None:
        """Move the calling process into it; why that is not permitted, or ``None``."""
        try:
            (self._path / "cgroup.procs").write_text(f"{os.getpid()}\n", encoding="ascii")
        except OSError as error:
            return f"this process may not be moved into a control group: {error.strerror}"
        return None

    def peak_bytes(self) -> int:
        """The most that it held.

        Raises:
            OSError: the file cannot be read.
            ValueError: it holds no number.
        """
        return int((self._path / "memory.peak").read_text(encoding="ascii"))

    def close(self) -> None:
        _remove(self._path)


def is_delegated(group: Path) -> bool:
    """Whether systemd gave this part of the tree to the processes in it."""
    for name in ("user.delegate", "trusted.delegate"):
        try:
            if os.getxattr(group, name) == b"1":
                return True
        except OSError:
            continue
    return False


def make_group(
    root: Path = Path("/"),
    mkdir: Callable[[Path], None] = os.mkdir,
    delegated: Callable[[Path], bool] = is_delegated,
) -> TransientGroup | str:
    """A new group that counts memory, or why there can be none.

    Args:
        root: of the filesystem.
        mkdir: makes a folder; the kernel then fills it.
        delegated: whether groups may be made in a group.
    """
    own = own_group(root)
    if own is None or not (own / "cgroup.procs").exists():
        return "this process is in no control group of version 2"
    if own == root / MOUNT or not delegated(own.parent):
        return (
            "no control group was given to this process to make others in (systemd: Delegate=memory"
            " and DelegateSubgroup=)"
        )
    if not _without_limits(own):
        return "this process's control group has limits that another group would escape"
    return _make(own.parent, mkdir)


def _without_limits(group: Path) -> bool:
    for name, unlimited in _UNLIMITED.items():
        try:
            said = (group / name).read_text(encoding="ascii").split()
        except FileNotFoundError:
            continue
        except (OSError, ValueError):
            return False
        if (said[0] if said else "") != unlimited:
            return False
    return True


def _make(parent: Path, mkdir: Callable[[Path], None]) -> TransientGroup | str:
    for left in parent.glob(f"{_NAME}-*"):
        # Of a worker that was killed; one in which something still runs cannot be removed.
        _remove(left)
    path = parent / f"{_NAME}-{os.getpid()}"
    try:
        # In what is given away, which controllers count is the new owner's business.
        (parent / "cgroup.subtree_control").write_text("+memory", encoding="ascii")
        mkdir(path)
    except OSError as error:
        return f"no control group could be made: {error.strerror}"
    if (path / "memory.peak").exists():
        return TransientGroup(path)
    _remove(path)
    return "this kernel keeps no memory.peak (5.19 and later do)"


def _remove(path: Path) -> None:
    try:
        path.rmdir()
    except OSError:
        # Something that the model started is still in it: the next pass removes it.
        return
