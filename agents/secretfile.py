"""Files that only their owner reads: tokens and keys."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from profiler.errors import InputError


def write_private(path: Path, text: str) -> None:
    """Create a file of mode 0600 in one step: there is no moment when others can read it.

    Raises:
        FileExistsError: there is one already.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text + "\n")


def read_secret(path: Path) -> str:
    """Read a token file.

    Raises:
        InputError: it cannot be read, is empty, or others may read it too.
    """
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        text = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not text"
        raise InputError(
            "token-file", path, f"cannot be read: {why}", "Check the path, or copy the file again"
        ) from error
    if mode & 0o077:
        raise InputError(
            "token-file", path, f"can be read by others (mode {mode:04o})", f"chmod 600 {path}"
        )
    if not text:
        raise InputError("token-file", path, "is empty", "Copy the file from the coordinator again")
    return text
