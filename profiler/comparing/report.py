"""Comparisons in words."""

from __future__ import annotations

import math

from profiler.comparing.comparison import Basis, Comparison, Verdict
from profiler.result import Interval, RunResult
from profiler.units import NOTHING

# From here on a factor is easier to grasp than a percentage.
_FACTOR = 2.0
_UNITS = {
    Basis.WALL_CLOCK: "",
    Basis.SENTINEL: " in units of the sentinel",
    Basis.USUAL_SPEED: " at the device's usual speed",
}
_PHRASES = (
    ("precision", "at {}"),
    ("runtime", "in {}"),
    ("accelerator", "on {}"),
    ("device", "on {}"),
    ("batch_size", "at batch size {}"),
    ("threads", "with {} thread(s)"),
    ("scenario", "in {}"),
)


def names(baseline: RunResult, candidate: RunResult) -> tuple[str, str]:
    """What to call the two: by what they differ in; ``before`` where that is nothing."""
    phrases = [
        (phrase.format(getattr(baseline, name)), phrase.format(getattr(candidate, name)))
        for name, phrase in _PHRASES
        if getattr(baseline, name) != getattr(candidate, name)
    ]
    old = [pair[0] for pair in phrases]
    if baseline.model_info.source == candidate.model_info.source:
        return " ".join(old) or "before", " ".join([candidate.model, *(p[1] for p in phrases)])
    first, second = baseline.model, candidate.model
    if first == second:
        # The same architecture of two libraries.
        first, second = baseline.model_info.source, candidate.model_info.source
    return " ".join([first, *old]), " ".join([second, *(p[1] for p in phrases)])


def sentence(found: Comparison) -> str:
    """``resnet18 is 3.2 % slower than before: ratio 1.032 [1.021, 1.044] (5 and 5 processes)``."""
    return " ".join([f"{_verdict(found)}.", *found.notes])


def _verdict(found: Comparison) -> str:
    candidate, baseline, figures = found.candidate, found.baseline, _figures(found)
    if found.refusals:
        listed = ", ".join(map(str, found.refusals))
        return f"No verdict on {candidate}: the two differ in {listed}; {figures}"
    if found.verdict is Verdict.SAME:
        return f"{candidate} is as fast as {baseline}, within ±{percent(found.margin)}: {figures}"
    if found.verdict.winner:
        return f"{candidate} {_by_how_much(found)} {baseline}: {figures}"
    question = f"It cannot be told whether {candidate} is faster or slower than {baseline}"
    return f"{question}: {figures}; {found.reason}" if found.reason else f"{question}: {figures}"


def _by_how_much(found: Comparison) -> str:
    value = found.ratio.value if found.ratio else 1.0
    # As it will be shown: 1.9999 is 2.
    if round(value, 2) >= _FACTOR:
        return f"takes {_times(value)} times as long as"
    if value > 0 and round(1 / value, 2) >= _FACTOR:
        return f"is {_times(1 / value)} times as fast as"
    return f"is {percent(abs(value - 1))} {found.verdict.value} than"


def _times(factor: float) -> str:
    many = 100
    return f"{factor:.2f}" if factor < many else f"{factor:.0f}"


def _figures(found: Comparison) -> str:
    if found.ratio is None:
        return "there is no ratio"
    unit = _UNITS[found.basis]
    counts = f"{found.baseline_processes} and {found.candidate_processes} processes"
    rounds = f"{found.rounds} rounds, " if found.rounds is not None else ""
    return f"ratio {ratio(found.ratio)}{unit} ({rounds}{counts})"


def percent(share: float) -> str:
    """``0.032`` → ``3.2 %``, ``0.01`` → ``1 %``; below 1 % two digits that count."""
    value = 100 * share
    return f"{value:.2g} %" if value < 1 else f"{value:.1f}".removesuffix(".0") + " %"


def ratio(interval: Interval) -> str:
    """``1.032 [1.021, 1.044]``; as many decimals as the interval's width can use."""
    low, high = interval.low, interval.high
    if low is None or high is None:
        return f"{_number(interval.value, 3)} [{NOTHING}]"
    half = (high - low) / 2
    # Two digits of the half-width, but no fewer than three decimals and no more than six.
    digits = 3 if half <= 0 else max(3, min(6, 1 - math.floor(math.log10(half))))
    texts = (_number(each, digits) for each in (interval.value, low, high))
    return "{} [{}, {}]".format(*texts)


def _number(value: float, decimals: int) -> str:
    """A small or large ratio with digits that count, not with zeros or tens of places."""
    small, large = 0.1, 1000.0
    return f"{value:.{decimals}f}" if small <= value < large else f"{value:.3g}"
