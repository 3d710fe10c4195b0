"""A process and all that it started, watched from outside while it works.

The kernel keeps the highest resident size of one process, but neither what it was made of nor the
sum over several. Both are seen here by looking again and again, so what is held for less than the
pause between two looks may be missed. A process whose parent has ended belongs to nobody's family.
"""

from __future__ import annotations

import re
from pathlib import Path

from profiler.memory.host import HostMemory, read_host_memory

# More than any model starts; a loop in what was read ends here.
_MOST_PROCESSES = 4096


class FamilyWatch:
    """Keeps the highest of what it saw.

    Attributes:
        largest: the process itself when its resident size was the highest that was seen; ``None``
            before it was seen.
        peak_rss: bytes of the whole family at its highest. Pages that two processes share count
            twice.
        processes: at most at once, the process itself included.
    """

    def __init__(self, proc: Path = Path("/proc")) -> None:
        self._proc = proc
        self.largest: HostMemory | None = None
        self.peak_rss = 0
        self.processes = 0

    def look(self, pid: int) -> None:
        """Look once. Never raises: what has ended in the meantime is left out."""
        own = self._memory(pid)
        if own is None:
            return
        if self.largest is None or own.rss > self.largest.rss:
            self.largest = own
        others = [m for child in descendants(self._proc, pid) if (m := self._memory(child))]
        self.peak_rss = max(self.peak_rss, own.rss + sum(member.rss for member in others))
        self.processes = max(self.processes, 1 + len(others))

    def _memory(self, pid: int) -> HostMemory | None:
        try:
            return read_host_memory(self._proc, pid)
        except (OSError, KeyError):
            return None


def descendants(proc: Path, pid: int) -> list[int]:
    """All below ``pid``, by the kernel's lists of children, or where it has none by all parents."""
    listed = (proc / str(pid) / "task" / str(pid) / "children").exists()
    parents = {} if listed else _by_parent(proc)
    found: list[int] = []
    waiting = [pid]
    while waiting and len(found) < _MOST_PROCESSES:
        parent = waiting.pop()
        children = _children(proc, parent) if listed else parents.get(parent, [])
        found += children
        waiting += children
    return found


def _children(proc: Path, pid: int) -> list[int]:
    """Each thread has a list of the processes that it started (``man 5 proc``)."""
    found: list[int] = []
    try:
        for thread in (proc / str(pid) / "task").iterdir():
            found += map(int, (thread / "children").read_text(encoding="ascii").split())
    except (OSError, ValueError):
        return found
    return found


def _by_parent(proc: Path) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for folder in proc.iterdir():
        if not folder.name.isdigit():
            continue
        try:
            text = (folder / "stat").read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        # The name in parentheses may hold any character; the state and the parent come after it.
        if parent := re.search(r"\) \S (\d+) [^)]*$", text):
            found.setdefault(int(parent.group(1)), []).append(int(folder.name))
    return found
