"""Host memory of one process, from ``/proc``."""

from __future__ import annotations

import re
from pathlib import Path

from profiler.base import Frozen


class HostMemory(Frozen):
    """Bytes, from ``/proc/PID/status``: ``VmHWM``, ``VmRSS``, ``RssAnon``, ``RssFile``."""

    peak_rss: int
    rss: int
    anonymous: int
    file: int


def parse_status(text: str) -> HostMemory:
    """Parse ``/proc/PID/status``.

    Raises:
        KeyError: a field is missing, as in a kernel thread's, or is no number of kB.
    """

    def kib(name: str) -> int:
        found = re.search(rf"^{name}:\s*(\d{{1,19}}) kB\s*$", text, re.MULTILINE)
        if found is None:
            raise KeyError(name)
        return int(found.group(1)) * 1024

    return HostMemory(
        peak_rss=kib("VmHWM"), rss=kib("VmRSS"), anonymous=kib("RssAnon"), file=kib("RssFile")
    )


def read_host_memory(proc: Path = Path("/proc"), pid: int | None = None) -> HostMemory:
    """Of the calling process, or of another one.

    Raises:
        OSError: there is no such process.
        KeyError: it has ended, and only its number is left.
    """
    name = "self" if pid is None else str(pid)
    # A process may call itself anything.
    text = (proc / name / "status").read_text(encoding="utf-8", errors="replace")
    return parse_status(text)


def reset_peak(proc: Path = Path("/proc")) -> None:
    """Set ``VmHWM`` back to the current size (``man 5 proc``: 5 written to ``clear_refs``).

    Raises:
        OSError: the kernel was built without it.
    """
    (proc / "self" / "clear_refs").write_text("5", encoding="ascii")
