"""Why a device is noisy, and what to do about it: rules on what was seen, without any reading.

A cause is named when it is seen to take part, not when it merely could. What takes less than a
device may lose and still be called quiet is no cause. Several can hold; a cause that explains
another's figure (the clock that heat took away) stands in its place.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from profiler.device.flags import CLOCK_CHANGE, PERFORMANCE
from profiler.flags import BUSY_SHARE
from profiler.noise.floor import QUIET, Cause, CauseName, NoiseFigures, Verdict
from profiler.noise.neighbours import Neighbour
from profiler.result import Preflight
from profiler.units import percent

# Above this share of what was lost, a cause explains it alone.
MOST = 0.5
# A sentence has room for these; the others are in the data.
MOST_NAMED = 4
# A chip warms by more than this within a measurement that slows it down.
_WARMER_CELSIUS = 1.0


@dataclass(frozen=True)
class _Seen:
    """All that the rules look at."""

    figures: NoiseFigures
    neighbours: tuple[Neighbour, ...]
    preflight: Preflight
    virtual: bool

    @property
    def stretched(self) -> bool:
        """The same work took more CPU time at some times than at others; waiting is not in it."""
        return self.figures.cpu_time_variation >= QUIET

    @property
    def clock_moved(self) -> bool:
        return (self.figures.clock_variation or 0.0) >= QUIET


def find_causes(
    figures: NoiseFigures,
    neighbours: tuple[Neighbour, ...],
    preflight: Preflight,
    *,
    virtual: bool,
    verdict: Verdict,
) -> tuple[Cause, ...]:
    """The causes that are seen; none of a quiet device, at least one of any other.

    Args:
        figures: what was measured.
        neighbours: other programs that used the CPUs meanwhile, busiest first.
        preflight: the device's state before.
        virtual: whether this is a virtual machine.
        verdict: on the figures.
    """
    if verdict is Verdict.QUIET:
        return ()
    seen = _Seen(figures, neighbours, preflight, virtual)
    found = tuple(cause for rule in RULES if (cause := rule(seen)) is not None)
    return found or (_nothing_found(seen),)


def _neighbours_inside(seen: _Seen) -> Cause | None:
    figures = seen.figures
    waited, load = figures.run_delay_share or 0.0, figures.other_load_share or 0.0
    if waited >= QUIET:
        evidence = f"the work waited for a CPU in {percent(waited)} of the time"
        if figures.neighbour_share is not None:
            evidence += f", which is {percent(figures.neighbour_share)} of all that was lost"
    elif load > BUSY_SHARE and seen.stretched:
        evidence = (
            f"other programs used {percent(load)} of the CPU time on other CPUs, and with it "
            "caches and memory bandwidth"
        )
    else:
        return None
    return Cause(
        name=CauseName.NEIGHBOURS_INSIDE,
        evidence=f"{evidence}; {_names(seen.neighbours)}",
        remedy="stop them while you measure, or keep them off some CPUs and measure on those "
        "(`taskset -c 2,3 fleetmark …`)",
    )


def _names(neighbours: tuple[Neighbour, ...]) -> str:
    if not neighbours:
        return (
            "no program that can be seen from here used much CPU time: it was short-lived ones, or "
            "those of another container"
        )
    named = neighbours[:MOST_NAMED]
    listed = ", ".join(f"{n.name} (pid {n.pid}) {percent(n.cpu_share)}" for n in named)
    more = f" and {len(neighbours) - len(named)} more" if len(neighbours) > len(named) else ""
    return f"of one CPU used: {listed}{more}"


def _neighbours_outside(seen: _Seen) -> Cause | None:
    figures = seen.figures
    stolen = figures.steal_share or 0.0
    # A guest rarely sees its clock; where it does, and the clock moved, that explains it. So does a
    # neighbour inside, who leaves the caches full of his own data.
    inside = (figures.neighbour_share or 0.0) > MOST
    unexplained = seen.virtual and seen.stretched and not seen.clock_moved and not inside
    if stolen < QUIET and not unexplained:
        return None
    parts = []
    if stolen >= QUIET:
        parts.append(f"the hypervisor gave {percent(stolen)} of the wanted CPU time to others")
    if unexplained:
        parts.append(
            f"the CPU time of the same work varied by {percent(figures.cpu_time_variation)}, as "
            "where others use the host's caches, memory or sibling threads"
        )
    return Cause(
        name=CauseName.NEIGHBOURS_OUTSIDE,
        evidence=f"this is a virtual machine; {'; '.join(parts)}",
        remedy="measure on a machine of your own or on dedicated CPUs; here raise --repetitions "
        "and --max-time, and compare latencies in units of the sentinel, interleaved",
    )


def _smt(seen: _Seen) -> Cause | None:
    load = seen.figures.other_load_share or 0.0
    if not seen.preflight.smt or not seen.stretched or load <= BUSY_SHARE:
        return None
    return Cause(
        name=CauseName.SMT,
        evidence="two threads share a core (SMT), and other programs used "
        f"{percent(load)} of the CPUs",
        remedy="as root: echo off > /sys/devices/system/cpu/smt/control, and `on` afterwards",
    )


def _thermal(seen: _Seen) -> Cause | None:
    if seen.figures.throttled:
        evidence = "the hardware reports that it slowed the CPU down"
    elif _cooled_by_clock(seen.figures):
        evidence = "the clock fell as the chip grew hotter"
    else:
        return None
    start, end = seen.figures.temperature_start_celsius, seen.figures.temperature_end_celsius
    if start is not None and end is not None:
        evidence += f" ({start:.0f} °C at first, {end:.0f} °C at last)"
    return Cause(
        name=CauseName.THERMAL,
        evidence=evidence,
        remedy="give it a fan or more air, let it cool down between runs, or hold a lower clock "
        "(`fleetmark doctor --tune turbo`)",
    )


def _cooled_by_clock(figures: NoiseFigures) -> bool:
    start, end = figures.temperature_start_celsius, figures.temperature_end_celsius
    fell = figures.clock_change is not None and figures.clock_change < -CLOCK_CHANGE
    return fell and start is not None and end is not None and end - start > _WARMER_CELSIUS


def _undervoltage(seen: _Seen) -> Cause | None:
    if not seen.figures.undervoltage:
        return None
    return Cause(
        name=CauseName.UNDERVOLTAGE,
        evidence="the firmware saw too low a supply voltage, and caps the clock then",
        remedy="use the maker's power supply and a short, thick cable",
    )


def _governor(seen: _Seen) -> Cause | None:
    others = [name for name in seen.preflight.governors if name != PERFORMANCE]
    # A kernel that scales clocks but does not show them is taken at its governor's word.
    hidden = seen.figures.clock_variation is None and seen.stretched
    if not others or not (seen.clock_moved or hidden):
        return None
    moved = seen.figures.clock_variation
    clock = f", and the clock varied by {percent(moved)}" if moved is not None else ""
    return Cause(
        name=CauseName.GOVERNOR,
        evidence=f"the governor {', '.join(others)} lets the clock follow the load{clock}",
        remedy="as root: fleetmark doctor --tune governor",
    )


def _turbo(seen: _Seen) -> Cause | None:
    held = set(seen.preflight.governors) <= {PERFORMANCE}
    if not held or not seen.clock_moved or _thermal(seen) or seen.preflight.turbo is False:
        return None
    return Cause(
        name=CauseName.TURBO,
        evidence=f"the clock varied by {percent(seen.figures.clock_variation or 0.0)} although the "
        "governor does not change it: turbo gives what heat, power and neighbours leave",
        remedy="as root: fleetmark doctor --tune turbo, for slower but steadier figures",
    )


def _mixed_cpus(seen: _Seen) -> Cause | None:
    if not seen.figures.mixed_cpus:
        return None
    return Cause(
        name=CauseName.MIXED_CPUS,
        evidence="the work moved between CPUs whose highest clocks differ",
        remedy="measure on CPUs of one kind: `taskset -c 4-7 fleetmark …`",
    )


def _battery(seen: _Seen) -> Cause | None:
    if not seen.preflight.on_battery:
        return None
    return Cause(
        name=CauseName.BATTERY,
        evidence="the device runs on its battery, where firmware caps clocks and power",
        remedy="plug it in",
    )


def _memory(seen: _Seen) -> Cause | None:
    waited = seen.figures.memory_pressure_share or 0.0
    if waited < QUIET:
        return None
    used = seen.preflight.swap_used_bytes
    swap = f", with {used / 2**20:.0f} MiB in swap" if used else ""
    return Cause(
        name=CauseName.MEMORY,
        evidence=f"programs waited for memory in {percent(waited)} of the time{swap}",
        remedy="close other programs",
    )


def _nothing_found(seen: _Seen) -> Cause:
    figures = seen.figures
    hidden = [
        name
        for name, value in (
            ("run-queue delay", figures.run_delay_share),
            ("steal time", figures.steal_share),
            ("clocks", figures.clock_hertz),
            ("temperatures", figures.temperature_end_celsius),
        )
        if value is None
    ]
    missing = f"; this kernel does not show {', '.join(hidden)}" if hidden else ""
    return Cause(
        name=CauseName.NOTHING_FOUND,
        evidence=f"nothing that can be seen from here came in between{missing}",
        remedy="measure the noise once more, for longer; then raise --repetitions and --max-time",
    )


RULES: tuple[Callable[[_Seen], Cause | None], ...] = (
    _neighbours_inside, _neighbours_outside, _smt, _thermal, _undervoltage, _governor, _turbo,
    _mixed_cpus, _battery, _memory,
)  # fmt: skip
