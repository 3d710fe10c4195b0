"""How it was measured: repetitions, stop rule, and what the device did meanwhile."""

from __future__ import annotations

from profiler.base import Frozen, StrEnum
from profiler.results.latency import Interval


class StartMethod(StrEnum):
    """How a repetition's process came about.

    ``fork``: from a parent that has imported the engine and done nothing with it. ``spawn``: a new
    interpreter. ``in_process``: none of its own, it shares the caller's.
    """

    FORK = "fork"
    SPAWN = "spawn"
    IN_PROCESS = "in_process"


class RepetitionFigures(Frozen):
    """One repetition, a fresh process: its cold figures and its own median.

    ``load_seconds`` runs from the first line of the runtime's import to a model ready to be called;
    ``first_inference_seconds`` is the first call. Neither enters the distribution. ``position``
    counts the repetitions of all configurations that were measured together, in their random order.
    """

    index: int
    load_seconds: float
    first_inference_seconds: float
    warmup_iterations: int
    warmup_seconds: float
    iterations: int
    median_seconds: float
    start_method: StartMethod = StartMethod.FORK
    position: int | None = None


class StopReport(Frozen):
    """Whether the stop rule was satisfied, and how narrow the interval became.

    ``relative_half_width`` is of the run's own interval, over all repetitions.
    """

    percentile: str
    goal: float
    relative_half_width: float | None
    converged_repetitions: int
    repetitions: int


class Contention(Frozen):
    """What other work on the device did to the timed blocks, as the kernel counts it.

    Shares are of the wall time of the timed blocks. ``None``: the kernel does not tell.

    Attributes:
        blocks: timed blocks, and of them those that were ``disturbed``.
        disturbed_share: of the timed iterations, those in disturbed blocks.
        run_delay_share: time that a thread of the worker was ready to run and waited for a CPU.
        steal_share: time that the hypervisor gave this machine's CPUs to others.
        pressure_share: time in which some task of the machine waited for a CPU (PSI).
        involuntary_switches: times that the worker was put aside for another task.
    """

    blocks: int
    disturbed_blocks: int
    disturbed_share: float
    run_delay_share: float | None
    steal_share: float | None
    pressure_share: float | None
    involuntary_switches: int


class Sentinel(Frozen):
    """The device's own speed while it measured: a fixed piece of work, timed between blocks.

    Attributes:
        kind: names the work and what it was computed with; only equal kinds can be compared.
        slices: how often it was timed.
        seconds: its mean without the fastest and the slowest fifth.
        drift: by how much it differed between the begin and the end of a repetition, relative; of
            the repetition in which that was least like chance.
        drift_by_chance: what the jitter of its slices alone would show there.
        relative_p50: median latency in units of the sentinel at that moment.
    """

    kind: str
    slices: int
    seconds: Interval
    drift: float
    drift_by_chance: float = 0.0
    relative_p50: Interval | None
    relative_p50_reason: str | None = None
