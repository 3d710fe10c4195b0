"""``python -m tests.benchmarks [NAME …] [OPTION …]``."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from profiler.errors import FleetmarkError
from tests.benchmarks import (
    coverage,
    device_footprint,
    fleet_against_local,
    metrics_cost,
    page_load,
    perturbation,
    reality,
    run_cost,
    submit_latency,
    timed_loop,
)
from tests.benchmarks.context import Context, say
from tests.benchmarks.energy_peers import benchmark as energy_peers
from tests.benchmarks.peers import benchmark as peers
from tests.benchmarks.peers import repeated as peers_spread
from tests.benchmarks.report import Section, machine, machine_line, markdown

# What wants the machine for itself comes first: the fleet that the others share stays up.
BENCHMARKS: dict[str, Callable[[Context], Section]] = {
    module.NAME: module.run
    for module in (
        timed_loop,
        coverage,
        energy_peers,
        peers,
        peers_spread,
        reality,
        perturbation,
        run_cost,
        page_load,
        device_footprint,
        metrics_cost,
        submit_latency,
        fleet_against_local,
    )
}
# These take an hour or more each: only when they are named.
LONG = (peers.NAME, peers_spread.NAME, reality.NAME)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(BENCHMARKS))
    parser.add_argument("--quick", action="store_true", help="see that all works; no figures")
    parser.add_argument(
        "--rounds",
        type=int,
        metavar="N",
        help="of those that let one choose: peers, perturbation, reality, run_cost",
    )
    parser.add_argument(
        "--minutes",
        type=float,
        metavar="M",
        help="over which reality is spread, 60 of itself; peers begins no round after them",
    )
    parser.add_argument(
        "--threads",
        type=int,
        metavar="N",
        help="of every engine, in peers, perturbation and reality",
    )
    parser.add_argument(
        "--budgets",
        type=int,
        nargs="+",
        metavar="S",
        help="seconds that each tool is given, in peers and peers_spread: 3 10 of itself",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write all raw figures")
    parser.add_argument(
        "--turns",
        type=Path,
        metavar="FILE",
        help="locked while something is measured: other work takes turns by `flock FILE COMMAND`",
    )
    asked = parser.parse_args()
    unknown = [name for name in asked.names if name not in BENCHMARKS]
    if unknown:
        parser.error(f"there is no {unknown[0]!r}; there are {', '.join(BENCHMARKS)}")
    if asked.rounds is not None and asked.rounds < 1:
        parser.error(f"--rounds {asked.rounds} is below 1; write a whole number such as 8")
    # SIGTERM must clean up as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        names = asked.names or [name for name in BENCHMARKS if asked.quick or name not in LONG]
        run(names, asked)
    except KeyboardInterrupt:
        say("interrupted")
        return 130
    except FleetmarkError as error:
        say(f"failed: {error}")
        return 1
    return 0


def run(names: list[str], asked: argparse.Namespace) -> None:
    quick, rounds, json_file = asked.quick, asked.rounds, asked.json
    found = machine()
    print(machine_line(found) + ("\n\nquick: too few rounds for figures" if quick else ""))
    data: dict[str, Any] = {"machine": found.model_dump(mode="json"), "quick": quick}
    with (
        tempfile.TemporaryDirectory(prefix="fleetmark-bench-") as directory,
        ExitStack() as stack,
    ):
        context = Context(
            quick,
            Path(directory),
            stack,
            rounds,
            asked.minutes,
            asked.turns,
            asked.threads,
            tuple(asked.budgets) if asked.budgets else None,
        )
        for name, benchmark in BENCHMARKS.items():
            if name not in names:
                continue
            section = benchmark(context)
            print(f"\n{markdown(section, _command(name, asked))}", flush=True)
            data[name] = section.data
            if json_file is not None:
                # After each: what was measured must not hang on the next one.
                json_file.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")


def _command(name: str, asked: argparse.Namespace) -> str:
    """What was asked for, less what decides no figure."""
    chosen = {"rounds": asked.rounds, "minutes": asked.minutes, "threads": asked.threads}
    options = [f"--{option} {value:g}" for option, value in chosen.items() if value is not None]
    if asked.budgets:
        options.append(f"--budgets {' '.join(map(str, asked.budgets))}")
    return " ".join(
        ["python -m tests.benchmarks", name, *(["--quick"] if asked.quick else []), *options]
    )


if __name__ == "__main__":
    sys.exit(main())
