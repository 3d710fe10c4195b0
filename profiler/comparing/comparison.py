"""The answer to "is it faster?", as data."""

from __future__ import annotations

from profiler.base import Frozen, StrEnum
from profiler.comparing.comparable import Difference
from profiler.result import Interval


class Verdict(StrEnum):
    """Of the candidate against the baseline.

    ``same``: the whole interval lies inside the equivalence margin. ``faster``, ``slower``: it does
    not, and it excludes 1. ``inconclusive``: neither, or something stands in the way.
    """

    FASTER = "faster"
    SLOWER = "slower"
    SAME = "same"
    INCONCLUSIVE = "inconclusive"

    @property
    def winner(self) -> bool:
        """Whether it says that the two differ."""
        return self in (Verdict.FASTER, Verdict.SLOWER)


class Basis(StrEnum):
    """What latency is counted in.

    Seconds; the time of the sentinel at that moment; or seconds at the device's usual speed, as its
    runs tell it (``RunResult.at_usual_speed``).
    """

    WALL_CLOCK = "wall clock"
    SENTINEL = "sentinel units"
    USUAL_SPEED = "usual speed"


class Method(StrEnum):
    """Where the interval comes from."""

    BOOTSTRAP = "hierarchical bootstrap"
    MEDIANS = "Welch's t of process medians"
    ROUNDS = "Student's t of interleaved rounds"
    INTERVALS = "the two figures' own intervals"


class Comparison(Frozen):
    """A candidate against a baseline.

    Attributes:
        baseline: what it is called in the sentence, ``before`` where it is the same thing earlier;
            likewise ``candidate``.
        ratio: candidate / baseline of median latency (below 1 is faster), with 95 % bounds; no
            bounds where too few processes were measured. ``None`` comes with ``reason``.
        reason: why there is no verdict.
        p_value: two-sided, of a ratio of 1. ``adjusted_p_value``: the same, allowing for all
            comparisons that were made together.
        margin: relative; differences within it are of no interest.
        rounds: of interleaved measurements; ``None`` where the two were not interleaved.
        sentinel_ratio: as ``ratio``, in units of the sentinel, or ``None`` with a reason.
        differences: all that differs between the two, what is compared on purpose included.
        refusals: those of them for which no verdict is given.
        notes: what a reader of the verdict should know, in sentences.
        sentence: all of it in words.
    """

    verdict: Verdict
    baseline: str
    candidate: str
    ratio: Interval | None
    reason: str | None = None
    p_value: float | None = None
    adjusted_p_value: float | None = None
    basis: Basis = Basis.WALL_CLOCK
    method: Method
    margin: float
    baseline_processes: int
    candidate_processes: int
    rounds: int | None = None
    sentinel_ratio: Interval | None = None
    sentinel_reason: str | None = None
    differences: tuple[Difference, ...] = ()
    refusals: tuple[Difference, ...] = ()
    notes: tuple[str, ...] = ()
    sentence: str = ""
