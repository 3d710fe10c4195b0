"""Which rate to try next: a bracket that grows until it holds the answer and is then divided."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from profiler.result import Met

# First step from the foreseen rate; it doubles (as a power) until the answer is bracketed.
STEP = 1.1
# Where a bracket is divided, from below on a logarithmic scale. Rates that meet the bound have the
# shorter queue and are shown to with fewer calls; and the middle of the first bracket is the
# foreseen rate, where a good forecast would leave the trial undecided for as long as it may take.
DIVISION = 1 / 3


@dataclass
class Bracket:
    """What is known of the rates so far.

    Attributes:
        first: the rate to begin with.
        least: below it nothing is tried.
        tolerance: how close to each other the two below shall come.
        met: the highest rate that met the bound.
        not_shown: the lowest that was not shown to.
    """

    first: float
    least: float
    tolerance: float
    met: float | None = None
    not_shown: float | None = None
    _step: float = field(default=STEP, init=False)

    def note(self, rate: float, met: Met) -> None:
        if met is Met.MEETS:
            self.met = max(rate, self.met or 0.0)
        else:
            self.not_shown = min(rate, self.not_shown or math.inf)

    def next(self) -> float | None:
        """The next rate to try; ``None`` when there is none that would tell more."""
        if self.met is None and self.not_shown is None:
            return max(self.first, self.least)
        if self.met is not None and self.not_shown is not None:
            gap = self.not_shown / self.met
            return None if gap <= 1 + self.tolerance else self.met * gap**DIVISION
        self._step *= self._step
        if self.met is not None:
            return self.met * self._step
        lowest = self.not_shown or 0.0
        return None if lowest <= self.least else max(lowest / self._step, self.least)
