"""What the sampler read, as a table of raw data beside the iterations, on the same clock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Self

if TYPE_CHECKING:
    from profiler.sensors.trace import Trace

_PREFIX = "trace_"
_NAMES = f"{_PREFIX}names"
_COLUMNS: dict[str, type[np.generic]] = {
    "repetition": np.uint16,
    "channel": np.uint16,
    "time_ns": np.int64,
    "value": np.float64,
}


@dataclass(frozen=True)
class TraceSamples:
    """One row per reading that gave a value, by channel and in the order of time.

    Attributes:
        names: of the channels, ``source/label/quantity``; the quantity names the unit.
        repetition: uint16, index of the process that was measured meanwhile.
        channel: uint16, index in ``names``.
        time_ns: int64, ``perf_counter_ns`` midway through the read, as in the iterations.
        value: float64, in the channel's unit.
    """

    names: tuple[str, ...]
    repetition: NDArray[np.uint16]
    channel: NDArray[np.uint16]
    time_ns: NDArray[np.int64]
    value: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.value)

    @classmethod
    def empty(cls) -> Self:
        return cls((), **{name: np.empty(0, dtype) for name, dtype in _COLUMNS.items()})

    @classmethod
    def of(cls, traces: Sequence[Trace]) -> Self:
        """The readings of a run.

        Args:
            traces: one for each repetition, in their order.
        """
        names = tuple(dict.fromkeys(s.channel.key for trace in traces for s in trace.series))
        parts = [
            (repetition, names.index(series.channel.key), series)
            for repetition, trace in enumerate(traces)
            for series in trace.series
        ]
        if not parts:
            return cls.empty()
        counts = [len(series.values) for _, _, series in parts]
        seconds = np.concatenate([series.seconds for _, _, series in parts])
        return cls(
            names=names,
            repetition=np.repeat(np.array([r for r, _, _ in parts], dtype=np.uint16), counts),
            channel=np.repeat(np.array([c for _, c, _ in parts], dtype=np.uint16), counts),
            time_ns=np.rint(seconds * 1e9).astype(np.int64),
            value=np.concatenate([series.values for _, _, series in parts]),
        )

    def columns(self) -> dict[str, NDArray[Any]]:
        """What is to be written into the run's file; nothing where nothing was sampled."""
        if not self.names:
            return {}
        columns = {f"{_PREFIX}{name}": getattr(self, name) for name in _COLUMNS}
        return columns | {_NAMES: np.array(self.names, dtype=np.str_)}

    @classmethod
    def from_columns(cls, data: Mapping[str, NDArray[Any]]) -> Self:
        """From what ``columns`` gave; empty where there is none of it.

        Raises:
            ValueError: a column is of another kind or length than it should be.
            KeyError: one is missing.
        """
        if _NAMES not in data:
            return cls.empty()
        names = data[_NAMES]
        if names.dtype.kind != "U" or names.ndim != 1:
            raise ValueError(f"{_NAMES} is {names.dtype} of shape {names.shape}")
        columns = {name: data[f"{_PREFIX}{name}"] for name in _COLUMNS}
        rows = columns["value"].shape
        for name, dtype in _COLUMNS.items():
            if columns[name].dtype != dtype or columns[name].shape != rows or len(rows) != 1:
                raise ValueError(f"{name} is {columns[name].dtype} of shape {columns[name].shape}")
        if rows[0] and int(columns["channel"].max()) >= len(names):
            raise ValueError("a channel has no name")
        return cls(tuple(names.tolist()), **columns)
