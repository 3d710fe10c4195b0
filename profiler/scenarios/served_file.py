"""The calls of a repetition on disk, for the run's summary."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from profiler.scenarios.served import Served

_NONE = -1


def save(served: Served, path: Path) -> None:
    scalars = np.array([_NONE if served.over_ns is None else served.over_ns, served.elapsed_ns])
    with path.open("wb") as file:
        np.savez(
            file,
            scheduled_ns=served.scheduled_ns,
            start_ns=served.start_ns,
            end_ns=served.end_ns,
            abandoned_ns=served.abandoned_ns,
            scalars=scalars,
        )


def load(path: Path) -> Served:
    """Read what ``save`` wrote; pickled arrays are refused."""
    with np.load(path, allow_pickle=False) as data:
        over, elapsed = (int(value) for value in data["scalars"])
        return Served(
            scheduled_ns=data["scheduled_ns"],
            start_ns=data["start_ns"],
            end_ns=data["end_ns"],
            abandoned_ns=data["abandoned_ns"],
            over_ns=None if over == _NONE else over,
            elapsed_ns=elapsed,
        )
