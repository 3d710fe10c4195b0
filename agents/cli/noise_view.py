"""A noise floor in words: what was seen, what it means for a comparison, and what would help."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from agents.cli import show
from profiler.noise.floor import QUIET, Limit, NoiseFigures, NoiseFloor
from profiler.units import NOTHING, percent, seconds

_LIMITS = {
    Limit.SPREAD: "the same work takes differently long from one time to the next",
    Limit.RESOLUTION: "whole runs differ",
    Limit.LOST_TIME: "others take the CPU away",
    Limit.UNKNOWN: "its speed wanders for longer than was measured",
}


class Progress:
    """One line on stderr while it is measured; on a terminal it is written over.

    From the measuring thread and between blocks only: a bar that draws itself would be noise.
    """

    def __init__(self, total: float) -> None:
        self._total = total
        self._live = sys.stderr.isatty()
        self._shown = -1
        if not self._live:
            show.note(f"measuring the noise floor for {total:g} s; leave the device alone")

    def __call__(self, passed: float) -> None:
        whole = int(min(passed, self._total))
        if not self._live or whole == self._shown:
            return
        self._shown = whole
        text = f"\rmeasuring the noise floor: {whole} of {self._total:g} s; leave the device alone"
        sys.stderr.write(text)
        sys.stderr.flush()

    def close(self) -> None:
        if self._live and self._shown >= 0:
            sys.stderr.write("\n")


def print_floor(floor: NoiseFloor) -> None:
    """Verdict, figures and causes."""
    out = show.console()
    for line in verdict_lines(floor):
        out.print(line, markup=False)
    show.grid(("noise", "seen"), list(figure_rows(floor.figures)))
    if floor.causes:
        show.grid(
            ("cause", "what shows it", "what to do"),
            [(c.name.replace("_", " "), c.evidence, c.remedy) for c in floor.causes],
        )


def verdict_lines(floor: NoiseFloor) -> Iterator[str]:
    """Two sentences: how noisy, and what can be told apart."""
    size = f" ({percent(floor.floor)})" if floor.floor is not None else ""
    reason = "" if floor.verdict == "quiet" else f": {_LIMITS[floor.limit]}"
    yield f"This device is {floor.verdict}{size}{reason}."
    figures = floor.figures
    runs = f"Two runs of {figures.resolvable_seconds:g} s on it"
    if figures.resolvable is None:
        yield f"{runs} cannot be told apart with confidence: {figures.resolvable_reason}."
    else:
        # A neighbour who leaves, or comes, between two runs is in no figure of one measurement.
        others = (figures.run_delay_share or 0.0) + (figures.steal_share or 0.0) >= QUIET
        while_ = ", as long as the others go on as they do now" if others else ""
        least = percent(figures.resolvable)
        yield f"{runs} can be told apart when they differ by {least} or more{while_}."


def figure_rows(figures: NoiseFigures) -> Iterator[tuple[str, str]]:
    """What was measured, without what this kernel does not tell."""
    count = f"{figures.slices} slices in {figures.blocks} blocks, {figures.seconds:.1f} s"
    yield "the work", f"{seconds(figures.slice_seconds)}, {count}"
    yield "spread (interquartile)", percent(figures.spread)
    yield "99th percentile", f"{figures.tail:.2f} × the median"
    yield (
        "within a block, between blocks",
        (f"{percent(figures.within_blocks)}, {percent(figures.between_blocks)}"),
    )
    drift = figures.drift
    if drift is not None and drift.low is not None and drift.high is not None:
        bounds = f"[{percent(drift.low)}, {percent(drift.high)}]"
        yield "drift from first to last", f"{percent(drift.value)} {bounds}"
    yield "waited for a CPU", _share(figures.run_delay_share)
    if figures.undisturbed_blocks is not None:
        spread = figures.spread_undisturbed
        rest = f", spread {percent(spread)}" if spread is not None else ""
        yield "blocks without such waiting", f"{figures.undisturbed_blocks}{rest}"
    yield "stolen by the hypervisor", _share(figures.steal_share)
    yield "others on the CPUs", _share(figures.other_load_share)
    yield "CPU time of the same work varies by", percent(figures.cpu_time_variation)
    if figures.clock_hertz is not None:
        moved = f", varies by {_share(figures.clock_variation)}"
        yield "clock", f"{figures.clock_hertz / 1e9:.2f} GHz{moved}"
    if figures.temperature_end_celsius is not None:
        start = figures.temperature_start_celsius
        first = f"{start:.0f} → " if start is not None else ""
        yield "hottest", f"{first}{figures.temperature_end_celsius:.0f} °C"


def _share(value: float | None) -> str:
    return NOTHING if value is None else percent(value)
