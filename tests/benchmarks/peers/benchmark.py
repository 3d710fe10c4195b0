"""fleetmark's figures beside those of other tools: same model, threads and time budget."""

from __future__ import annotations

import importlib.metadata
import os
import time
from collections.abc import Mapping

from profiler.blocks import BLOCK_NS
from tests.benchmarks.context import Context, say
from tests.benchmarks.peers import tables
from tests.benchmarks.peers.alternating import SHORT_NS
from tests.benchmarks.peers.bench import SLICE_SHARE, Bench
from tests.benchmarks.peers.models import MODELS
from tests.benchmarks.peers.slices import WARMUP_SECONDS
from tests.benchmarks.peers.tools import TOOLS
from tests.benchmarks.report import Section, Table

NAME = "peers"
BUDGETS, QUICK_BUDGETS = (3, 10), (1,)
ROUNDS, QUICK_ROUNDS = 8, 2
# In every round, for each model, engine and arm: a ratio of 0.5 % takes some hundred fours of
# blocks.
ALTERNATING_SECONDS, QUICK_ALTERNATING_SECONDS = 10.0, 1.0
PEERS = ("torch", "onnxruntime", "openvino", "mlcommons-loadgen")


def run(context: Context) -> Section:
    rounds = context.rounds or (QUICK_ROUNDS if context.quick else ROUNDS)
    budgets = context.budgets or (QUICK_BUDGETS if context.quick else BUDGETS)
    why_not = {tool.label: reason for tool in TOOLS if (reason := tool.why_not())}
    bench = Bench(
        directory=context.directory / NAME,
        threads=context.threads or len(os.sched_getaffinity(0)),
        tools=[tool for tool in TOOLS if tool.label not in why_not],
        alternating_seconds=QUICK_ALTERNATING_SECONDS if context.quick else ALTERNATING_SECONDS,
        stack=context.stack,
        turn=context.turn,
    )
    bench.directory.mkdir()
    bench.prepare()
    begin = time.perf_counter()
    for number in range(1, rounds + 1):
        if context.minutes and time.perf_counter() - begin > context.minutes * 60:
            rounds = number - 1
            break
        bench.round(number, budgets)
        took = (time.perf_counter() - begin) / number
        say(f"peers: {took * (rounds - number) / 60:.0f} minutes left")
    return Section(
        name=NAME,
        text=_text(bench, rounds),
        tables=[*_tables(bench, budgets, why_not), tables.alternating(bench.ratios)],
        data={
            "rounds": rounds,
            "budgets_seconds": budgets,
            "entries": [entry.model_dump(mode="json") for entry in bench.entries],
            "alternating": bench.ratios,
            "why_not": why_not,
        },
    )


def _tables(bench: Bench, budgets: tuple[int, ...], why_not: Mapping[str, str]) -> list[Table]:
    found = []
    for budget in budgets:
        readings = tables.Readings(
            budget=budget,
            models=tuple(model.name for model in MODELS),
            tools=TOOLS,
            why_not=why_not,
            entries=[entry for entry in bench.entries if entry.budget == budget],
        )
        found += [*tables.tables(readings), tables.phases(readings)]
    return found


def _versions() -> str:
    found = []
    for name in PEERS:
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return ", ".join(found)


def _text(bench: Bench, rounds: int) -> str:
    failures = sum(entry.failure is not None for entry in bench.entries)
    return (
        f"{rounds} rounds ({_versions()}). In each, every tool measures every model once, as a "
        f"command of its own, in random order, {bench.threads} threads, batch 1, float32, the "
        "same weights. Before and after each tool runs a slice of the bare loop of its engine, "
        f"in a fresh process: {WARMUP_SECONDS} s of warm-up and {SLICE_SHARE:.0%} of the budget. "
        "A ratio is of a tool's figure to the mean of its two neighbours; shown are the median "
        "over the rounds and its 95 % interval (bootstrap over rounds). The bare loop is a tool "
        "too: its row tells what such a ratio can resolve, and its spread is the machine's own. "
        "Each tool is given the same call as the loop and the budget as the time that it is to "
        "measure for; for `fleetmark run` that includes its warm-up, all else about it is as by "
        "default. `tiny_cnn` is a TorchScript file in torch, the others are eager. benchmark_app "
        "has its own engine, made to compute in float32, and prints two decimals of a "
        "millisecond, or of a microsecond below that. LoadGen's official duration is 600 s; at "
        "these budgets it calls its own result invalid where fewer than 64 queries fit. "
        f"{failures} runs gave no figure. The last table is of one process with one loaded model. "
        f"Blocks of {SHORT_NS / 1e6:.0f} ms of the timed loop and of the bare one alternate: what "
        "the loop itself adds, with less of the machine in it. Then blocks as a run has them "
        f"alternate with the bare loop. They are {BLOCK_NS / 1e6:.0f} ms long, as in a run: what "
        "is done between two blocks (the kernel's counters read, a slice of the sentinel, the "
        "median so far) is felt by the first calls of a block, which are a larger share of a "
        "shorter one. Each of them follows such a pause, and its first call is left out as in a "
        "run (from 8 calls a block on); the bare loop makes one call before its block that is not "
        "timed. Each of the two has its control, of blocks as long as its own."
    )
