"""Rounds: every tool once for every model and budget, between slices of its engine's bare loop."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from profiler.device.environment import worker_environment
from tests.benchmarks.context import say
from tests.benchmarks.peers.command import module, timed_run
from tests.benchmarks.peers.figures import Entry
from tests.benchmarks.peers.models import MODELS, Model
from tests.benchmarks.peers.reading import ToolFailed
from tests.benchmarks.peers.slices import WARMUP_SECONDS, Slices
from tests.benchmarks.peers.tools import FAMILIES, ONNXRUNTIME, TORCH, Task, Tool

# Two slices beside each tool: together half of its own budget, a quarter each.
SLICE_SHARE = 0.25
# What the loop's own comparison alternates between: fleetmark has an adapter for these.
ALTERNATING = (TORCH, ONNXRUNTIME)
PREPARE_LIMIT_SECONDS = 600.0


@dataclass
class Bench:
    """What one invocation measures with.

    Attributes:
        tools: those that can be run here.
        alternating_seconds: for each model, engine and arm in every round.
        turn: held for each model and engine, while it is measured.
        ratios: of the alternating blocks, by label, over all rounds.
    """

    directory: Path
    threads: int
    tools: list[Tool]
    alternating_seconds: float
    stack: ExitStack
    turn: Callable[[], AbstractContextManager[None]] = nullcontext
    order: random.Random = field(default_factory=lambda: random.Random(0))
    entries: list[Entry] = field(default_factory=list)
    ratios: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    _slices: dict[str, Slices] = field(default_factory=dict)
    _near: dict[tuple[str, str], float] = field(default_factory=dict)
    _runs: int = 0

    def __post_init__(self) -> None:
        # One environment for all tools: that of fleetmark's own worker.
        # CI: else OpenVINO reports its use to its makers, in the middle of what is timed.
        # A cache of its own: what fleetmark knows of earlier runs is known from these.
        self.variables = worker_environment(os.environ, self.threads) | {
            "CI": "true",
            "XDG_CACHE_HOME": str(self.directory / "cache"),
        }

    def prepare(self) -> None:
        """The files of the models."""
        say("peers: writing the models")
        argv = module("tests.benchmarks.peers.models", str(self.directory))
        timed_run(argv, self.variables, self.directory, PREPARE_LIMIT_SECONDS)

    def slice(self, model: Model, family: str, budget: int) -> float:
        """The bare loop, now."""
        load = model.load(self.directory, family, self.threads)
        if load.engine not in self._slices:
            started = Slices(load.engine, self.variables)
            self.stack.callback(started.close)
            self._slices[load.engine] = started
        return self._slices[load.engine].measure(load, budget * SLICE_SHARE)

    def round(self, number: int, budgets: Iterable[int]) -> None:
        """Everything once, in random order."""
        there = {tool.family for tool in self.tools}
        families = [family for family in FAMILIES if family in there]
        for model in self.order.sample(MODELS, len(MODELS)):
            for budget in budgets:
                for family in self.order.sample(families, len(families)):
                    with self.turn():
                        self._family(number, budget, model, family)
            for family in ALTERNATING:
                with self.turn():
                    self._alternate(model, family)

    def round_without_slices(self, number: int, budget: int) -> None:
        """Every tool once for every model, in random order, with nothing between."""
        for model in self.order.sample(MODELS, len(MODELS)):
            with self.turn():
                for tool in self.order.sample(self.tools, len(self.tools)):
                    near = self._about(model, tool.family, budget)
                    found = self._try(tool, self._task(model, tool.family, budget, near))
                    self.entries.append(
                        Entry(
                            round=number,
                            budget=budget,
                            model=model.name,
                            family=tool.family,
                            tool=tool.name,
                            **found,
                        )
                    )

    def _about(self, model: Model, family: str, budget: int) -> float:
        """What the bare loop showed when it was first asked for: LoadGen wants to be told."""
        key = model.name, family
        if key not in self._near:
            self._near[key] = self.slice(model, family, budget)
        return self._near[key]

    def _family(self, number: int, budget: int, model: Model, family: str) -> None:
        say(f"peers: round {number}, {model.name}, {family}, {budget} s")
        before = self.slice(model, family, budget)
        tools = [tool for tool in self.tools if tool.family == family]
        for tool in self.order.sample(tools, len(tools)):
            found = self._try(tool, self._task(model, family, budget, before))
            after = self.slice(model, family, budget)
            self.entries.append(
                Entry(
                    round=number,
                    budget=budget,
                    model=model.name,
                    family=family,
                    tool=tool.name,
                    before_seconds=before,
                    after_seconds=after,
                    **found,
                )
            )
            before = after

    def _task(self, model: Model, family: str, budget: int, near_seconds: float) -> Task:
        self._runs += 1
        scratch = self.directory / f"run-{self._runs}"
        scratch.mkdir()
        return Task(
            model=model,
            family=family,
            budget=budget,
            threads=self.threads,
            near_seconds=near_seconds,
            directory=self.directory,
            scratch=scratch,
            variables=self.variables,
        )

    def _try(self, tool: Tool, task: Task) -> dict[str, object]:
        """One failure is a figure less, and not the end of an hour of measuring."""
        try:
            reading, wall = tool.run(task)
        except ToolFailed as error:
            say(f"peers: {tool.label}: {error}")
            return {"reading": None, "failure": str(error)}
        return {"reading": reading, "wall_seconds": wall}

    def _alternate(self, model: Model, family: str) -> None:
        words = {
            "load_words": model.load(self.directory, family, self.threads).words,
            "warmup_seconds": WARMUP_SECONDS,
            "seconds": self.alternating_seconds,
        }
        argv = module("tests.benchmarks.peers.alternating", json.dumps(words))
        limit = 4 * self.alternating_seconds + PREPARE_LIMIT_SECONDS
        done = timed_run(argv, self.variables, self.directory, limit)
        found: dict[str, list[float]] = json.loads(done.output.splitlines()[-1])
        kept = self.ratios.setdefault(f"{model.name}, {family}", {})
        for name, ratios in found.items():
            kept.setdefault(name, []).extend(ratios)
