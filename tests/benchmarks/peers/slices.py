"""Slices of the bare loop between the tools: one process per engine, which measures on command."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping

from profiler.errors import FleetmarkError
from tests.benchmarks.peers.command import ROOT, end_group, module
from tests.benchmarks.peers.engines import Load

# Engines allocate and settle over the first calls.
WARMUP_SECONDS = 0.3


class Slices:
    """``bare.py serve``; ends with its stdin."""

    def __init__(self, engine: str, variables: Mapping[str, str]) -> None:
        self._engine = engine
        self._process = subprocess.Popen(
            module("tests.benchmarks.peers.bare", "serve", engine),
            cwd=ROOT,
            env=dict(variables),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            # Ctrl-C goes to us.
            start_new_session=True,
        )

    def measure(self, load: Load, seconds: float) -> float:
        """The median of one slice, in seconds.

        Raises:
            FleetmarkError: without the reference there is nothing to compare with.
        """
        words = {"load_words": load.words, "warmup_seconds": WARMUP_SECONDS, "seconds": seconds}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(words) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise FleetmarkError(f"the bare loop in {self._engine} ended; see what it said above")
        return float(json.loads(answer)["seconds"])

    def close(self) -> None:
        end_group(self._process)
