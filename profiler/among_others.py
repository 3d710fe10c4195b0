"""A run among the others of its device: what earlier ones tell of it, and it of later ones."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from profiler import flags
from profiler.device import run_history
from profiler.device.run_history import Past
from profiler.over_runs import over_runs
from profiler.result import Interval, RunResult
from profiler.spec import Scenario
from profiler.usual_speed import Seen, Usual, Within, at_usual_speed


def among_others(result: RunResult, cache_dir: Path) -> RunResult:
    """The result with what earlier runs here tell of it; it is one of them from now on."""
    middle = result.latency.p50 if result.latency else None
    if result.scenario != Scenario.SINGLE_STREAM or middle is None or middle.value <= 0:
        reason = "kept for single_stream only: other scenarios have another figure"
        update = {"over_runs_reason": reason, "at_usual_speed_reason": reason}
        return result.model_copy(update=update)
    configuration = run_history.configuration_of(result)
    past = run_history.past_runs(cache_dir, configuration)
    others = run_history.other_runs(cache_dir, configuration)
    varied = over_runs(
        middle.value,
        [each.p50_seconds for each in past],
        [[each.p50_seconds for each in runs] for runs in others],
    )
    this = _past(result, middle)
    usual = _usual(result, this, past, middle)
    if usual.found is not None:
        this = this.model_copy(update={"usual_seconds": usual.found.sentinel_seconds})
    kept = _remember(cache_dir, configuration, this)
    raised = (
        flags.wanders(middle, varied.found, usual.found)
        if varied.reason is None
        else flags.few_runs(varied.reason)
    )
    return result.model_copy(
        update={
            "over_runs": varied.found,
            "over_runs_reason": f"{varied.reason or 'this run'}{kept}" if kept else varied.reason,
            "at_usual_speed": usual.found,
            "at_usual_speed_reason": usual.reason,
            "flags": (*result.flags, *([raised] if raised else [])),
        }
    )


def _past(result: RunResult, middle: Interval) -> Past:
    sentinel = result.sentinel
    return Past(
        finished_at=result.finished_at,
        p50_seconds=middle.value,
        sentinel_kind=sentinel.kind if sentinel else None,
        sentinel_seconds=sentinel.seconds.value if sentinel else None,
    )


def _usual(result: RunResult, this: Past, past: Sequence[Past], middle: Interval) -> Usual:
    """By the runs that timed the same sentinel."""
    if this.sentinel_seconds is None or result.sentinel is None:
        return Usual(None, f"no sentinel was timed: {result.sentinel_reason}")
    same = [each for each in past if each.sentinel_kind == this.sentinel_kind]
    seen = [
        Seen(each.p50_seconds, each.sentinel_seconds)
        for each in same
        if each.sentinel_seconds is not None
    ]
    settled = same[-1].usual_seconds if same else None
    within = Within(
        middle.relative_half_width or 0.0, result.sentinel.seconds.relative_half_width or 0.0
    )
    return at_usual_speed(Seen(this.p50_seconds, this.sentinel_seconds), seen, settled, within)


def _remember(cache_dir: Path, configuration: str, this: Past) -> str:
    """Keep the run; what is to be said where that fails."""
    try:
        run_history.remember(cache_dir, configuration, this)
    except OSError as error:
        return f"; it is not kept for the next one: {error}"
    return ""
