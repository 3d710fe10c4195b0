"""MLPerf LoadGen, SingleStream, around the session of ONNX Runtime: ``… JSON``.

Its settings are the benchmark's own but for the duration, which officially is 600 s. The system
under test answers inside the callback that issues the query, as the shortest of the reference
implementations do, and warms up before the test, as they all do.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import mlperf_loadgen as lg

from tests.benchmarks.peers.engines import Call, Load, load, warm_up


def system_under_test(call: Call) -> Any:
    def issue(queries: list[Any]) -> None:
        for query in queries:
            call()
            lg.QuerySamplesComplete([lg.QuerySampleResponse(query.id, 0, 0)])

    return lg.ConstructSUT(issue, lambda: None)


def settings(seconds: float, expected_seconds: float) -> Any:
    """``expected_seconds`` only says how many queries LoadGen prepares: too long would end it."""
    found = lg.TestSettings()
    found.scenario = lg.TestScenario.SingleStream
    found.mode = lg.TestMode.PerformanceOnly
    found.min_duration_ms = int(seconds * 1000)
    found.min_query_count = 1
    found.single_stream_expected_latency_ns = max(1, int(expected_seconds * 1e9))
    return found


def log_settings(directory: str) -> Any:
    found = lg.LogSettings()
    found.enable_trace = False
    found.log_output.outdir = directory
    return found


def measure(
    load_words: dict[str, Any],
    warmup_seconds: float,
    seconds: float,
    expected_seconds: float,
    directory: str,
) -> None:
    call = load(Load(**load_words))
    warm_up(call, warmup_seconds)
    sut = system_under_test(call)
    library = lg.ConstructQSL(1, 1, lambda _: None, lambda _: None)
    try:
        lg.StartTestWithLogSettings(
            sut, library, settings(seconds, expected_seconds), log_settings(directory), ""
        )
    finally:
        lg.DestroyQSL(library)
        lg.DestroySUT(sut)
    print((Path(directory) / "mlperf_log_detail.txt").read_text(encoding="utf-8"))


if __name__ == "__main__":
    measure(**json.loads(sys.argv[1]))
