"""Peak host memory of the calling process, from ``/proc``."""

from __future__ import annotations

from pathlib import Path

from profiler.base import Frozen


class HostMemory(Frozen):
    """Bytes, from ``/proc/self/status``: ``VmHWM``, ``VmRSS``, ``RssAnon``, ``RssFile``."""

    peak_rss: int
    rss: int
    anonymous: int
    file: int


def parse_status(text: str) -> HostMemory:
    """Parse ``/proc/PID/status``.

    Raises:
        KeyError: a field is missing, as in a kernel thread's.
    """
    fields = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)

    def kib(name: str) -> int:
        return int(fields[name].split()[0]) * 1024

    return HostMemory(
        peak_rss=kib("VmHWM"), rss=kib("VmRSS"), anonymous=kib("RssAnon"), file=kib("RssFile")
    )


def read_host_memory(proc: Path = Path("/proc")) -> HostMemory:
    return parse_status((proc / "self" / "status").read_text(encoding="ascii"))


def reset_peak(proc: Path = Path("/proc")) -> None:
    """Set ``VmHWM`` back to the current size (``man 5 proc``: 5 written to ``clear_refs``).

    Raises:
        OSError: the kernel was built without it.
    """
    (proc / "self" / "clear_refs").write_text("5", encoding="ascii")
