"""``fleetmark doctor``: what would make figures, or this machine's part in a fleet, go wrong."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated

import typer

from agents.cli import noise_view, options, show
from agents.cli.checks import Check, Verdict, run_checks
from profiler.base import Frozen
from profiler.errors import InputError
from profiler.noise.floor import FULL_SECONDS, QUICK_SECONDS, NoiseFloor
from profiler.result import KnobName, TuneReport, TuneSetting
from profiler.tuning.knobs import KNOBS, jetson_advice
from profiler.tuning.tune import STATE_DIR, keep, restore_all

_KNOBS_HELP = "; ".join(f"{knob.name}: {knob.what}" for knob in KNOBS)


class Diagnosis(Frozen):
    """The answer of ``--json``; ``tuned`` and ``restored`` where that was asked for."""

    checks: tuple[Check, ...]
    noise: NoiseFloor | None = None
    tuned: TuneReport | None = None
    restored: TuneReport | None = None


def doctor(
    noise: Annotated[
        bool, typer.Option("--noise", help="Measure how finely this device can measure.")
    ] = False,
    quick: Annotated[
        bool, typer.Option("--quick", help=f"With --noise: {QUICK_SECONDS:g} s.")
    ] = False,
    tune: Annotated[
        str | None,
        typer.Option(metavar="KNOB[,…]", help=f"Set and verify, as root. {_KNOBS_HELP}."),
    ] = None,
    restore: Annotated[
        bool, typer.Option("--restore", help="Put back what --tune or a killed run set.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print data instead of a table.")] = False,
) -> None:
    """Look for what would make figures, or this machine's part in a fleet, go wrong.

    \b
    Examples:
      fleetmark doctor
      fleetmark doctor --noise --quick
      fleetmark doctor --tune governor
      fleetmark doctor --tune governor,turbo --noise
      fleetmark doctor --restore
      fleetmark doctor --json
    """
    knobs = options.choices("tune", tune, KnobName) if tune is not None else ()
    _refuse_contradictions(noise=noise, quick=quick, knobs=knobs, restore=restore)
    # First, so that all that follows is about the device as it is then.
    tuned = keep(knobs, state_dir=STATE_DIR) if knobs else None
    restored = restore_all(state_dir=STATE_DIR) if restore else None
    diagnosis = Diagnosis(checks=run_checks(), tuned=tuned, restored=restored)
    if not as_json:
        _print(diagnosis)
    if noise:
        floor = _measure(QUICK_SECONDS if quick else FULL_SECONDS)
        diagnosis = diagnosis.model_copy(update={"noise": floor})
        if not as_json:
            noise_view.print_floor(floor)
    if as_json:
        show.json_out(diagnosis)
    if any(check.verdict is Verdict.PROBLEM for check in diagnosis.checks):
        raise typer.Exit(1)


def _refuse_contradictions(
    *, noise: bool, quick: bool, knobs: Sequence[KnobName], restore: bool
) -> None:
    if quick and not noise:
        raise InputError(
            "quick", "", "is about measuring the noise floor", "Say --noise --quick, or neither"
        )
    if knobs and restore:
        raise InputError("restore", "", "contradicts --tune", "Set first, measure, then --restore")


def _measure(seconds: float) -> NoiseFloor:
    from profiler.noise.floor import measure_noise
    from profiler.sentinel import LayersWork  # NumPy; not on the way to --help

    progress = noise_view.Progress(seconds)
    try:
        return measure_noise(LayersWork(), seconds, on_progress=progress)
    finally:
        progress.close()


def _print(diagnosis: Diagnosis) -> None:
    show.grid(
        ("what", "verdict", "found", "what to do"),
        [(c.name, c.verdict.value, c.found, c.remedy) for c in diagnosis.checks],
    )
    if diagnosis.tuned is not None:
        _print_settings(diagnosis.tuned, "set and read back", lambda s: s.after or "")
        show.note("when you have measured, as root: fleetmark doctor --restore")
        if (advice := jetson_advice()) is not None:
            show.note(f"what only NVIDIA's own tools set on a Jetson: {advice}")
    if diagnosis.restored is not None:
        if not diagnosis.restored.settings:
            show.note("nothing was set by fleetmark, so nothing was put back")
        else:
            _print_settings(diagnosis.restored, "put back", lambda s: s.restored or "")


def _print_settings(report: TuneReport, heading: str, end: Callable[[TuneSetting], str]) -> None:
    """One line for each knob and value: a server has hundreds of CPUs."""
    groups: dict[tuple[str, str, str, str], int] = {}
    for setting in report.settings:
        key = (setting.knob, setting.before, end(setting), setting.note or "")
        groups[key] = groups.get(key, 0) + 1
    show.grid(
        (heading, "files", "before", "now", ""),
        [(knob, str(n), before, now, note) for (knob, before, now, note), n in groups.items()],
    )
