"""What was there before a device was set, on disk: whoever comes next can put it back.

Each process that sets a device has a file of its own, written before the first change and removed
when all is as before. A file whose process is gone was left by a crash.
"""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from pydantic import Field, ValidationError

from profiler.base import Frozen
from profiler.errors import InputError
from profiler.result import KnobName
from profiler.sensors.probe import first_line

FIELD = "restore"
KEPT = "kept"
_SUFFIX = ".tuned.json"
# Fields of /proc/PID/stat behind the command's name in parentheses: field 22 is the start time.
_START_AFTER_NAME = 19

# A value as sysfs takes and gives it; anything else is not written to a device's files.
VALUE = r"^[A-Za-z0-9_.\-]{1,64}$"


class Change(Frozen):
    """One file: what it said, and what it is to say. ``path`` is below the root."""

    knob: KnobName
    path: str
    before: str = Field(pattern=VALUE)
    wanted: str = Field(pattern=VALUE)


class TuneState(Frozen):
    """Changes of one owner; ``owner`` is ``None`` where they are to outlive the process.

    ``owner_started`` tells the process from a later one with the same number.
    """

    boot: str | None
    owner: int | None
    owner_started: int | None
    changes: tuple[Change, ...]


class Saved(NamedTuple):
    path: Path
    state: TuneState


def boot_id(root: Path) -> str | None:
    """Another one after each boot, when the kernel has set everything anew."""
    return first_line(root / "proc/sys/kernel/random/boot_id")


def started(pid: int, proc: Path = Path("/proc")) -> int | None:
    """When a process started, in ticks since boot; ``None``: it is not there."""
    after_name = (first_line(proc / f"{pid}/stat") or "").rpartition(")")[2].split()
    try:
        return int(after_name[_START_AFTER_NAME])
    except (IndexError, ValueError):
        return None


def is_alive(state: TuneState) -> bool:
    return state.owner is not None and started(state.owner) == state.owner_started


def state_path(directory: Path, owner: int | None) -> Path:
    return directory / f"{KEPT if owner is None else owner}{_SUFFIX}"


def save(directory: Path, state: TuneState) -> None:
    """Write it so that it is there, whole, whatever happens next.

    Raises:
        InputError: the directory cannot be written.
    """
    try:
        directory.mkdir(mode=0o755, parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=directory, delete=False) as file:
            file.write(state.model_dump_json(indent=1).encode())
            file.flush()
            # `fleetmark doctor` of any user says that a device is still set.
            os.fchmod(file.fileno(), 0o644)
            os.fsync(file.fileno())
        Path(file.name).replace(state_path(directory, state.owner))
    except OSError as error:
        raise InputError(
            "tune", directory, f"cannot be written: {error.strerror}",
            "What was there before must be kept somewhere: run it as root",
        ) from error  # fmt: skip


def load(path: Path) -> TuneState:
    """Read one.

    Raises:
        InputError: it is no such file.
    """
    try:
        return TuneState.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise InputError(
            FIELD, path, "does not say what was there before",
            "Delete it, and set the governor and turbo as you want them; a reboot does that too",
        ) from error  # fmt: skip


def states(directory: Path, root: Path) -> list[Saved]:
    """All of this boot, newest first: what was set last is put back first.

    Those of an earlier boot are removed, if they may be: the kernel has put their values back.

    Raises:
        InputError: one cannot be read.
    """
    if not directory.is_dir():
        return []
    paths = sorted(directory.glob(f"*{_SUFFIX}"), key=lambda p: p.stat().st_mtime_ns, reverse=True)
    now = boot_id(root)
    found = []
    for path in paths:
        state = load(path)
        if state.boot == now:
            found.append(Saved(path, state))
        else:
            with suppress(OSError):  # only its owner may; it says nothing any more either way
                path.unlink()
    return found
