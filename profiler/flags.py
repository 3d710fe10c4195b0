"""Every warning that a result can carry, each with what to do about it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from profiler import units
from profiler.energy.idle import IdlePower
from profiler.over_runs import LEAST_PAST
from profiler.result import (
    AtUsualSpeed,
    Contention,
    Experience,
    Flag,
    Interval,
    Latency,
    OverRuns,
    Sentinel,
)
from profiler.spec import REPETITIONS, StopSpec
from profiler.throttle_report import Throttling

# Above this share of the median the clock's own cost is subtracted and said.
CLOCK_SHARE = 0.001
# Runs that differ by less are called equal: the precision that a run itself is stopped at.
WANDERING = 0.01
# Other load above this share of the machine disturbs a run.
BUSY_SHARE = 0.05
# The sentinel at both ends of a repetition differs by more than this, and by more than its jitter
# can make: the device's speed wandered.
DRIFT = 0.02
# Above this share of the iterations in disturbed blocks, the figure is the neighbours' too.
MOST_DISTURBED = 0.05
# Below this share of the time throttling moves no figure by what an interval would show.
THROTTLED_SHARE = 0.01
_THROTTLE_ADVICE = {
    "heat": "let the device cool, and give it more air or a lower clock",
    "power_limit": "the device is at its power limit: raise it, or compare at the same limit only",
    "over_current": "use a stronger supply, or a power mode that it can feed",
    "power_brake": "the supply asks for less power: look for what else it feeds",
    "cpu_quota": "raise the CPU quota of this program's control group or container",
}
_DEFAULT_STOP = StopSpec()


def joined(found: Iterable[Flag | None]) -> tuple[Flag, ...]:
    """One flag of each name, in the order of their first; details of several are put together."""
    by_name: dict[str, Flag] = {}
    for flag in found:
        if flag is None:
            continue
        first = by_name.get(flag.name)
        details = flag.detail if first is None else f"{first.detail}; {flag.detail}"
        by_name[flag.name] = (first or flag).model_copy(update={"detail": details})
    return tuple(by_name.values())


def single_repetition() -> Flag:
    return Flag(
        name="single_repetition",
        detail="one process only: the variance between processes is not in the interval",
        advice=f"use --repetitions {REPETITIONS}",
    )


def not_steady(repetitions: int, seconds: float) -> Flag:
    return Flag(
        name="not_steady",
        detail=f"{repetitions} repetition(s) had not settled after {seconds:.1f} s of warm-up",
        advice="raise --max-time; close other programs; fix the clock frequency",
    )


def not_converged(
    latency: Latency,
    stop: StopSpec = _DEFAULT_STOP,
    *,
    evident: bool = True,
    processes_differ: bool = False,
) -> Flag | None:
    """Args:
    latency: of the run.
    stop: what was asked for.
    evident: whether a narrow interval can be believed: one process that was cut before the stop
        rule was content may only look so.
    processes_differ: by far more than the iterations in each leave open.
    """
    interval: Interval | None = getattr(latency, stop.percentile)
    if interval is not None and interval.value <= 0:
        return None
    half = interval.relative_half_width if interval is not None else None
    if half is None:
        reason = getattr(latency, f"{stop.percentile}_reason")
        detail = reason or f"{stop.percentile} has no interval"
    elif stop.relative_half_width == 0 or (half <= stop.relative_half_width and evident):
        return None
    elif half <= stop.relative_half_width:
        detail = f"±{100 * half:.1f} % is narrow, but too few iterations are behind it to be sure"
    else:
        detail = (
            f"the 95 % interval of {stop.percentile} is ±{100 * half:.1f} %, wider than "
            f"±{100 * stop.relative_half_width:g} %"
        )
        if processes_differ:
            detail += "; it is the processes that differ: --repetitions helps more than --max-time"
    return Flag(
        name="not_converged",
        detail=detail,
        advice="raise --max-time or --repetitions, or quieten the device (`fleetmark doctor`)",
    )


def throughput_not_converged(half: float | None, goal: float, reason: str | None) -> Flag:
    wide = f"the 95 % interval of the throughput is ±{100 * (half or 0):.1f} %, wider than "
    return Flag(
        name="not_converged",
        detail=reason or f"{wide}±{100 * goal:g} %",
        advice="raise --max-time or --repetitions, or quieten the device (`fleetmark doctor`)",
    )


def overloaded(rate_per_second: float) -> Flag:
    return Flag(
        name="overloaded",
        detail=f"{rate_per_second:g} calls per second came faster than they were served",
        advice="offer a lower --rate, or search for the highest with --latency-bound",
    )


def device_not_settled(detail: str) -> Flag:
    return Flag(
        name="not_steady",
        detail=f"the device had not settled at the end: {detail}",
        advice="raise --settle-time and --timeout: clocks or temperatures were still on their way",
    )


def late_start(detail: str) -> Flag:
    return Flag(
        name="late_start",
        detail=detail,
        advice="stop what else runs on the device: calls that found it idle began late",
    )


def drift(sentinel: Sentinel | None) -> Flag | None:
    if sentinel is None or sentinel.drift <= max(DRIFT, sentinel.drift_by_chance):
        return None
    return Flag(
        name="drift",
        detail=(
            "the device's own speed changed while it measured: the same fixed work took "
            f"{100 * sentinel.drift:.1f} % longer or shorter at the begin of a repetition than at "
            "its end"
        ),
        advice=(
            "compare latencies in units of the sentinel; `fleetmark doctor --noise` says what "
            "moves the device's speed"
        ),
    )


def disturbed(contention: Contention | None) -> Flag | None:
    if contention is None or contention.disturbed_share <= MOST_DISTURBED:
        return None
    return Flag(
        name="disturbed",
        detail=(
            f"{100 * contention.disturbed_share:.0f} % of the iterations are in blocks in which "
            "other work held a CPU that the model was waiting for"
        ),
        advice="stop what else runs on the device; latency_undisturbed leaves those blocks out",
    )


def few_runs(reason: str) -> Flag:
    """Nobody can know yet how far the runs of this device lie apart.

    Args:
        reason: how many runs are known, of how many that it takes.
    """
    return Flag(
        name="few_runs",
        detail=f"{reason}; the interval holds for the seconds measured, not for another hour",
        advice=(
            f"run one configuration {LEAST_PAST + 1} times, which tells it for the device's others "
            "too; or compare in one go, with `fleetmark compare A B` or a sweep"
        ),
    )


def wanders(
    interval: Interval, found: OverRuns | None, usual: AtUsualSpeed | None = None
) -> Flag | None:
    """Runs of this configuration differ by more than the interval of this one shows."""
    if found is None:
        return None
    half, wide = interval.relative_half_width, found.p50.relative_half_width
    if half is None or wide is None or wide <= max(half, WANDERING):
        return None
    of = "this configuration" if found.of is Experience.CONFIGURATION else "other configurations"
    return Flag(
        name="wanders",
        detail=(
            f"the last {found.runs} runs of {of} on this device lie "
            f"within ±{100 * wide:.1f} %; this run alone shows ±{100 * half:.1f} %"
        ),
        advice=(
            f"quote {_at_usual_speed(usual)}; compare in one go, with `fleetmark compare A B` or a "
            "sweep; `fleetmark doctor --noise` says what moves the device's speed"
        ),
    )


def _at_usual_speed(found: AtUsualSpeed | None) -> str:
    if found is None:
        return "over_runs.p50"
    shown = units.interval(found.p50.value, found.p50.low, found.p50.high)
    return f"over_runs.p50 or, at the device's usual speed, {shown}"


def busy_device(share: float) -> Flag | None:
    if share <= BUSY_SHARE:
        return None
    return Flag(
        name="busy_device",
        detail=f"other programs used {100 * share:.0f} % of the machine's CPU time during the run",
        advice="stop what else runs on the device, or compare only runs with the same load",
    )


def cpu_fallback(detail: str) -> Flag:
    return Flag(
        name="cpu_fallback",
        detail=detail,
        advice="the figure is not the accelerator's; choose a runtime that has these operators",
    )


def clock_overhead(overhead_seconds: float, median_seconds: float) -> Flag | None:
    if overhead_seconds <= CLOCK_SHARE * median_seconds:
        return None
    return Flag(
        name="clock_overhead",
        detail=(
            f"reading the clock costs {1e9 * overhead_seconds:.0f} ns, more than 0.1 % of the "
            "median; it was subtracted from every iteration"
        ),
        advice="use a larger --batch-size to measure so short a call",
    )


def sampler_lost(reason: str) -> Flag:
    return Flag(
        name="sampler_lost",
        detail=f"the sampler did not deliver its readings: {reason}",
        advice="run `fleetmark sensors` on the device; a source may block",
    )


def sensor_failed(found: Sequence[str]) -> Flag | None:
    if not found:
        return None
    return Flag(
        name="sensor_failed",
        detail="; ".join(found),
        advice=(
            "run `fleetmark sensors` on the device, and look into the kernel's log (dmesg); what "
            "was not read is missing from the figures, never guessed"
        ),
    )


def energy_disagree(sensor: str, counted_watts: float, polled_watts: float, apart: float) -> Flag:
    return Flag(
        name="energy_disagree",
        detail=(
            f"{sensor}: its energy counter and its power readings are {100 * apart:.0f} % apart "
            f"({counted_watts:.3g} W and {polled_watts:.3g} W)"
        ),
        advice=(
            "one of the two is wrong: compare both with an external meter before you use either"
        ),
    )


def idle_power_drift(idle: IdlePower, apart: float) -> Flag:
    return Flag(
        name="idle_power_drift",
        detail=(
            f"idle power was {idle.before_watts:.3g} W before the iterations and "
            f"{idle.after_watts:.3g} W after them, {100 * apart:.0f} % apart"
        ),
        advice=(
            "the net energy is less certain than it says: let the device warm up first, and stop "
            "what else runs on it"
        ),
    )


def sensor_resonance(shifted_seconds: float) -> Flag | None:
    if shifted_seconds <= 0:
        return None
    return Flag(
        name="sensor_resonance",
        detail=(
            "the iterations kept in step with a sensor of energy; pauses of random length between "
            f"blocks, {shifted_seconds:.2g} s in all, broke it. Their idle power is in the gross "
            "joules and not in the net ones"
        ),
        advice="use net_energy_joules, or another --batch-size, which takes other time",
    )


def throttled(throttling: Throttling | None) -> Flag | None:
    if throttling is None or throttling.share < THROTTLED_SHARE:
        return None
    causes = "; ".join(
        f"{each.cause} ({each.source}) for {100 * each.share:.0f} % of the time"
        for each in throttling.causes
    )
    return Flag(
        name="throttled",
        detail=f"the device lowered its clocks while it measured: {causes}",
        advice=_THROTTLE_ADVICE.get(
            throttling.causes[0].cause, "let it cool, or measure with a clock that it can hold"
        )
        + "; latency_unthrottled leaves those iterations out",
    )


def low_voltage(share: float | None) -> Flag | None:
    if not share:
        return None
    return Flag(
        name="low_voltage",
        detail=(
            f"the supply's voltage was too low for {100 * share:.0f} % of the timed part, and the "
            "board lowers its clocks then"
        ),
        advice="use the supply and the cable that the board's maker asks for",
    )


def memory_pass_failed(reason: str) -> Flag:
    return Flag(
        name="memory_pass_failed",
        detail=f"the separate memory pass failed: {reason}",
        advice="the latency stands; repeat the run for the memory figures",
    )
