"""What the state of the device means for a figure: warnings, each with what to do about it."""

from __future__ import annotations

from profiler.result import Flag, Preflight

# Percent of the last 10 s; above it others disturb a run, as with ``flags.BUSY_SHARE``.
PRESSURE_PERCENT = 5.0
# A chip this close to its trip point reaches it within the run: a core warms up by some 10 °C in
# its first seconds of full load.
NEAR_THROTTLING_CELSIUS = 10.0
# Where the kernel names no trip point. A Raspberry Pi slows down from 80 °C on (Raspberry Pi
# documentation, "Frequency management and thermal control"); others do later.
HOT_CELSIUS = 80.0 - NEAR_THROTTLING_CELSIUS
# Relative; a clock that is held moves by less (MHz of several GHz).
CLOCK_CHANGE = 0.02

PERFORMANCE = "performance"


def preflight_flags(before: Preflight, after: Preflight | None = None) -> list[Flag]:
    """Warnings about the state of the device.

    Turbo is none: it is on almost everywhere, and recorded. The pressure on the CPUs after a run is
    the run's own, so only the one before counts; that on memory counts at any time.

    Args:
        before: the state before the first repetition.
        after: the state after the last; ``None`` where it was not read.
    """
    states = [before] if after is None else [before, after]
    found = (
        governor(before),
        on_battery(states),
        power_mode(before),
        hot_start(before),
        busy(before),
        memory_pressure(states),
        accelerator_shared(states),
        clocks_changed(before, after) if after else None,
    )
    return [flag for flag in found if flag is not None]


def governor(state: Preflight) -> Flag | None:
    others = [name for name in state.governors if name != PERFORMANCE]
    if not others:
        return None
    return Flag(
        name="governor",
        detail=f"the CPU's clock follows its load (governor {', '.join(others)})",
        advice="fleetmark doctor --tune governor, as root, and --restore afterwards",
    )


def on_battery(states: list[Preflight]) -> Flag | None:
    if not any(state.on_battery for state in states):
        return None
    return Flag(
        name="on_battery",
        detail="the device runs on its battery, which lowers and varies its clocks",
        advice="plug it in",
    )


def power_mode(state: Preflight) -> Flag | None:
    if state.power_mode_highest is not False:
        return None
    if "nvpmodel" in (state.power_mode or ""):
        advice = "`sudo nvpmodel -m` with the number of the highest mode in /etc/nvpmodel.conf"
    else:
        advice = "fleetmark doctor --tune profile,preference, or compare only figures of this mode"
    return Flag(
        name="power_mode",
        detail=f"the device could be faster in another power mode; it is in {state.power_mode}",
        advice=advice,
    )


def hot_start(state: Preflight) -> Flag | None:
    margin = state.throttle_margin_celsius
    name, hottest = max(
        state.temperatures_celsius.items(), key=lambda item: item[1], default=("", 0.0)
    )
    if margin is not None:
        if margin >= NEAR_THROTTLING_CELSIUS:
            return None
        detail = f"{margin:.0f} °C below the temperature at which the kernel slows the device down"
    else:
        if hottest < HOT_CELSIUS:
            return None
        detail = f"{name} is at {hottest:.0f} °C"
    return Flag(
        name="hot_start",
        detail=f"the device was hot before anything ran: {detail}",
        advice="let it cool down, or give it a fan or more air",
    )


def busy(state: Preflight) -> Flag | None:
    waited = state.cpu_pressure_avg10
    if waited is None or waited <= PRESSURE_PERCENT:
        return None
    return Flag(
        name="busy_device",
        detail=f"in {waited:.0f} % of the 10 s before the run some program waited for a CPU",
        advice="stop what else runs on the device, or compare only runs with the same load",
    )


def memory_pressure(states: list[Preflight]) -> Flag | None:
    """Full memory shows as time spent waiting for it; pages in swap alone may be years old."""
    for state in states:
        waited = state.memory_pressure_avg10
        if waited is None or waited <= PRESSURE_PERCENT:
            continue
        used = state.swap_used_bytes
        swap = f", {used / 2**20:.0f} MiB are in swap" if used else ""
        return Flag(
            name="memory_pressure",
            detail=f"programs waited for memory in {waited:.0f} % of 10 s{swap}",
            advice="close other programs, or measure a smaller model or batch",
        )
    return None


def accelerator_shared(states: list[Preflight]) -> Flag | None:
    """Of what draws the screen only the name is recorded: every desktop has it."""
    found = {
        process.pid: process
        for state in states
        for process in state.accelerator_processes or ()
        if process.kind == "compute"
    }
    if not found:
        return None
    names = ", ".join(f"{p.name or 'unknown'} (pid {p.pid})" for p in found.values())
    return Flag(
        name="accelerator_shared",
        detail=f"other programs compute on the GPU: {names}",
        advice="stop them, or choose another GPU with --accelerator cuda:N",
    )


def clocks_changed(before: Preflight, after: Preflight) -> Flag | None:
    """Only where the governor holds the clock; elsewhere an idle CPU's clock says nothing."""
    held = before.governors == after.governors == (PERFORMANCE,)
    if not held or not before.cpu_clock_hertz or not after.cpu_clock_hertz:
        return None
    first, last = max(before.cpu_clock_hertz), max(after.cpu_clock_hertz)
    if first <= 0 or abs(last / first - 1) <= CLOCK_CHANGE:
        return None
    return Flag(
        name="clocks_changed",
        detail=f"the highest CPU clock was {first / 1e9:.2f} GHz before and {last / 1e9:.2f} after",
        advice="look for heat or a power limit; `fleetmark doctor --tune turbo` holds it lower",
    )
