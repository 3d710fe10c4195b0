"""Writing one value to a file of ``/sys``, with errors that say what the user can do."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path

from profiler.errors import InputError
from profiler.tuning.knobs import FIELD
from profiler.tuning.state import Change


def command(change: Change, value: str) -> str:
    """What a user types to do the same, for all files of the knob at once."""
    everywhere = re.sub(r"policy\d+", "policy*", change.path)
    return f"echo {value} | sudo tee /{everywhere}"


def refuse_unwritable(change: Change, root: Path) -> None:
    """So that nothing is set where something else cannot be.

    Raises:
        InputError: this user may not write it.
    """
    if not os.access(root / change.path, os.W_OK):
        raise _denied(change, change.wanted)


def write(change: Change, value: str, root: Path) -> None:
    """Args:
        change: names the file and the knob.
        value: what is written.
        root: of the filesystem.

    Raises:
        InputError: it was refused.
    """
    try:
        # Unbuffered and in one piece: the kernel takes each write as a value.
        descriptor = os.open(root / change.path, os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC)
        try:
            os.write(descriptor, value.encode())
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise _denied(change, value) from error
        raise InputError(
            FIELD, change.knob, f"was refused by the kernel for /{change.path}: {error.strerror}",
            "Leave it out of --tune",
        ) from error  # fmt: skip


def _denied(change: Change, value: str) -> InputError:
    if os.geteuid() == 0:
        return InputError(
            FIELD, change.knob, f"is refused even to root: /{change.path} cannot be written",
            "In a container run it on the host; else the firmware holds it, so leave it out",
        )  # fmt: skip
    return InputError(
        FIELD, change.knob, f"needs root: /{change.path} cannot be written",
        f"Run the same with sudo, or: {command(change, value)}",
    )  # fmt: skip
