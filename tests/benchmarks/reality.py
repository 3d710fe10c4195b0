"""The same benchmark again and again on this machine as it is, and with a hog beside it."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from statistics import median, stdev

from profiler import units
from profiler.local_run import measure_here
from profiler.result import Interval, RunResult
from profiler.spec import ArchitectureRef, Library, RunSpec, Runtime, StopSpec
from tests.benchmarks.context import Context, say, succeeded
from tests.benchmarks.report import Section, Table

NAME = "reality"
# Its full length is an hour: only by name.
LONG = True
MODEL = "mobilenet_v3_large"
ROUNDS, QUICK_ROUNDS = 20, 3
MINUTES = 60.0
SECONDS, QUICK_SECONDS = 10.0, 1.5
# What a user of a shared machine can ask for: five processes there differ by a percent or two.
TARGET = 0.03
# Runs with the hog, for so many without.
HOG_SHARE = 0.5
# These say that the run's own interval is too narrow and which figure to quote in its place, or
# that nobody can know yet.
OF_ONE_RUN = ("wanders", "few_runs")
# Flags that say that no figure may hold; the others are about something else.
DOUBTS = (
    "busy_device", "disturbed", "drift", "not_steady", "not_converged", "clocks_changed",
)  # fmt: skip
DOUBTS_OF_ONE_RUN = (*DOUBTS, *OF_ONE_RUN)


@dataclass(frozen=True)
class Figure:
    """One way to state a run's latency; ``doubts`` are the flags that are about this one."""

    title: str
    of: Callable[[RunResult], Interval | None]
    show: Callable[[float], str]
    doubts: tuple[str, ...] = DOUBTS_OF_ONE_RUN


def _undisturbed(result: RunResult) -> Interval | None:
    """Without the blocks that others disturbed; all of them where none was."""
    if result.latency_undisturbed is not None:
        return result.latency_undisturbed.p50
    reason = result.latency_undisturbed_reason or ""
    return result.latency.p50 if result.latency and "no block" in reason else None


FIGURES = (
    Figure("median", lambda r: r.latency.p50 if r.latency else None, units.seconds),
    Figure("median, undisturbed blocks only", _undisturbed, units.seconds),
    Figure(
        "median, with what earlier runs tell of the device (over_runs)",
        lambda r: r.over_runs.p50 if r.over_runs else None,
        units.seconds,
        DOUBTS,
    ),
    Figure(
        "median in units of the sentinel",
        lambda r: r.sentinel.relative_p50 if r.sentinel else None,
        lambda value: f"{value:.3g}",
    ),
    Figure(
        "median at the device's usual speed (at_usual_speed)",
        lambda r: r.at_usual_speed.p50 if r.at_usual_speed else None,
        units.seconds,
        DOUBTS,
    ),
)


@contextmanager
def hog() -> Iterator[None]:
    """A process that spins on whichever CPU the kernel gives it."""
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def run(context: Context) -> Section:
    rounds = context.rounds or (QUICK_ROUNDS if context.quick else ROUNDS)
    minutes = 0.0 if context.quick else context.minutes or MINUTES
    spec = RunSpec(
        model=ArchitectureRef(library=Library.TORCHVISION, name=MODEL),
        runtime=Runtime.ONNXRUNTIME,
        threads=context.threads,
        max_time_seconds=QUICK_SECONDS if context.quick else SECONDS,
        stop=StopSpec(relative_half_width=TARGET),
    )
    cache = context.directory / "cache"
    say(f"{NAME}: filling the cache")
    _measure(spec, cache)
    calm = _repeated(context, spec, cache, rounds, minutes * 60, nullcontext)
    beside = max(2, round(HOG_SHARE * rounds))
    hogged = _repeated(context, spec, cache, beside, 0.0, hog)
    return Section(
        name=NAME,
        text=(
            f"{MODEL} in {spec.runtime}, {spec.repetitions} repetitions, --threads "
            f"{spec.threads or 'of all CPUs'}, --max-time {spec.max_time_seconds:g} --target "
            f"{TARGET:.0%}, {rounds} times over {minutes:g} minutes, and {beside} "
            "times with a spinning process beside it. The overall median is that of the runs' own "
            "figures. A run counts as flagged by any of: "
            + ", ".join(DOUBTS_OF_ONE_RUN)
            + f". {' and '.join(OF_ONE_RUN)} are no doubt in the figures that know of other runs: "
            "they are about one that does not."
        ),
        tables=[_spreads(calm, "as it is"), _spreads(hogged, "with a hog"), _flags(calm, hogged)],
        data={
            "calm": [result.model_dump(mode="json") for result in calm],
            "hogged": [result.model_dump(mode="json") for result in hogged],
        },
    )


def _measure(spec: RunSpec, cache: Path) -> RunResult:
    return succeeded(measure_here(spec, None, cache_dir=cache).result)


def _repeated(
    context: Context,
    spec: RunSpec,
    cache: Path,
    rounds: int,
    seconds: float,
    beside: Callable[[], AbstractContextManager[None]],
) -> list[RunResult]:
    """The runs, each with ``beside`` around it: others who wait for their turn do not bear that."""
    found = []
    what = "with a hog" if beside is hog else "as it is"
    begin = time.monotonic()
    for number in range(rounds):
        due = begin + number * seconds / rounds
        time.sleep(max(0.0, due - time.monotonic()))
        with context.turn(), beside():
            found.append(_measure(spec, cache))
        say(f"{NAME}: {what}, {number + 1}/{rounds}: {', '.join(_doubts(found[-1])) or 'no flag'}")
    return found


def _doubts(result: RunResult, names: Sequence[str] = DOUBTS_OF_ONE_RUN) -> list[str]:
    return sorted({flag.name for flag in result.flags} & set(names))


def _covers(interval: Interval, value: float) -> bool:
    return (
        interval.low is not None
        and interval.high is not None
        and (interval.low <= value <= interval.high)
    )


def _spreads(results: Sequence[RunResult], title: str) -> Table:
    rows = []
    for figure in FIGURES:
        known = [(r, i) for r in results if (i := figure.of(r)) is not None]
        if len(known) < 2:
            rows.append((figure.title, str(len(known)), "—", "—", "—", "—", "—"))
            continue
        values = [interval.value for _, interval in known]
        middle = median(values)
        clean = [interval for result, interval in known if not _doubts(result, figure.doubts)]
        rows.append(
            (
                figure.title,
                str(len(known)),
                figure.show(middle),
                f"{100 * (max(values) - min(values)) / middle:.1f} %",
                f"{100 * stdev(values) / middle:.1f} %",
                _share([_covers(interval, middle) for _, interval in known]),
                _share([_covers(interval, middle) for interval in clean]),
            )
        )
    headers = (
        "figure", "runs", "overall median", "max − min", "sd",
        "interval holds the overall median", "of runs that no flag doubts",
    )  # fmt: skip
    return Table(title, headers, rows)


def _share(held: Sequence[bool]) -> str:
    return f"{sum(held)} of {len(held)}" if held else "no run"


def _flags(calm: Sequence[RunResult], hogged: Sequence[RunResult]) -> Table:
    counts = [Counter(name for r in group for name in _doubts(r)) for group in (calm, hogged)]
    rows = [
        (
            "any",
            _share([bool(_doubts(r)) for r in calm]),
            _share([bool(_doubts(r)) for r in hogged]),
        )
    ]
    rows += [
        (name, f"{counts[0][name]} of {len(calm)}", f"{counts[1][name]} of {len(hogged)}")
        for name in DOUBTS_OF_ONE_RUN
    ]
    return Table("runs that carry a flag", ("flag", "as it is", "with a hog"), rows)
