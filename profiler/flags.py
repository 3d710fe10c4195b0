"""Every warning that a result can carry, each with what to do about it."""

from __future__ import annotations

from profiler.result import Flag, Latency

# Above this share of the median the clock's own cost is subtracted and said.
CLOCK_SHARE = 0.001
# Other load above this share of the machine disturbs a run.
BUSY_SHARE = 0.05
# Half-width of the median's interval that counts as converged.
CONVERGED = 0.01


def single_repetition() -> Flag:
    return Flag(
        name="single_repetition",
        detail="one process only: the variance between processes is not in the interval",
        advice="use --repetitions 5",
    )


def not_steady(repetitions: int, seconds: float) -> Flag:
    return Flag(
        name="not_steady",
        detail=f"{repetitions} repetition(s) had not settled after {seconds:.1f} s of warm-up",
        advice="raise --max-time; close other programs; fix the clock frequency",
    )


def not_converged(latency: Latency) -> Flag | None:
    if latency.p50 is None or latency.p50.value <= 0:
        return None
    low, high = latency.p50.low, latency.p50.high
    if low is None or high is None:
        detail = latency.p50_reason or "the median has no interval"
    else:
        half = (high - low) / 2 / latency.p50.value
        if half <= CONVERGED:
            return None
        detail = f"the 95 % interval of the median is ±{100 * half:.1f} %, wider than ±1 %"
    return Flag(
        name="not_converged",
        detail=detail,
        advice="raise --max-time, or quieten the device",
    )


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


def memory_pass_failed(reason: str) -> Flag:
    return Flag(
        name="memory_pass_failed",
        detail=f"the separate memory pass failed: {reason}",
        advice="the latency stands; repeat the run for the memory figures",
    )
