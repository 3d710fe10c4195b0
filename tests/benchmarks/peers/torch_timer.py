"""``torch.utils.benchmark.Timer`` as its documentation shows it: ``… JSON``."""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np

from tests.benchmarks.peers.engines import Load, load, tell


def measure(load_words: dict[str, Any], rule: str, seconds: float) -> None:
    call = load(Load(**load_words))
    from torch.utils.benchmark import Timer

    timer = Timer("call()", globals={"call": call}, num_threads=load_words["threads"])
    if rule == "blocked":
        found = timer.blocked_autorange(min_run_time=seconds)
    else:
        found = timer.adaptive_autorange(max_run_time=seconds)
    # What it prints beside the median: "IQR: … (p25 to p75)".
    low, high = np.quantile(found.times, [0.25, 0.75])
    n = len(found.times) * found.number_per_run
    tell(seconds=found.median, low=float(low), high=float(high), n=n)


if __name__ == "__main__":
    measure(**json.loads(sys.argv[1]))
