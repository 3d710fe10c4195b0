"""Raw iterations of a run: kept as measured, so that every statistic can be computed again."""

from __future__ import annotations

import struct
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

FILE_NAME = "iterations.npz"


@dataclass(frozen=True)
class Iterations:
    """One row per iteration, in the order of measurement, warm-ups included.

    Attributes:
        repetition: uint16, index of the process.
        warmup: bool, part of the lead-in.
        start_ns: int64, ``perf_counter_ns`` when the call began.
        latency_ns: int64, until call and synchronisation were done, as read.
    """

    repetition: NDArray[np.uint16]
    warmup: NDArray[np.bool_]
    start_ns: NDArray[np.int64]
    latency_ns: NDArray[np.int64]

    @classmethod
    def from_stamps(
        cls, repetition: int, warmup: list[tuple[int, int]], timed: list[tuple[int, int]]
    ) -> Iterations:
        """Rows of one repetition from its (start, end) stamps in nanoseconds."""
        stamps = np.array(warmup + timed, dtype=np.int64).reshape(-1, 2)
        marks = np.zeros(len(stamps), dtype=np.bool_)
        marks[: len(warmup)] = True
        return cls(
            repetition=np.full(len(stamps), repetition, dtype=np.uint16),
            warmup=marks,
            start_ns=stamps[:, 0],
            latency_ns=stamps[:, 1] - stamps[:, 0],
        )

    @classmethod
    def concatenate(cls, parts: list[Iterations]) -> Iterations:
        return cls(
            repetition=np.concatenate([p.repetition for p in parts]),
            warmup=np.concatenate([p.warmup for p in parts]),
            start_ns=np.concatenate([p.start_ns for p in parts]),
            latency_ns=np.concatenate([p.latency_ns for p in parts]),
        )

    def timed_seconds(self) -> NDArray[np.float64]:
        """Latencies of the timed iterations, in seconds."""
        return np.asarray(self.latency_ns[~self.warmup] / 1e9, dtype=np.float64)

    def timed_groups(self) -> list[NDArray[np.float64]]:
        """As ``timed_seconds``, one array per repetition."""
        seconds, repetition = self.timed_seconds(), self.repetition[~self.warmup]
        return [seconds[repetition == index] for index in np.unique(repetition)]

    def timed_windows(self) -> list[tuple[float, float]]:
        """(start, end) of each repetition's timed part, in seconds of ``perf_counter``."""
        windows = []
        for index in np.unique(self.repetition):
            mine = (self.repetition == index) & ~self.warmup
            end = self.start_ns[mine][-1] + self.latency_ns[mine][-1]
            windows.append((float(self.start_ns[mine][0]) / 1e9, float(end) / 1e9))
        return windows

    def save(self, path: Path) -> None:
        with path.open("wb") as file:
            np.savez(
                file,
                repetition=self.repetition,
                warmup=self.warmup,
                start_ns=self.start_ns,
                latency_ns=self.latency_ns,
            )

    @classmethod
    def load(cls, source: Path | BinaryIO) -> Iterations:
        """Read what ``save`` wrote; pickled arrays are refused.

        Raises:
            ValueError: the file holds something else.
            OSError: it cannot be read at all.
        """
        try:
            if isinstance(source, Path):
                with source.open("rb") as file:
                    return cls(**_columns(file))
            return cls(**_columns(source))
        except _UNREADABLE as error:
            raise ValueError(f"no iterations are in it: {error}") from error


_DTYPES = {
    "repetition": np.uint16,
    "warmup": np.bool_,
    "start_ns": np.int64,
    "latency_ns": np.int64,
}
# What NumPy and zipfile raise for files that are cut short, damaged or something else.
_UNREADABLE = (
    ValueError, KeyError, TypeError, EOFError, NotImplementedError,
    zipfile.BadZipFile, zlib.error, struct.error,
)  # fmt: skip


def _columns(file: BinaryIO) -> dict[str, Any]:
    data = np.load(file, allow_pickle=False)
    if not isinstance(data, np.lib.npyio.NpzFile):
        raise TypeError("an array, not an archive of them")
    with data:
        columns = {name: data[name] for name in _DTYPES}
    rows = columns["latency_ns"].shape
    for name, dtype in _DTYPES.items():
        if columns[name].dtype != dtype or columns[name].shape != rows or len(rows) != 1:
            raise ValueError(f"{name} is {columns[name].dtype} of shape {columns[name].shape}")
    return columns
