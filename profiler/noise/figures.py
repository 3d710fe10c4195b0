"""What a recording of a fixed piece of work says about the device: pure functions on its blocks.

The resolvable difference
-------------------------
A run of D seconds is D / b blocks of b seconds, whose medians have the standard deviation s between
them (relative to their mean) and the integrated autocorrelation time tau. The standard error of a
run's level is then ``s sqrt(tau b / D)`` (Sokal 1997, "Monte Carlo methods in statistical
mechanics", section 2) and that of the difference of two runs ``sqrt(2)`` times as much. The
smallest difference that a test at 95 % finds in 4 of 5 cases is
``(t(0.975) + t(0.8)) s sqrt(2 tau b / D)`` (Bloom 1995, "Minimum detectable effects", Evaluation
Review 19(5)), with the degrees of freedom that the estimate of tau has.

What wanders more slowly than was measured cannot be seen, so a run that is longer than the
measurement is not taken to average more; and what differs between processes is not in it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from profiler.autocorrelation import correlation
from profiler.disturbance import DISTURBED_SHARE
from profiler.noise.floor import QUIET, NoiseFigures
from profiler.noise.trace import Block
from profiler.result import Interval

CONFIDENCE = 0.95
POWER = 0.8
# Of the effective number of blocks; with fewer it is not known how blocks differ.
LEAST_EFFECTIVE = 3.0
# Slices at this quantile had the device to themselves.
PACE_QUANTILE = 0.05
# From the slow to the fast: all but the extremes, which single interrupts make.
_WIDE = (0.1, 0.9)
# Of these a line or a correlation can be told.
_LEAST_BLOCKS = 4

Floats = NDArray[np.float64]


class Resolvable(NamedTuple):
    """The smallest difference that can be told, relative, or the reason why none is known."""

    value: float | None
    reason: str | None


def summarise(blocks: Sequence[Block], run_seconds: float) -> NoiseFigures:
    """All figures.

    Args:
        blocks: in the order of measurement, at least one.
        run_seconds: length of the runs that the resolvable difference is given for.
    """
    slices = np.concatenate([block.slices_ns for block in blocks]) / 1e9
    medians = np.array([np.median(block.slices_ns) for block in blocks]) / 1e9
    middle = float(np.median(slices))
    seconds = sum(block.seconds for block in blocks)
    found = resolvable(medians, seconds / len(blocks), run_seconds)
    clean = undisturbed(blocks)
    clocks = _relative_clocks(blocks)
    temperatures = _known(blocks, lambda b: b.temperature_celsius)
    return NoiseFigures(
        seconds=seconds,
        blocks=len(blocks),
        slices=len(slices),
        slice_seconds=middle,
        spread=_iqr(slices) / middle,
        tail=float(np.quantile(slices, 0.99)) / middle,
        within_blocks=float(np.median([_iqr(b.slices_ns / 1e9) for b in blocks])) / middle,
        between_blocks=_iqr(medians) / middle,
        drift=drift(blocks, medians),
        resolvable=found.value,
        resolvable_reason=found.reason,
        resolvable_seconds=run_seconds,
        run_delay_share=_share(blocks, lambda b: b.run_delay_seconds, lambda b: b.seconds),
        run_delay_correlation=run_delay_correlation(blocks),
        neighbour_share=neighbour_share(blocks, slices),
        undisturbed_blocks=None if clean is None else len(clean),
        spread_undisturbed=_spread(clean) if clean else None,
        steal_share=_share(blocks, lambda b: b.stolen_seconds, _wanted),
        cpu_pressure_share=_share(blocks, lambda b: b.cpu_pressure_seconds, lambda b: b.seconds),
        memory_pressure_share=_share(
            blocks, lambda b: b.memory_pressure_seconds, lambda b: b.seconds
        ),
        other_load_share=_share(blocks, _others, lambda b: b.machine_seconds),
        cpu_time_variation=_wide(np.array([b.cpu_seconds / len(b.slices_ns) for b in blocks])),
        involuntary_switches=sum(block.involuntary_switches for block in blocks),
        clock_hertz=_median(_known(blocks, lambda b: b.clock_hertz)),
        clock_variation=_wide(clocks) if len(clocks) else None,
        clock_change=_change(clocks),
        mixed_cpus=_mixed(blocks),
        temperature_start_celsius=temperatures[0] if temperatures else None,
        temperature_end_celsius=temperatures[-1] if temperatures else None,
        throttled=_any(block.throttled for block in blocks),
        undervoltage=_any(block.undervoltage for block in blocks),
    )


def resolvable(medians: Floats, block_seconds: float, run_seconds: float) -> Resolvable:
    """See the module's text.

    Args:
        medians: seconds of each block's median slice, in the order of measurement.
        block_seconds: length of a block.
        run_seconds: length of each of the two runs.
    """
    from scipy.special import stdtrit  # 0.1 s to import; not on the way to --help

    if len(medians) < _LEAST_BLOCKS:
        return Resolvable(None, f"{len(medians)} blocks were measured, {_LEAST_BLOCKS} are needed")
    found = correlation(medians)
    if found.effective < LEAST_EFFECTIVE or found.freedom < 1:
        return Resolvable(
            None,
            f"the device wanders more slowly than could be seen in {len(medians)} blocks of "
            f"{block_seconds:.2f} s; measure for longer",
        )
    blocks = min(run_seconds / block_seconds, float(len(medians)))
    relative = float(medians.std(ddof=1) / medians.mean())
    error = relative * (2 * min(1.0, found.time / blocks)) ** 0.5
    quantiles = (stdtrit(found.freedom, p) for p in ((1 + CONFIDENCE) / 2, POWER))
    return Resolvable(float(sum(quantiles)) * error, None)


def drift(blocks: Sequence[Block], medians: Floats) -> Interval | None:
    """Change over the whole time, relative, by the Theil-Sen line: outliers do not move it.

    Its bounds are Sen's (1968, "Estimates of the regression coefficient based on Kendall's tau",
    Journal of the American Statistical Association 63), which hold for independent blocks.
    """
    from scipy.stats import theilslopes

    if len(blocks) < _LEAST_BLOCKS:
        return None
    times = np.array([block.start_ns for block in blocks], dtype=np.float64)
    line = theilslopes(medians, times, CONFIDENCE)
    scale = float(times[-1] - times[0]) / float(np.median(medians))
    return Interval(
        value=float(line[0]) * scale, low=float(line[2]) * scale, high=float(line[3]) * scale
    )


def undisturbed(blocks: Sequence[Block]) -> list[Block] | None:
    """Blocks that a run would not tag as disturbed; ``None``: waiting is not counted here."""
    if any(block.run_delay_seconds is None for block in blocks):
        return None
    return [b for b in blocks if (b.run_delay_seconds or 0.0) <= DISTURBED_SHARE * b.seconds]


def run_delay_correlation(blocks: Sequence[Block]) -> float | None:
    """Of the mean slice of a block with its delay; ``None`` where one of them does not vary."""
    delays = np.array(_known(blocks, lambda b: b.run_delay_seconds))
    means = np.array([block.slices_ns.mean() for block in blocks])
    if len(delays) < max(len(means), _LEAST_BLOCKS) or not delays.std() or not means.std():
        return None
    return float(np.corrcoef(delays, means)[0, 1])


def neighbour_share(blocks: Sequence[Block], slices: Floats) -> float | None:
    """Of the time beyond the pace of undisturbed slices, what was waiting for a CPU.

    ``None`` where there is too little such time for its parts to mean anything.
    """
    delays = _known(blocks, lambda b: b.run_delay_seconds)
    pace = float(np.quantile(slices, PACE_QUANTILE))
    beyond = float(np.maximum(slices - pace, 0.0).sum())
    if len(delays) < len(blocks) or beyond < QUIET * float(slices.sum()):
        return None
    return min(1.0, sum(delays) / beyond)


def _wanted(block: Block) -> float | None:
    """CPU time that this system had or would have had."""
    if block.busy_seconds is None or block.stolen_seconds is None:
        return None
    return block.busy_seconds + block.stolen_seconds


def _others(block: Block) -> float | None:
    return None if block.busy_seconds is None else block.busy_seconds - block.cpu_seconds


def _known(blocks: Sequence[Block], value: Callable[[Block], float | None]) -> list[float]:
    return [found for block in blocks if (found := value(block)) is not None]


def _share(
    blocks: Sequence[Block],
    part: Callable[[Block], float | None],
    whole: Callable[[Block], float | None],
) -> float | None:
    """Over all blocks together: the kernel's ticks are too coarse for one."""
    pairs = [(a, b) for x in blocks if (a := part(x)) is not None and (b := whole(x)) is not None]
    total = sum(b for _, b in pairs)
    return min(1.0, max(0.0, sum(a for a, _ in pairs) / total)) if total > 0 else None


def _spread(blocks: Sequence[Block]) -> float:
    slices = np.concatenate([block.slices_ns for block in blocks]) / 1e9
    return _iqr(slices) / float(np.median(slices))


def _iqr(values: Floats) -> float:
    first, third = np.quantile(values, [0.25, 0.75])
    return float(third - first)


def _wide(values: Floats) -> float:
    """From the slow to the fast, relative to the middle."""
    low, high = np.quantile(values, _WIDE)
    middle = float(np.median(values))
    return float(high - low) / middle if middle > 0 else 0.0


def _median(values: Sequence[float]) -> float | None:
    return float(np.median(values)) if values else None


def _relative_clocks(blocks: Sequence[Block]) -> Floats:
    """Clocks over the highest of the CPU that ran; a smaller core's clock is no change of clock."""
    return np.array(
        [
            b.clock_hertz / (b.highest_clock_hertz or 1.0)
            for b in blocks
            if b.clock_hertz is not None
        ]
    )


def _change(clocks: Floats) -> float | None:
    """From the first quarter of the values to the last, relative."""
    quarter = len(clocks) // 4
    if not quarter:
        return None
    return float(np.median(clocks[-quarter:]) / np.median(clocks[:quarter])) - 1.0


def _mixed(blocks: Sequence[Block]) -> bool | None:
    highest = _known(blocks, lambda b: b.highest_clock_hertz)
    return len(set(highest)) > 1 if highest else None


def _any(marks: Iterable[bool | None]) -> bool | None:
    known = [mark for mark in marks if mark is not None]
    return any(known) if known else None
