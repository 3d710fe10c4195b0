"""The stamps of calls that were served, and what they tell: latency, wait, backlog, lateness."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Nanoseconds = NDArray[np.int64]


@dataclass(frozen=True)
class Served:
    """Calls in the order of arrival, in nanoseconds of one clock.

    Attributes:
        scheduled_ns: when each call that was served arrived.
        start_ns: when it was begun.
        end_ns: when it was done, synchronisation included.
        abandoned_ns: arrivals that were not begun when the time was over.
        over_ns: when that was; ``None`` where no call was abandoned.
        elapsed_ns: time in which calls came or were served, pauses left out.
    """

    scheduled_ns: Nanoseconds
    start_ns: Nanoseconds
    end_ns: Nanoseconds
    abandoned_ns: Nanoseconds
    over_ns: int | None
    elapsed_ns: int

    def latency_seconds(self) -> NDArray[np.float64]:
        """Of every call that arrived, from its scheduled arrival.

        An abandoned call counts with the time that it had waited: it took at least as long, and
        leaving it out would favour a server that is too slow.
        """
        done = self.end_ns - self.scheduled_ns
        waited = (self.over_ns or 0) - self.abandoned_ns
        return np.asarray(np.concatenate([done, waited]) / 1e9, dtype=np.float64)

    def service_seconds(self) -> NDArray[np.float64]:
        """How long each call took once it was begun."""
        return np.asarray((self.end_ns - self.start_ns) / 1e9, dtype=np.float64)

    def found_idle(self) -> NDArray[np.bool_]:
        """Which calls arrived when all before them were done."""
        idle = np.ones(len(self.end_ns), dtype=np.bool_)
        idle[1:] = self.scheduled_ns[1:] > self.end_ns[:-1]
        return idle

    def lateness_seconds(self) -> NDArray[np.float64]:
        """How late the calls that found nothing in their way began: the load generator's error."""
        idle = self.found_idle()
        late = self.start_ns[idle] - self.scheduled_ns[idle]
        return np.asarray(late / 1e9, dtype=np.float64)

    def backlog(self) -> Nanoseconds:
        """Calls that had arrived and were not begun, each time that one was begun."""
        arrived = np.searchsorted(self._arrivals(), self.start_ns, side="right")
        return np.asarray(arrived - np.arange(1, len(self.start_ns) + 1), dtype=np.int64)

    def backlog_at_end(self) -> int:
        """Calls ahead of the last one when it arrived."""
        arrivals = self._arrivals()
        ahead = len(arrivals) - 1
        if ahead <= 0:
            return 0
        begun = np.searchsorted(self.start_ns[:ahead], arrivals[-1], side="right")
        return ahead - int(begun)

    def _arrivals(self) -> Nanoseconds:
        return np.concatenate([self.scheduled_ns, self.abandoned_ns])


def join(parts: Sequence[Served]) -> Served:
    """Stretches of one process, with pauses between them, as one."""
    return Served(
        scheduled_ns=np.concatenate([part.scheduled_ns for part in parts]),
        start_ns=np.concatenate([part.start_ns for part in parts]),
        end_ns=np.concatenate([part.end_ns for part in parts]),
        # Only the last can have been cut: nothing is offered once time is over.
        abandoned_ns=parts[-1].abandoned_ns,
        over_ns=parts[-1].over_ns,
        elapsed_ns=sum(part.elapsed_ns for part in parts),
    )
