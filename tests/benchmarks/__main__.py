"""``python -m tests.benchmarks [NAME …] [--quick] [--json FILE]``."""

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
    submit_latency,
    timed_loop,
)
from tests.benchmarks.context import Context, say
from tests.benchmarks.report import Section, machine, machine_line, markdown

# What wants the machine for itself comes first: the fleet that the others share stays up.
BENCHMARKS: dict[str, Callable[[Context], Section]] = {
    module.NAME: module.run
    for module in (timed_loop, coverage, device_footprint, submit_latency, fleet_against_local)
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(BENCHMARKS))
    parser.add_argument("--quick", action="store_true", help="see that all works; no figures")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write all raw figures")
    asked = parser.parse_args()
    unknown = [name for name in asked.names if name not in BENCHMARKS]
    if unknown:
        parser.error(f"there is no {unknown[0]!r}; there are {', '.join(BENCHMARKS)}")
    # SIGTERM must clean up as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        run(asked.names or list(BENCHMARKS), quick=asked.quick, json_file=asked.json)
    except KeyboardInterrupt:
        say("interrupted")
        return 130
    except FleetmarkError as error:
        say(f"failed: {error}")
        return 1
    return 0


def run(names: list[str], *, quick: bool, json_file: Path | None) -> None:
    found = machine()
    print(machine_line(found) + ("\n\nquick: too few rounds for figures" if quick else ""))
    data: dict[str, Any] = {"machine": found.model_dump(mode="json"), "quick": quick}
    with (
        tempfile.TemporaryDirectory(prefix="fleetmark-bench-") as directory,
        ExitStack() as stack,
    ):
        context = Context(quick, Path(directory), stack)
        for name, benchmark in BENCHMARKS.items():
            if name not in names:
                continue
            section = benchmark(context)
            print(f"\n{markdown(section, _command(name, quick=quick))}", flush=True)
            data[name] = section.data
            if json_file is not None:
                # After each: what was measured must not hang on the next one.
                json_file.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")


def _command(name: str, *, quick: bool) -> str:
    return f"python -m tests.benchmarks {name}" + (" --quick" if quick else "")


if __name__ == "__main__":
    sys.exit(main())
