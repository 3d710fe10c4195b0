"""A command from its start to its end, timed, with all that it started ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.peers.reading import ToolFailed, tail

ROOT = Path(__file__).parents[3]


@dataclass(frozen=True)
class Done:
    """``wall_seconds`` runs from the start of the process until it had ended and was read."""

    output: str
    wall_seconds: float


def module(name: str, *arguments: str) -> list[str]:
    """A module of this repository as a command."""
    return [sys.executable, "-m", name, *arguments]


def end_group(process: subprocess.Popen[str]) -> None:
    """The process and its children, which may be in the middle of a loop."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def timed_run(argv: list[str], variables: Mapping[str, str], directory: Path, limit: float) -> Done:
    """Run a command in this repository.

    Raises:
        ToolFailed: it failed, or was not over after ``limit`` seconds.
    """
    begin = time.perf_counter()
    process = subprocess.Popen(
        argv,
        cwd=ROOT,
        env=dict(variables),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Ctrl-C goes to us.
        start_new_session=True,
    )
    try:
        output, errors = process.communicate(timeout=limit)
        wall = time.perf_counter() - begin
    except subprocess.TimeoutExpired:
        raise ToolFailed(f"not over after {limit:g} s") from None
    finally:
        end_group(process)
    if process.returncode != 0:
        raise ToolFailed(f"exit status {process.returncode}: {tail(errors or output, directory)}")
    return Done(output, wall)
