"""What a run takes beyond the time that it was asked to measure for: as a command, and warm."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from profiler import units
from profiler.events import WorkerRequest
from profiler.pool import WorkerPool
from profiler.result import RunResult
from profiler.session import new_work_dir, run_worker
from profiler.spec import ArchitectureRef, Library, RunSpec, Runtime, StopSpec
from tests.benchmarks.context import Context, say, succeeded
from tests.benchmarks.report import Section, Table, median_and_range

NAME = "run_cost"
MODEL = "mobilenet_v3_large"
RUNTIMES = (Runtime.ONNXRUNTIME, Runtime.TORCH)
SECONDS, QUICK_SECONDS = 3.0, 0.5
ROUNDS, QUICK_ROUNDS = 5, 1
PHASES = ("start", "import", "convert", "repetitions", "memory", "summarise")


def run(context: Context) -> Section:
    rounds = context.rounds or (QUICK_ROUNDS if context.quick else ROUNDS)
    seconds = QUICK_SECONDS if context.quick else SECONDS
    rows, phase_rows, data = [], [], {}
    for runtime in RUNTIMES:
        cold, warm, results = _measured(context, runtime, seconds, rounds)
        for title, totals, found in (
            (f"`fleetmark run`, {runtime}", cold, None),
            (f"warm worker, {runtime}", warm, results),
        ):
            beyond = [total - seconds for total in totals]
            rows.append((title, median_and_range(totals), median_and_range(beyond)))
            data[title] = totals
            if found is not None:
                phase_rows.append((title, *(_phase(found, name) for name in PHASES)))
    return Section(
        name=NAME,
        text=(
            f"{MODEL}, {RunSpec.model_fields['repetitions'].default} repetitions, --max-time "
            f"{seconds:g} --target 0, so that all of the time is used; {rounds} rounds, the "
            "conversion to ONNX in the cache. Median (minimum – maximum). The command is timed "
            "from its start to its end, interpreter and imports included; the warm worker from the "
            "request to the result."
        ),
        tables=[
            Table("seconds in all, and beyond what was asked for", ("", "total", "beyond"), rows),
            Table("where a warm worker's time goes, median", ("", *PHASES), phase_rows),
        ],
        data=data,
    )


def _measured(
    context: Context, runtime: Runtime, seconds: float, rounds: int
) -> tuple[list[float], list[float], list[RunResult]]:
    cache = context.directory / "run-cost-cache"
    cold, warm, results = [], [], []
    with WorkerPool() as pool:
        # Both convert once, and do not count.
        _command(cache, runtime, 0.2)
        _warm(pool, cache, context.directory, runtime, 0.2, "lead-in")
        for number in range(rounds):
            say(f"{NAME}: {runtime}, {number + 1}/{rounds}")
            with context.turn():
                cold.append(_command(cache, runtime, seconds))
                total, result = _warm(
                    pool, cache, context.directory, runtime, seconds, f"{runtime}-{number}"
                )
            warm.append(total)
            results.append(result)
    return cold, warm, results


def _command(cache: Path, runtime: Runtime, seconds: float) -> float:
    command = [
        sys.executable, "-m", "agents.cli.main", "run", f"torchvision:{MODEL}",
        "--runtime", runtime.value, "--max-time", str(seconds), "--target", "0", "--json",
    ]  # fmt: skip
    environment = os.environ | {"XDG_CACHE_HOME": str(cache.parent / "home")}
    begin = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, env=environment)
    return time.perf_counter() - begin


def _warm(
    pool: WorkerPool, cache: Path, directory: Path, runtime: Runtime, seconds: float, name: str
) -> tuple[float, RunResult]:
    request = WorkerRequest(
        run_id=f"cost-{runtime}-{name}",
        device="here",
        spec=RunSpec(
            model=ArchitectureRef(library=Library.TORCHVISION, name=MODEL),
            runtime=runtime,
            max_time_seconds=seconds,
            stop=StopSpec(relative_half_width=0),
        ),
        cache_dir=cache,
        work_dir=new_work_dir(directory, f"cost-{runtime}-{name}", 1),
    )
    begin = time.perf_counter()
    result = succeeded(run_worker(request, pool=pool))
    return time.perf_counter() - begin, result


def _phase(results: list[RunResult], name: str) -> str:
    found = sorted(r.phases_seconds[name] for r in results if name in r.phases_seconds)
    return units.seconds(found[len(found) // 2]) if found else units.NOTHING
