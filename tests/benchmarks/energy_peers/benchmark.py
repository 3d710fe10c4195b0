"""Energy beside other tools: errors against a truth that is known, in simulated time."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from tests.benchmarks.context import Context, say
from tests.benchmarks.energy_peers.cases import CASES
from tests.benchmarks.energy_peers.scene import Refused, Scene
from tests.benchmarks.energy_peers.tools import TOOLS, Tool, version
from tests.benchmarks.report import Section, Table

NAME = "energy_peers"
ROUNDS, QUICK_ROUNDS = 40, 2

TEXT = """\
Simulated sensors with a known truth, {rounds} of each kind, each with another phase, start and
length; each tool's own code reads them on a simulated clock. Error of the joules of the timed part,
median and worst, and the median of the bound that fleetmark prints beside it; the others print
none. As before every run, fleetmark listens to each sensor for a second first. "refused": the tool
raises or says that it has no figure. {versions}.

zeus is spared the race of its counter of wraps, which runs in another process: here it shares the
clock. A read that fails ends its measurement; a counter that is reset gives it negative joules; of
equal readings of power it keeps the first, and one is no area. codecarbon reads every 15 s, as it
comes, and power every second where there is no counter; what passed before a read that failed it
loses without a word. fleetmark falls back to integrated power where a counter was reset, which its
result says, and gives no figure where calls keep in step with the sensor and no power limit is
known."""


def run(context: Context) -> Section:
    rounds = context.rounds or (QUICK_ROUNDS if context.quick else ROUNDS)
    found = {name: version(dist) if dist else "" for name, (dist, _) in TOOLS.items()}
    rows = []
    data: dict[str, Any] = {}
    for number, (case, make) in enumerate(CASES.items()):
        say(f"{NAME}: {case}")
        data[case] = {
            name: _errors(make, tool, rounds, context.directory / f"{NAME}-{number}-{name}")
            for name, (_, tool) in TOOLS.items()
            if found[name] is not None
        }
        rows.append((case, *_cells(data[case], found)))
    versions = ", ".join(
        f"{name} {each}" if each else f"{name} is not installed: not run"
        for name, each in found.items()
        if each != ""
    )
    headers = ("", "fleetmark", "its bound", "zeus", "codecarbon")
    return Section(
        name=NAME,
        text=TEXT.format(rounds=rounds, versions=versions),
        tables=[Table("error of the joules: median (worst)", headers, rows)],
        data=data,
    )


def _errors(
    make: Callable[[np.random.Generator], Scene], tool: Tool, rounds: int, directory: Path
) -> dict[str, Any]:
    errors: list[float] = []
    bounds: list[float] = []
    refused: list[str] = []
    for number in range(rounds):
        # The same scene for every tool.
        scene = make(np.random.default_rng([number, zlib.crc32(NAME.encode())]))
        place = directory / str(number)
        place.mkdir(parents=True)
        try:
            estimate = tool(scene, place)
        except Refused as reason:
            refused.append(str(reason))
            continue
        errors.append(estimate.joules / scene.truth - 1)
        if estimate.bound is not None:
            bounds.append(estimate.bound)
    return {"errors": errors, "bounds": bounds, "refused": refused}


def _cells(data: dict[str, Any], versions: dict[str, str | None]) -> tuple[str, ...]:
    cells = []
    for name in TOOLS:
        cells.append(_cell(data[name]) if versions[name] is not None else "not run")
        if name == "fleetmark":
            bounds = data[name]["bounds"]
            cells.append(_percent(median(bounds)) if bounds else "—")
    return tuple(cells)


def _cell(found: dict[str, Any]) -> str:
    sizes = [abs(error) for error in found["errors"]]
    refused = len(found["refused"])
    if not sizes:
        return "refused"
    shown = f"{_percent(median(sizes))} ({_percent(max(sizes))})"
    return f"{shown}, {refused} refused" if refused else shown


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %" if share < 0.995 else f"{100 * share:.0f} %"
