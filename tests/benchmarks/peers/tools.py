"""The tools that are compared, and how each is asked for the same."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.peers.command import module, timed_run
from tests.benchmarks.peers.engines import openvino_properties
from tests.benchmarks.peers.models import Model
from tests.benchmarks.peers.reading import (
    Reading,
    from_benchmark_app,
    from_fleetmark,
    from_loadgen,
    from_script,
)
from tests.benchmarks.peers.slices import WARMUP_SECONDS

TORCH, ONNXRUNTIME, OPENVINO = FAMILIES = ("torch", "onnxruntime", "openvino")
# Beyond the budget: imports, loading, and repetitions that need longer than their share.
PATIENCE_SECONDS = 120.0
# LoadGen prepares as many queries as the expected latency asks for; it may well be faster.
EXPECTED_SHARE = 0.3

NOT_INSTALLED = "not installed: pip install 'fleetmark[bench]'"


@dataclass(frozen=True)
class Task:
    """What a tool is asked to do.

    Attributes:
        family: of engines.
        near_seconds: what the bare loop has just shown.
        directory: holds the files of the models; ``scratch`` is for what the tool writes.
    """

    model: Model
    family: str
    budget: int
    threads: int
    near_seconds: float
    directory: Path
    scratch: Path
    variables: Mapping[str, str]

    def script(self, name: str, **words: object) -> list[str]:
        """One of the scripts beside this file."""
        load = self.model.load(self.directory, self.family, self.threads)
        argument = json.dumps({"load_words": load.words, **words})
        return module(f"tests.benchmarks.peers.{name}", argument)


Command = Callable[[Task], list[str]]
Parse = Callable[[str, Task], Reading]


@dataclass(frozen=True)
class Tool:
    """One row of the tables.

    Attributes:
        package: import name of what it needs, if that is not in every environment.
        bounds: what its stated uncertainty is, if it states one.
        absent: why it is never run.
        cache: where its memory of earlier runs is, beside the others': their name for it.
    """

    name: str
    family: str
    command: Command
    parse: Parse
    package: str | None = None
    bounds: str = "none"
    absent: str | None = None
    cache: str | None = None

    @property
    def is_ours(self) -> bool:
        return self.name.startswith(FLEETMARK)

    @property
    def label(self) -> str:
        return f"{self.name} ({self.family})"

    def why_not(self) -> str | None:
        """Why it cannot be run here, or ``None``."""
        if self.absent is not None:
            return self.absent
        if self.package is not None and importlib.util.find_spec(self.package) is None:
            return NOT_INSTALLED
        return None

    def run(self, task: Task) -> tuple[Reading, float]:
        """What it said, and the seconds from the command to that.

        Raises:
            ToolFailed: it gave no figure.
        """
        limit = 4 * task.budget + PATIENCE_SECONDS
        variables = dict(task.variables)
        if self.cache is not None:
            variables[CACHE_VARIABLE] = str(task.directory / self.cache)
        done = timed_run(self.command(task), variables, task.directory, limit)
        return self.parse(done.output, task), done.wall_seconds


def _timer(rule: str) -> Command:
    return lambda task: task.script("torch_timer", rule=rule, seconds=task.budget)


def _loadgen(task: Task) -> list[str]:
    return task.script(
        "loadgen",
        warmup_seconds=WARMUP_SECONDS,
        seconds=task.budget,
        expected_seconds=task.near_seconds * EXPECTED_SHARE,
        directory=str(task.scratch),
    )


def _benchmark_app(task: Task) -> list[str]:
    # Threads by file: the option for them excludes the hint.
    config = task.scratch / "openvino.json"
    properties = openvino_properties(task.threads)
    kept = {name: properties[name] for name in ("INFERENCE_NUM_THREADS", "NUM_STREAMS")}
    config.write_text(json.dumps({"CPU": kept}), encoding="utf-8")
    start = "from openvino.tools.benchmark.main import main; main()"
    options = {
        "-m": str(task.model.file(task.directory, OPENVINO)),
        "-d": "CPU",
        "-hint": "latency",
        "-api": "sync",
        "-nireq": "1",
        "-infer_precision": "f32",
        # Else it takes the input for an image of bytes and adds a conversion to the model.
        "-ip": "f32",
        "-t": str(task.budget),
        "-load_config": str(config),
    }
    words = [word for pair in options.items() for word in pair]
    return [sys.executable, "-c", start, *words]


def _fleetmark(task: Task, extra_seconds: int = 0) -> list[str]:
    return module(
        "agents.cli.main",
        "run",
        *task.model.arguments(task.directory, task.family),
        "--max-time",
        str(task.budget + extra_seconds),
        "--threads",
        str(task.threads),
        "--json",
    )


def _bare(task: Task) -> list[str]:
    load = task.model.load(task.directory, task.family, task.threads)
    words = {"load_words": load.words, "warmup_seconds": WARMUP_SECONDS, "seconds": task.budget}
    return module("tests.benchmarks.peers.bare", "once", json.dumps(words))


def _script(output: str, _: Task) -> Reading:
    return from_script(output)


def _no_command(_: Task) -> list[str]:
    raise AssertionError("a tool that is absent has no command")


FLEETMARK, BARE = "fleetmark run", "bare loop"
# From the command to the figure the steadiest other tool in torch takes longer than fleetmark with
# the same budget, which imports less of torch: 6.1 s against 4.9 s where this was tried.
SOONER_SECONDS = 1
CACHE_VARIABLE = "XDG_CACHE_HOME"
IQR, INTERVAL = "IQR", "95 % interval"
NO_OPTIMUM = (
    "not run: without a hub it takes timm's architectures only, and leaves them in training mode"
)


def _of_fleetmark(family: str) -> Tool:
    return Tool(
        FLEETMARK, family, _fleetmark, lambda output, _: from_fleetmark(output), bounds=INTERVAL
    )


def for_as_long(family: str, extra_seconds: int) -> Tool:
    """The same, and from the command to the figure for as long as the others.

    A memory of its own: with twice as many runs to learn from it would be another comparison.
    """
    return Tool(
        f"{FLEETMARK}, equal total time",
        family,
        lambda task: _fleetmark(task, extra_seconds),
        lambda output, _: from_fleetmark(output),
        bounds=INTERVAL,
        cache=f"cache-{family}-longer",
    )


def _bare_loop(family: str, package: str | None = None) -> Tool:
    return Tool(BARE, family, _bare, _script, package=package)


TOOLS: tuple[Tool, ...] = (
    Tool("Timer.blocked_autorange", TORCH, _timer("blocked"), _script, bounds=IQR),
    Tool("Timer.adaptive_autorange", TORCH, _timer("adaptive"), _script, bounds=IQR),
    Tool("optimum-benchmark", TORCH, _no_command, _script, absent=NO_OPTIMUM),
    _of_fleetmark(TORCH),
    _bare_loop(TORCH),
    Tool(
        "LoadGen SingleStream",
        ONNXRUNTIME,
        _loadgen,
        lambda output, _: from_loadgen(output),
        package="mlperf_loadgen",
    ),
    _of_fleetmark(ONNXRUNTIME),
    _bare_loop(ONNXRUNTIME),
    Tool(
        "benchmark_app",
        OPENVINO,
        _benchmark_app,
        lambda output, task: from_benchmark_app(output, task.threads),
        package="openvino",
    ),
    _bare_loop(OPENVINO, "openvino"),
)
