"""The same run through the fleet, by ``fleetmark run``, and as a bare loop, side by side."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import numpy as np

from agents.cli.local_fleet import LocalFleet
from agents.messages import Axes, JobRequest
from profiler import units
from profiler.conversion.cache import Converted
from profiler.conversion.convert import convert_to_onnx
from profiler.device.environment import worker_environment
from profiler.errors import FleetmarkError
from profiler.events import WorkerRequest
from profiler.forked import call_in_child
from profiler.inputs import synthesize
from profiler.result import RunResult
from profiler.session import new_work_dir, run_worker
from profiler.spec import ArchitectureRef, InputSpec, Library, RunSpec, Runtime
from tests.benchmarks.context import Context, measure_in_fleet, say, succeeded
from tests.benchmarks.ratios import bootstrap_median, geometric_means, per_round
from tests.benchmarks.report import Section, Table

NAME = "fleet_against_local"
MODELS = ("resnet18", "mobilenet_v3_large")
RUNTIMES = (Runtime.ONNXRUNTIME, Runtime.TORCH)
ROUNDS, QUICK_ROUNDS = 8, 3
SECONDS, QUICK_SECONDS = 0.8, 0.6
# As in a run: a repetition's warm-up takes up to this share of its time.
WARMUP_SHARE = 0.4
INPUT = InputSpec(name="x", dtype="float32", shape=(1, 3, 224, 224))
SEED = 0

FLEET, LOCAL, BARE, AGAIN = "fleet", "local", "bare", "bare again"
ARMS = (FLEET, LOCAL, BARE, AGAIN)
RATIOS = (
    ("fleet / bare loop", FLEET, BARE),
    ("`fleetmark run` / bare loop", LOCAL, BARE),
    ("fleet / `fleetmark run`", FLEET, LOCAL),
    ("A/A: bare loop / bare loop", AGAIN, BARE),
)


@dataclass(frozen=True)
class Case:
    model: ArchitectureRef
    runtime: Runtime

    @property
    def label(self) -> str:
        return f"{self.model.name}, {self.runtime}"


class BareLoop:
    """``bare_loop.py`` in the environment of a worker; ends with its stdin."""

    def __init__(self, runtime: Runtime, threads: int) -> None:
        self._runtime = runtime
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("bare_loop.py")), runtime.value],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=worker_environment(os.environ, threads),
            # Ctrl-C goes to us.
            start_new_session=True,
        )

    def measure(self, request: dict[str, object]) -> tuple[float, int]:
        """The median in seconds, and how many iterations it is of."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise FleetmarkError(f"the bare loop in {self._runtime} ended; see what it said above")
        found = json.loads(answer)
        return float(found["median_seconds"]), int(found["n"])

    def close(self) -> None:
        # Not only the process: a forked child may be in the middle of its loop.
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.communicate()


@dataclass
class Bench:
    """All arms measure with the same seconds, threads, weights and input."""

    fleet: LocalFleet
    directory: Path
    seconds: float
    threads: int
    loops: dict[Runtime, BareLoop]
    files: dict[Case, Path] = field(default_factory=dict)
    counts: list[int] = field(default_factory=list)
    _runs: int = 0

    @property
    def cache_dir(self) -> Path:
        """The agent's: one conversion serves all arms."""
        return self.fleet.state_dir / "cache"

    @property
    def input_file(self) -> Path:
        return self.directory / "input.npy"

    def prepare(self, cases: list[Case]) -> None:
        """What is made once, and one round that does not count."""
        np.save(self.input_file, synthesize([INPUT], SEED)[0])
        for case in cases:
            say(f"{NAME}: {case.label} fills the caches")
            self.through_fleet(case)
            if case.runtime is Runtime.ONNXRUNTIME:
                self.files[case] = self._converted(case)
            self.bare(case)

    def _converted(self, case: Case) -> Path:
        """The very file that the agent measures."""

        def find() -> Converted:
            return convert_to_onnx(case.model, None, self.cache_dir, batch_size=1)

        return call_in_child(find, Converted, "the conversion to ONNX").path

    def through_fleet(self, case: Case) -> tuple[float, int]:
        request = JobRequest(
            model=case.model,
            axes=Axes(runtime=(case.runtime,), threads=(self.threads,)),
            repetitions=1,
            max_time_seconds=self.seconds,
            seed=SEED,
        )
        return _median_of(measure_in_fleet(self.fleet, request))

    def by_itself(self, case: Case) -> tuple[float, int]:
        """What ``fleetmark run`` does."""
        self._runs += 1
        spec = RunSpec(
            model=case.model,
            runtime=case.runtime,
            threads=self.threads,
            repetitions=1,
            max_time_seconds=self.seconds,
            seed=SEED,
        )
        request = WorkerRequest(
            run_id=f"local{self._runs}",
            device="here",
            spec=spec,
            cache_dir=self.cache_dir,
            work_dir=new_work_dir(self.directory, f"local{self._runs}", 1),
        )
        return _median_of(succeeded(run_worker(request)))

    def bare(self, case: Case) -> tuple[float, int]:
        request = {
            "model": case.model.name,
            "seed": case.model.seed,
            "file": str(self.files.get(case, "")),
            "input": str(self.input_file),
            "threads": self.threads,
            "warmup_seconds": self.seconds * WARMUP_SHARE,
            "seconds": self.seconds * (1 - WARMUP_SHARE),
        }
        return self.loops[case.runtime].measure(request)

    def measure(self, case: Case, arm: str) -> float:
        """The median of one way to measure, in seconds."""
        arms: dict[str, Callable[[Case], tuple[float, int]]] = {
            FLEET: self.through_fleet,
            LOCAL: self.by_itself,
            BARE: self.bare,
            AGAIN: self.bare,
        }
        middle, n = arms[arm](case)
        self.counts.append(n)
        return middle


def _median_of(result: RunResult) -> tuple[float, int]:
    assert result.latency is not None
    assert result.latency.p50 is not None
    return result.latency.p50.value, result.latency.n


def run(context: Context) -> Section:
    rounds = QUICK_ROUNDS if context.quick else ROUNDS
    threads = len(os.sched_getaffinity(0))
    loops = {}
    for runtime in RUNTIMES:
        loops[runtime] = BareLoop(runtime, threads)
        context.stack.callback(loops[runtime].close)
    bench = Bench(
        fleet=context.fleet(),
        directory=context.directory,
        seconds=QUICK_SECONDS if context.quick else SECONDS,
        threads=threads,
        loops=loops,
    )
    cases = [
        Case(ArchitectureRef(library=Library.TORCHVISION, name=name), runtime)
        for name in MODELS
        for runtime in RUNTIMES
    ]
    measured: dict[str, dict[str, list[float]]] = {
        case.label: {arm: [] for arm in ARMS} for case in cases
    }
    bench.prepare(cases)
    order = random.Random(0)
    for number in range(1, rounds + 1):
        for case in cases:
            say(f"{NAME}: round {number}/{rounds}, {case.label}")
            # In another order each time: none of them is always behind the same one.
            for arm in order.sample(ARMS, len(ARMS)):
                measured[case.label][arm].append(bench.measure(case, arm))
    return _section(measured, rounds, bench)


def _section(measured: dict[str, dict[str, list[float]]], rounds: int, bench: Bench) -> Section:
    return Section(
        name=NAME,
        text=(
            f"{rounds} rounds; in each, every model is measured in all four ways in random order, "
            f"each for {bench.seconds} s in a fresh process ({WARMUP_SHARE:.0%} of it at most "
            f"warm-up), {bench.threads} threads, batch 1, fp32, the same weights and input. "
            f"At least {min(bench.counts)} timed iterations are behind a median. The "
            "fleet's coordinator and device run on this machine, and idle during the other arms. "
            "A ratio is of the medians of one round; shown are the median over the rounds and its "
            "95 % interval (bootstrap over rounds). The A/A row is the same loop twice: what lies "
            "inside its interval cannot be told from nothing on this machine at this time."
        ),
        tables=[_latencies(measured), _ratios(measured)],
        data={"rounds": rounds, "seconds_per_arm": bench.seconds, "medians_seconds": measured},
    )


def _latencies(measured: dict[str, dict[str, list[float]]]) -> Table:
    rows = []
    for label, arms in measured.items():
        cells = []
        for arm in ARMS:
            middle, values = median(arms[arm]), arms[arm]
            cells.append(units.interval(middle, min(values), max(values)))
        rows.append((label, *cells))
    headers = ("model, runtime", "fleet", "`fleetmark run`", "bare loop", "bare loop again")
    return Table("median latency [lowest, highest round]", headers, rows)


def _ratios(measured: dict[str, dict[str, list[float]]]) -> Table:
    found = {
        title: {label: per_round(arms[above], arms[below]) for label, arms in measured.items()}
        for title, above, below in RATIOS
    }
    rows = []
    for title, columns in found.items():
        cells = [_interval(values) for values in columns.values()]
        rows.append((title, *cells, _interval(geometric_means(*columns.values()))))
    headers = ("ratio of medians", *measured, "all (geometric mean)")
    return Table("ratio [95 % interval]", headers, rows)


def _interval(values: list[float]) -> str:
    found = bootstrap_median(values)
    return f"{found.value:.3f} [{found.low:.3f}, {found.high:.3f}]"
