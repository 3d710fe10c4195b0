"""What the sampler costs a model of about 5 ms: of this machine's sensors, and of a Jetson's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from profiler import units
from profiler.errors import FleetmarkError
from profiler.events import WorkerRequest
from profiler.overhead.measure import LEAST_ROUNDS, PASSES_BELOW, figures
from profiler.overhead.plan import OverheadPlan, Round, Subject
from profiler.pool import WorkerPool
from profiler.result import Interval, OverheadFigure, RunResult
from profiler.sensors.discover import discover
from profiler.session import measure_overhead, new_work_dir, run_worker
from profiler.spec import ArchitectureRef, Library, RunSpec, Runtime
from tests.benchmarks.context import Context, say, succeeded
from tests.benchmarks.report import Section, Table

NAME = "perturbation"
MODEL = "mobilenet_v3_large"
RUNTIME = Runtime.ONNXRUNTIME
HERTZ = 10.0
# The batch is as large as brings a call closest to this.
CALL_SECONDS = 0.005
TRIAL_SECONDS = 1.0
# All of its sources are read from copies of the kernel's files, by the code that a Jetson runs.
TREE = Path(__file__).parents[1] / "fixtures" / "sysfs" / "jetson-orin-nano"
ROUNDS, QUICK_ROUNDS = 100, LEAST_ROUNDS
# Of one process; then others may have their turn, and another process goes on.
ROUNDS_IN_A_TURN = 10
WARMUP_SECONDS = 1.0
TIMEOUT_SECONDS = 300.0

TITLES = {
    Subject.SAMPLER.value: "sampler of this machine",
    Subject.RECORDED.value: "sampler of a recorded Jetson Orin Nano",
}


def run(context: Context) -> Section:
    if not discover(TREE).channels:
        raise FleetmarkError(f"{TREE} holds no sensor: this table would say nothing")
    rounds = max(context.rounds or (QUICK_ROUNDS if context.quick else ROUNDS), LEAST_ROUNDS)
    batch_size, measured = _measured(context, rounds)
    found = figures(measured)
    at_rest = sorted(each for one in measured for each in one.still)
    threads = "as many as CPUs" if context.threads is None else str(context.threads)
    return Section(
        name=NAME,
        text=(
            f"{MODEL} in {RUNTIME.value}, batch size {batch_size}, threads {threads}: "
            f"{units.seconds(at_rest[len(at_rest) // 2])} at rest, median. Samplers at "
            f"{HERTZ:g} Hz, {rounds} rounds of each in processes of {ROUNDS_IN_A_TURN}. "
            "In a round a sampler is held still and let go in blocks of a quarter of a second, "
            "A B B A or B A A B; in the control nothing changes. Slow-down with its 95 % bounds; "
            f"it passes when the upper one is below {PASSES_BELOW:.0%}. "
            f"This machine: {_sources(Path('/'))}. The recorded tree: {_sources(TREE)}; its files "
            "are read as a Jetson's are, but without the time that the Jetson's drivers take to "
            "ask their chips."
        ),
        tables=[
            Table(
                "relative slow-down",
                ("", "slow-down", "lower bound", "upper bound", "pairs", "passes"),
                [*map(_row, found), _control(found[0])],
            )
        ],
        data={
            "batch_size": batch_size,
            "rounds": [each.model_dump(mode="json") for each in measured],
            "figures": [each.model_dump(mode="json") for each in found],
        },
    )


def _measured(context: Context, rounds: int) -> tuple[int, list[Round]]:
    """The batch size, and all rounds with it."""
    measured: list[Round] = []
    with WorkerPool() as pool:
        with context.turn():
            trial = succeeded(run_worker(_request(context, "trial", 1), pool=pool))
        batch_size = fitting(trial)
        for begin in range(0, rounds, ROUNDS_IN_A_TURN):
            say(f"{NAME}: round {begin + 1} of {rounds}")
            plan = OverheadPlan(
                rounds=min(ROUNDS_IN_A_TURN, rounds - begin),
                hertz=HERTZ,
                fleet_pids=(),
                warmup_seconds=WARMUP_SECONDS,
                seed=begin,
                recorded_root=TREE,
            )
            with context.turn():
                request = _request(context, str(begin), batch_size)
                measured += measure_overhead(request, plan, pool).rounds
    return batch_size, measured


def fitting(trial: RunResult) -> int:
    """The batch size that takes about ``CALL_SECONDS``, from a run with a batch of one.

    Raises:
        FleetmarkError: the run has no median.
    """
    if trial.latency is None or trial.latency.p50 is None:
        raise FleetmarkError(f"{MODEL}: {trial.latency_reason}")
    return max(1, round(CALL_SECONDS / trial.latency.p50.value))


def _request(context: Context, name: str, batch_size: int) -> WorkerRequest:
    name = f"perturbation-{name}"
    return WorkerRequest(
        run_id=name,
        device="here",
        spec=RunSpec(
            model=ArchitectureRef(library=Library.TORCHVISION, name=MODEL),
            runtime=RUNTIME,
            batch_size=batch_size,
            threads=context.threads,
            repetitions=1,
            max_time_seconds=TRIAL_SECONDS,
            sample_hertz=HERTZ,
            timeout_seconds=TIMEOUT_SECONDS,
        ),
        cache_dir=context.directory / "perturbation-cache",
        work_dir=new_work_dir(context.directory, name, 1),
    )


def _sources(root: Path) -> str:
    """``rapl 2, system 3``: sources, and how many readings each gives at a tick."""
    counts: dict[str, int] = {}
    for channel in discover(root).channels:
        counts[channel.source] = counts.get(channel.source, 0) + 1
    return ", ".join(f"{name} {count}" for name, count in counts.items()) or "no source"


def _row(figure: OverheadFigure) -> tuple[str, ...]:
    passes = "yes" if figure.passes else "no"
    return (TITLES[figure.what], *_bounds(figure.relative), str(figure.pairs), passes)


def _control(figure: OverheadFigure) -> tuple[str, ...]:
    """The same control stands beside every figure, over as many rounds."""
    return ("control", *_bounds(figure.control), str(figure.pairs), units.NOTHING)


def _bounds(interval: Interval) -> Sequence[str]:
    shown = (interval.value, interval.low, interval.high)
    return [units.NOTHING if value is None else f"{value:+.2%}" for value in shown]
