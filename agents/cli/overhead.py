"""``fleetmark overhead``: what measuring costs the measured, on this device."""

from __future__ import annotations

import tempfile
from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated

import psutil
import typer

from agents.cli import arguments, connection, options, show
from agents.cli.progress import WORDS, Bars
from profiler.errors import InputError
from profiler.events import ProgressEvent, WorkerRequest
from profiler.overhead.plan import OverheadPlan, Subject
from profiler.result import Interval, Overhead, OverheadFigure
from profiler.sensors.configured import sensor_setup
from profiler.sensors.setup import SensorSetup
from profiler.spec import RunSpec, Runtime

# Small enough to be disturbed, and what users of boards run.
MODEL = "torchvision:mobilenet_v3_large"
# Four blocks of a quarter of a second, for the control, the sampler and the fleet; a recorded tree
# adds as many.
SECONDS_PER_ROUND = 3.5
WARMUP_SECONDS = 1.0


def overhead(
    model: Annotated[str, typer.Argument(help="What to disturb; as for `run`.")] = MODEL,
    runtime: Annotated[str, typer.Option(help="Engine, as for `run`.")] = "onnxruntime",
    rounds: Annotated[int, typer.Option(help="Of four blocks for each suspect; at least 10.")] = 12,
    threads: arguments.Threads = None,
    root: Annotated[
        Path | None,
        typer.Option(help="Also a sampler of this recorded tree of /proc and /sys; not kept."),
    ] = None,
    sensor: arguments.Sensors = None,
    meters: arguments.Meters = None,
    input_: arguments.Inputs = None,
    seed: arguments.Seed = 0,
    as_json: arguments.AsJson = False,
) -> None:
    """Measure what the sampler and the fleet's processes on this device cost a model.

    Each is held still and let go in turn, in blocks of a quarter of a second, with a control in
    which nothing changes. It passes when the upper 95 % bound of the slow-down is below 1 %. The
    figure is kept, and later results of this device carry it. Fleet processes are found where
    `fleetmark agent` runs on this machine, under the same user.

    \b
    Examples:
      fleetmark overhead
      fleetmark overhead torchvision:resnet18 --runtime torch --rounds 20 --json
      fleetmark overhead --root recorded/orin-nano
    """
    from profiler.device.fingerprint import save_overhead
    from profiler.fit import refuse_inputs, refuse_runtime  # NumPy; not on the way to --help
    from profiler.overhead.measure import LEAST_ROUNDS

    if rounds < LEAST_ROUNDS:
        raise InputError("rounds", rounds, "bound nothing", f"Ask for {LEAST_ROUNDS} or more")
    if root is not None and not root.is_dir():
        raise InputError("root", root, "is no folder", "Give one that holds proc/ and sys/")
    setup = sensor_setup(sensor, meters)
    ref, path = options.model(model, seed)
    spec = options.build(
        RunSpec,
        model=ref,
        runtime=options.choice("runtime", runtime, Runtime),
        threads=options.one_whole_number("threads", threads) if threads is not None else None,
        inputs=options.inputs(input_),
        timeout_seconds=120 + 5 * SECONDS_PER_ROUND * rounds,
        seed=seed,
    )
    refuse_runtime(spec.runtime, ref)
    refuse_inputs(ref, path, (spec.batch_size,), spec.inputs)
    plan = OverheadPlan(
        rounds=rounds,
        hertz=spec.sample_hertz,
        fleet_pids=fleet_processes(),
        warmup_seconds=WARMUP_SECONDS,
        seed=seed,
        recorded_root=root.absolute() if root is not None else None,
    )
    found = _measured(spec, path, plan, setup)
    kept = save_overhead(connection.cache_dir(), of_this_device(found))
    if as_json:
        show.json_out(found)
        return
    _print(found, has_fleet=bool(plan.fleet_pids))
    show.note(f"kept in {kept}; results of this device carry it from now on")


def _measured(
    spec: RunSpec, path: Path | None, plan: OverheadPlan, sensors: SensorSetup
) -> Overhead:
    from profiler.overhead.measure import figures
    from profiler.pool import WorkerPool
    from profiler.session import measure_overhead

    with (
        tempfile.TemporaryDirectory(prefix="fleetmark-") as work,
        Bars() as bars,
        WorkerPool(keep=0) as pool,
    ):
        request = WorkerRequest(
            run_id="overhead",
            device="here",
            spec=spec,
            model_path=path,
            cache_dir=connection.cache_dir(),
            work_dir=Path(work),
            sensors=sensors,
        )

        def progress(event: ProgressEvent) -> None:
            bars.update(spec.model.label, event.fraction, WORDS[event.phase], event.phase)

        measured = measure_overhead(request, plan, pool, progress)
    return Overhead(
        measured_at=datetime.now(timezone.utc),
        model=spec.model.label,
        runtime=spec.runtime.value,
        figures=figures(measured.rounds),
    )


def of_this_device(found: Overhead) -> Overhead:
    """Without what reading a recorded tree costs: no run here does that."""
    own = tuple(figure for figure in found.figures if figure.what != Subject.RECORDED)
    return found.model_copy(update={"figures": own})


def fleet_processes() -> tuple[int, ...]:
    """The agent's daemon on this machine and all below it, the measured processes left out."""
    found: list[int] = []
    for process in psutil.process_iter():
        try:
            if not _is_daemon(process.cmdline()):
                continue
            family = [process, *process.children(recursive=True)]
            found += [each.pid for each in family if "profiler.worker" not in each.cmdline()]
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return tuple(found)


def _is_daemon(command: list[str]) -> bool:
    """``fleetmark agent`` as a script, or ``python -m agents.cli.main agent``."""
    names = [Path(part).name for part in command[:4]]
    programs = ("fleetmark", "agents.cli.main")
    return any(names[i : i + 2] == [program, "agent"] for i in range(3) for program in programs)


def _print(found: Overhead, *, has_fleet: bool) -> None:
    show.grid(
        ("what", "slow-down [95 % bounds]", "control", "verdict"),
        [
            (each.what, _percent(each.relative), _percent(each.control), _verdict(each))
            for each in found.figures
        ],
        f"overhead on {found.model} in {found.runtime}",
    )
    if not has_fleet:
        show.note("fleet: not measured, no `fleetmark agent` of this user runs on this machine")


def _percent(interval: Interval) -> str:
    if interval.low is None or interval.high is None:
        return f"{100 * interval.value:+.2f} %"
    bounds = f"[{100 * interval.low:+.2f}, {100 * interval.high:+.2f}]"
    return f"{100 * interval.value:+.2f} % {bounds}"


def _verdict(figure: OverheadFigure) -> str:
    if figure.passes:
        return "passes: surely below 1 %"
    if figure.relative.low is not None and figure.relative.low > 0:
        return "costs something, and not surely below 1 %"
    return "not told from nothing, and not surely below 1 %: quieten the device, or more --rounds"
