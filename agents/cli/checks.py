"""What ``fleetmark doctor`` looks at: each check finds one thing and says what to do about it."""

from __future__ import annotations

import importlib
import importlib.util
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from agents.cli import connection
from profiler.base import Frozen, StrEnum
from profiler.device import environment
from profiler.device.flags import preflight_flags
from profiler.device.preflight import read_preflight
from profiler.errors import InputError
from profiler.result import Preflight
from profiler.runtimes.table import available
from profiler.sensors.base import Quantity
from profiler.sensors.discover import discover
from profiler.sensors.meter_config import configured_meters
from profiler.sensors.site import HERE, Site
from profiler.tuning.knobs import jetson_advice
from profiler.tuning.tune import STATE_DIR, leftovers
from profiler.units import bytes_

# Above this many tasks per CPU, others compete with what is measured.
BUSY_LOAD = 0.3
FREE_BYTES = 2 * 2**30

# Flags that a check of its own stands for.
CHECKED_APART = frozenset({"governor", "busy_device"})


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
        remedy="clocks will wander; as root: fleetmark doctor --tune governor",
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
        remedy="stop what else runs here while you measure; --noise says what that is",
    )


def _virtual() -> Check:
    if environment.virtualization() is None:
        return Check(name="virtual machine", verdict=Verdict.OK, found="no")
    return Check(
        name="virtual machine",
        verdict=Verdict.WARNING,
        found="yes",
        remedy="neighbours that cannot be seen from here may disturb; --noise says by how much",
    )


def _energy() -> Check:
    found = discover(Site.at(HERE, configured_meters(None)))
    power = {c.source for c in found.channels if c.quantity in (Quantity.POWER, Quantity.ENERGY)}
    if power:
        return Check(name="energy", verdict=Verdict.OK, found=", ".join(sorted(power)))
    reasons = "; ".join(f"{a.source}: {a.reason}" for a in found.absent if a.expected)
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
    # Ray looks for AMD's accelerators at its start and expects nothing but an ImportError.
    if importlib.util.find_spec("amdsmi") is not None:
        try:
            importlib.import_module("amdsmi")
        except ImportError:
            pass
        except Exception as error:  # noqa: BLE001 - whatever it is, Ray falls over it
            return Check(
                name="Ray",
                verdict=Verdict.PROBLEM,
                found=f"cannot start: the package amdsmi does not find its library ({error!r})",
                remedy="pip uninstall amdsmi, or install AMD's driver; zeus brings that package",
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


def _left_tuned() -> Check:
    """What ``--tune`` set, or a run that was killed, and nobody has put back."""
    try:
        left = leftovers(state_dir=STATE_DIR)
    except InputError as error:
        found = f"{error.value} {error.problem}"
        return Check(name="tuned", verdict=Verdict.WARNING, found=found, remedy=error.remedy)
    if not left:
        return Check(name="tuned", verdict=Verdict.OK, found="nothing is set by fleetmark")
    return Check(
        name="tuned",
        verdict=Verdict.WARNING,
        found=f"set by fleetmark: {', '.join(sorted({change.knob for change in left}))}",
        remedy="when you have measured, as root: fleetmark doctor --restore",
    )


def device_state(state: Preflight, jetson: str | None = None) -> tuple[Check, ...]:
    """Power, heat, memory and the GPU: one line in order, or one for each that is not.

    Args:
        state: of the device.
        jetson: what would fix the clocks of a Jetson; ``None`` on anything else.
    """
    flags = [flag for flag in preflight_flags(state) if flag.name not in CHECKED_APART]
    if not flags:
        return (Check(name="device state", verdict=Verdict.OK, found=_describe(state)),)
    return tuple(
        Check(
            name=flag.name.replace("_", " "),
            verdict=Verdict.WARNING,
            found=flag.detail,
            remedy=(jetson if flag.name == "power_mode" else None) or flag.advice,
        )
        for flag in flags
    )


def _describe(state: Preflight) -> str:
    parts = []
    if state.power_mode is not None:
        parts.append(state.power_mode)
    if state.on_battery is not None:
        parts.append("plugged in")
    for zone, celsius in list(state.temperatures_celsius.items())[:1]:
        parts.append(f"{zone} at {celsius:.0f} °C")
    if state.turbo is not None:
        parts.append(f"turbo {'on' if state.turbo else 'off'}")
    if state.swap_used_bytes is not None:
        parts.append(f"{bytes_(state.swap_used_bytes)} in swap")
    if state.accelerator_processes is not None:
        parts.append("no other program computes on the GPU")
    return ", ".join(parts) or "this system does not show it"


CHECKS: tuple[Callable[[], Check], ...] = (
    _shadowing, _others_named_agents, _engines, _ray, _energy, _governor, _load, _virtual, _disk,
    _left_tuned,
)  # fmt: skip


def run_checks() -> tuple[Check, ...]:
    """All of them, in the order of the table."""
    state = device_state(read_preflight(), jetson_advice())
    return (*(check() for check in CHECKS), *state)
