"""The bare loop, in two forms.

``python -m tests.benchmarks.peers.bare serve ENGINE`` imports the engine once and answers each line
of JSON on stdin from a fresh process, forked before anything was computed: the slices between the
tools. ``… once JSON`` is the script that anyone would write, imports and all: the tool that all
others are compared with, and what tells how much two measurements of the same differ.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from typing import Any

from tests.benchmarks.peers.engines import Load, latencies_ns, load, preload, tell, warm_up


def measure(load_words: dict[str, Any], warmup_seconds: float, seconds: float) -> None:
    call = load(Load(**load_words))
    warm_up(call, warmup_seconds)
    found = latencies_ns(call, time.perf_counter_ns() + int(seconds * 1e9))
    tell(seconds=statistics.median(found) / 1e9, n=len(found))


def serve(engine: str) -> None:
    preload(engine)
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            measure(**json.loads(line))
            os._exit(0)
        _, status = os.waitpid(pid, 0)
        if status != 0:
            sys.exit(f"the child ended with status {status}")


if __name__ == "__main__":
    form, argument = sys.argv[1:]
    if form == "serve":
        serve(argument)
    else:
        measure(**json.loads(argument))
