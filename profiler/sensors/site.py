"""Where sources look: this device, or a recorded tree that stands in for one.

A recorded tree is a folder that holds parts of ``/proc`` and ``/sys`` under their own names. What
is no file there has a place of its own in it:

- ``commands/vcgencmd_get_throttled`` is what that command printed, words joined by ``_``;
- ``refused.txt`` has one line ``ERRNO PATTERN`` for each kind of file whose reading was refused
  (``EACCES sys/class/powercap/*/energy_uj``). A copy cannot show that by its own permissions.
"""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from time import perf_counter
from types import ModuleType

from profiler.sensors.meter_config import Meter
from profiler.sensors.probe import OpenFile, first_line

HERE = Path("/")
REFUSED = "refused.txt"
COMMANDS = "commands"

# vcgencmd answers within milliseconds; a firmware that hangs must not hang us.
COMMAND_SECONDS = 2.0
# Refused when the file is opened; any other refusal comes with each read.
_AT_OPEN = frozenset({errno.EACCES, errno.EPERM, errno.ENOENT})

# (type, config, cpu) of a perf event → an open file descriptor.
PerfOpen = Callable[[int, int, int], int]


class RefusedFile(OpenFile):
    """A file of a recorded tree that could be opened, and not read."""

    def __init__(self, path: Path, number: int) -> None:
        super().__init__(path)
        self._number = number

    def text(self) -> str:
        raise OSError(self._number, os.strerror(self._number), str(self.path))


def run_command(words: Sequence[str]) -> str:
    """What a command prints.

    Raises:
        OSError: it is not there, fails, or takes longer than two seconds.
    """
    try:
        done = subprocess.run(
            list(words), capture_output=True, check=True, timeout=COMMAND_SECONDS, text=True,
            stdin=subprocess.DEVNULL, errors="replace",
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise TimeoutError(f"{words[0]} did not answer within {COMMAND_SECONDS:g} s") from error
    except subprocess.CalledProcessError as error:
        said = (error.stderr or error.stdout or "").strip()[:200]
        raise OSError(f"{' '.join(words)} failed: {said or f'exit {error.returncode}'}") from error
    return done.stdout


@dataclass(frozen=True)
class Site:
    """What every source is opened with.

    Attributes:
        root: of the filesystem.
        recorded: ``root`` is a recorded tree: nothing but its files answers.
        meters: external ones, as they are configured for this device.
        pynvml: a stand-in for the module; ``None`` imports it, on this device only.
        run: runs a command and gives what it printed; ``None`` does what ``recorded`` says.
        perf_open: opens a perf event; ``None`` does what ``recorded`` says.
        refused: pattern of a path under ``root`` → the errno that its reading gives.
        background: sources that take long are read in a thread of their own, so that a sampler's
            tick never waits for them; else when they are asked.
        clock: seconds, monotonic.
    """

    root: Path = HERE
    recorded: bool = False
    meters: tuple[Meter, ...] = ()
    pynvml: ModuleType | None = None
    run: Callable[[Sequence[str]], str] | None = None
    perf_open: PerfOpen | None = None
    refused: Mapping[str, int] = field(default_factory=dict)
    background: bool = False
    clock: Callable[[], float] = perf_counter

    @classmethod
    def at(cls, root: Path, meters: tuple[Meter, ...] = (), *, background: bool = False) -> Site:
        """This device, or the recorded tree at ``root`` with what it says was refused."""
        refused = {} if root == HERE else parse_refused(first_line(root / REFUSED) or "")
        return cls(
            root=root,
            recorded=root != HERE,
            meters=meters,
            refused=refused,
            background=background,
        )

    def open(self, path: Path) -> OpenFile:
        """Open a file below ``root``, to be read again and again.

        Raises:
            OSError: it is not there, may not be read, or is no regular file.
        """
        number = self._refusal(path)
        if number is None:
            return OpenFile(path)
        if number in _AT_OPEN:
            raise OSError(number, os.strerror(number), str(path))
        return RefusedFile(path, number)

    def output(self, *words: str) -> str:
        """What a command prints here, or printed when the tree was recorded.

        Raises:
            OSError: there is no answer.
        """
        if self.run is not None:
            return self.run(words)
        if not self.recorded:
            return run_command(words)
        text = first_line(self.root / COMMANDS / "_".join(words))
        if text is None:
            raise FileNotFoundError(errno.ENOENT, "no such command in the recorded tree", words[0])
        return text

    def _refusal(self, path: Path) -> int | None:
        if not self.refused:
            return None
        name = str(path.relative_to(self.root))
        matches = (n for pattern, n in self.refused.items() if fnmatchcase(name, pattern))
        return next(matches, None)


def parse_refused(text: str) -> dict[str, int]:
    """Lines ``EACCES sys/…`` → pattern and errno; a line that is none is left out."""
    found = {}
    for line in text.splitlines():
        name, _, pattern = line.strip().partition(" ")
        number = getattr(errno, name, None)
        if pattern and isinstance(number, int):
            found[pattern.strip()] = number
    return found


def as_site(where: Path | Site) -> Site:
    """A root alone is a site without meters."""
    return where if isinstance(where, Site) else Site.at(where)
