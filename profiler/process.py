"""What a child process does about its parent."""

from __future__ import annotations

import ctypes
import os
import sys
from signal import SIGKILL

# <linux/prctl.h>; the value is part of the kernel's ABI.
_PR_SET_PDEATHSIG = 1


def die_with_parent(signal: int = SIGKILL, *, parent: int | None = None) -> None:
    """Ask the kernel to send ``signal`` to this process when its parent ends, however it ends.

    To be called by the child itself, first thing. The kernel watches the *thread* that forked: a
    child that was started from a thread dies when that thread ends. Does nothing where there is no
    ``prctl``, which is everywhere but on Linux.

    Args:
        signal: what the kernel sends.
        parent: the parent's pid as seen before the fork. With it a parent that ended before this
            call is noticed too; without it, only one that ends during the call.

    Raises:
        OSError: the kernel refused ``signal``.
    """
    if not sys.platform.startswith("linux"):
        return
    expected = os.getppid() if parent is None else parent
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, int(signal), 0, 0, 0) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"prctl(PR_SET_PDEATHSIG, {int(signal)}): {os.strerror(code)}")
    if os.getppid() != expected:
        # It ended before the kernel knew of the wish, so nobody else will send the signal.
        os.kill(os.getpid(), signal)
