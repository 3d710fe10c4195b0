"""``fleetmark doctor``: what would make figures, or this machine's part in a fleet, go wrong."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from agents.cli import connection, show
from profiler import environment
from profiler.base import Frozen, StrEnum
from profiler.runtimes.table import available
from profiler.sensors.base import Quantity
from profiler.sensors.discover import discover

# Above this many tasks per CPU, others compete with what is measured.
BUSY_LOAD = 0.3
FREE_BYTES = 2 * 2**30


class Verdict(StrEnum):
    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


class Check(Frozen):
    """One thing that was looked at, and what to do about it."""

    name: str
    verdict: Verdict
    found: str
    remedy: str = ""


class Diagnosis(Frozen):
    checks: tuple[Check, ...]


def _shadowing() -> Check:
    """``agents`` is the import name of other distributions too."""
    spec = importlib.util.find_spec("agents")
    found = Path(spec.origin) if spec and spec.origin else None
    own = Path(__file__).resolve().parent.parent
    if found is not None and found.resolve().parent == own:
        return Check(name="package agents", verdict=Verdict.OK, found="is fleetmark's own")
    return Check(
        name="package agents",
        verdict=Verdict.PROBLEM,
        found=f"another package of this name comes first: {found}",
        remedy="install fleetmark in a virtual environment of its own",
    )


def _others_named_agents() -> Check:
    from importlib.metadata import packages_distributions

    owners = set(packages_distributions().get("agents", [])) - {"fleetmark"}
    if not owners:
        return Check(name="other owners of agents", verdict=Verdict.OK, found="none")
    return Check(
        name="other owners of agents",
        verdict=Verdict.PROBLEM,
        found=f"{', '.join(sorted(owners))} installs a package of the same name",
        remedy="install fleetmark in a virtual environment of its own",
    )


def _governor() -> Check:
    found = environment.governors()
    if not found:
        text = "the kernel does not scale clocks here (usual on a virtual machine)"
        return Check(name="CPU governor", verdict=Verdict.OK, found=text)
    if found == ("performance",):
        return Check(name="CPU governor", verdict=Verdict.OK, found="performance")
    return Check(
        name="CPU governor",
        verdict=Verdict.WARNING,
        found=", ".join(found),
        remedy="clocks will wander; as root: cpupower frequency-set -g performance",
    )


def _load() -> Check:
    load = environment.load_average() or 0.0
    per_cpu = load / (os.cpu_count() or 1)
    if per_cpu <= BUSY_LOAD:
        return Check(name="load", verdict=Verdict.OK, found=f"{load:.2f} over the last minute")
    return Check(
        name="load",
        verdict=Verdict.WARNING,
        found=f"{load:.2f} over the last minute on {os.cpu_count()} CPUs",
        remedy="stop what else runs here while you measure",
    )


def _virtual() -> Check:
    if environment.virtualization() is None:
        return Check(name="virtual machine", verdict=Verdict.OK, found="no")
    return Check(
        name="virtual machine",
        verdict=Verdict.WARNING,
        found="yes",
        remedy="neighbours that cannot be seen from here may disturb; repeat runs, expect spread",
    )


def _energy() -> Check:
    found = discover()
    power = {c.source for c in found.channels if c.quantity in (Quantity.POWER, Quantity.ENERGY)}
    if power:
        return Check(name="energy", verdict=Verdict.OK, found=", ".join(sorted(power)))
    reasons = "; ".join(f"{a.source}: {a.reason}" for a in found.absent)
    return Check(
        name="energy",
        verdict=Verdict.WARNING,
        found=f"no source: {reasons}",
        remedy="`fleetmark sensors` says what would help; results will have energy: null",
    )


def _engines() -> Check:
    installed = [f"{s.runtime} {s.version}" for s in available() if s.installed]
    if installed:
        return Check(name="runtimes", verdict=Verdict.OK, found=", ".join(installed))
    return Check(
        name="runtimes",
        verdict=Verdict.PROBLEM,
        found="none",
        remedy="pip install 'fleetmark[torch,onnx]'",
    )


def _ray() -> Check:
    if importlib.util.find_spec("ray") is None:
        return Check(
            name="Ray",
            verdict=Verdict.WARNING,
            found="not installed: this machine can measure alone, but not join a fleet",
            remedy="pip install 'fleetmark[agent]'",
        )
    return Check(name="Ray", verdict=Verdict.OK, found="installed")


def _disk() -> Check:
    place = connection.data_dir()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    text = f"{free / 2**30:.1f} GiB free at {place}"
    if free >= FREE_BYTES:
        return Check(name="disk", verdict=Verdict.OK, found=text)
    return Check(
        name="disk", verdict=Verdict.WARNING, found=text, remedy="models and results need room"
    )


CHECKS: tuple[Callable[[], Check], ...] = (
    _shadowing, _others_named_agents, _engines, _ray, _energy, _governor, _load, _virtual, _disk,
)  # fmt: skip


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print data instead of a table.")] = False,
) -> None:
    """Look for what would make figures, or this machine's part in a fleet, go wrong.

    \b
    Examples:
      fleetmark doctor
      fleetmark doctor --json
    """
    diagnosis = Diagnosis(checks=tuple(check() for check in CHECKS))
    if as_json:
        show.json_out(diagnosis)
    else:
        show.grid(
            ("what", "verdict", "found", "what to do"),
            [(c.name, c.verdict.value, c.found, c.remedy) for c in diagnosis.checks],
        )
    if any(check.verdict is Verdict.PROBLEM for check in diagnosis.checks):
        raise typer.Exit(1)
