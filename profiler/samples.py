"""Raw data of a run: kept as measured, so that every statistic can be computed again.

A file holds up to four tables of columns: the iterations, the blocks in which they were timed with
what the kernel counted meanwhile, the slices of the sentinel, and what the sampler read. Files of
the first version hold iterations only.
"""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, TypeVar

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Self

from profiler.contention import Counters
from profiler.stamps import Stamps
from profiler.trace_samples import TraceSamples

FILE_NAME = "iterations.npz"

# Of a counter that this kernel does not have; of a time that was not taken.
UNKNOWN = -1

Source = Path | BinaryIO


@dataclass(frozen=True)
class _Table:
    """Columns of equal length; ``DTYPES`` names them, ``PREFIX`` tells tables of a file apart.

    A column of ``OPTIONAL`` is all ``UNKNOWN`` where a file has none, and is written only if there
    is something in it.
    """

    PREFIX: ClassVar[str]
    DTYPES: ClassVar[dict[str, type[np.generic]]]
    OPTIONAL: ClassVar[frozenset[str]] = frozenset()

    def __len__(self) -> int:
        return len(getattr(self, fields(self)[0].name))

    @classmethod
    def empty(cls) -> Self:
        return cls(**{name: np.empty(0, dtype) for name, dtype in cls.DTYPES.items()})

    @classmethod
    def concatenate(cls, parts: Sequence[Self]) -> Self:
        return cls(
            **{name: np.concatenate([getattr(p, name) for p in parts]) for name in cls.DTYPES}
        )

    @classmethod
    def load(cls, source: Source) -> Self:
        """Read what ``Recording.save`` wrote; pickled arrays are refused.

        Raises:
            ValueError: the file holds something else.
            OSError: it cannot be read at all.
        """
        return _read(source, cls)

    def columns(self) -> dict[str, NDArray[Any]]:
        """What is to be written, by the names of ``DTYPES``."""
        found = {name: getattr(self, name) for name in self.DTYPES}
        empty = {name for name in self.OPTIONAL if (found[name] == UNKNOWN).all()}
        return {name: column for name, column in found.items() if name not in empty}

    @classmethod
    def from_columns(cls, columns: Mapping[str, NDArray[Any]]) -> Self:
        """From columns by the names of ``DTYPES``; further ones are left out.

        Raises:
            ValueError: one is of another kind or length than the others.
            KeyError: one is missing.
        """
        needed = {name for name in cls.DTYPES if name in columns or name not in cls.OPTIONAL}
        # What is no array in an archive is read as bytes.
        kept = {name: np.asarray(columns[name]) for name in cls.DTYPES if name in needed}
        rows = next(iter(kept.values())).shape
        for name, column in kept.items():
            if column.dtype != cls.DTYPES[name] or column.shape != rows or len(rows) != 1:
                raise ValueError(f"{name} is {column.dtype} of shape {column.shape}")
        for name in cls.DTYPES.keys() - needed:
            kept[name] = np.full(rows, UNKNOWN, cls.DTYPES[name])
        return cls(**kept)


@dataclass(frozen=True)
class Iterations(_Table):
    """One row per iteration, in the order of measurement, warm-ups included.

    Attributes:
        repetition: uint16, index of the process.
        warmup: bool, part of the lead-in: of the repetition, or of a block after a pause.
        start_ns: int64, ``perf_counter_ns`` when the call began.
        latency_ns: int64, until call and synchronisation were done, as read.
        device_ns: int64, the accelerator's own time of the call; ``UNKNOWN`` where it was not
            taken. Optional.
        throttled: int8, 1 where the call overlapped throttling, 0 where it did not; ``UNKNOWN`` in
            warm-ups, and where nothing tells. Optional.
    """

    PREFIX: ClassVar[str] = ""
    OPTIONAL: ClassVar[frozenset[str]] = frozenset({"device_ns", "throttled"})
    DTYPES: ClassVar[dict[str, type[np.generic]]] = {
        "repetition": np.uint16,
        "warmup": np.bool_,
        "start_ns": np.int64,
        "latency_ns": np.int64,
        "device_ns": np.int64,
        "throttled": np.int8,
    }

    repetition: NDArray[np.uint16]
    warmup: NDArray[np.bool_]
    start_ns: NDArray[np.int64]
    latency_ns: NDArray[np.int64]
    device_ns: NDArray[np.int64]
    throttled: NDArray[np.int8] = field(default_factory=lambda: np.empty(0, np.int8))

    def __post_init__(self) -> None:
        if not len(self.throttled):
            # Not told yet: the trace, which tells, is read when all repetitions are over.
            unknown = np.full(len(self.latency_ns), UNKNOWN, np.int8)
            object.__setattr__(self, "throttled", unknown)

    @classmethod
    def from_stamps(
        cls,
        repetition: int,
        warmup: Sequence[tuple[int, int]],
        timed: Sequence[tuple[int, int]],
        lead_in: Sequence[int] = (),
        device_ns: Sequence[int] = (),
    ) -> Self:
        """Rows of one repetition from its (start, end) stamps in nanoseconds.

        Args:
            repetition: index of the process.
            warmup: before the timed part.
            timed: the timed part.
            lead_in: indices in ``timed`` of iterations that only led in after a pause.
            device_ns: the accelerator's own time of each of ``timed``; none where not taken.
        """
        parts = [part if isinstance(part, Stamps) else Stamps(part) for part in (warmup, timed)]
        start_ns = np.concatenate([part.start_ns() for part in parts])
        latency_ns = np.concatenate([part.latency_ns() for part in parts])
        marks = np.zeros(len(start_ns), dtype=np.bool_)
        marks[: len(warmup)] = True
        marks[len(warmup) + np.array(lead_in, dtype=np.intp)] = True
        on_device = np.full(len(start_ns), UNKNOWN, dtype=np.int64)
        if device_ns:
            on_device[len(warmup) :] = device_ns
        return cls(
            repetition=np.full(len(start_ns), repetition, dtype=np.uint16),
            warmup=marks,
            start_ns=start_ns,
            latency_ns=latency_ns,
            device_ns=on_device,
        )

    def timed(self) -> Self:
        """Without the warm-up."""
        keep = ~self.warmup
        return type(self)(**{name: getattr(self, name)[keep] for name in self.DTYPES})

    def timed_seconds(self) -> NDArray[np.float64]:
        """Latencies of the timed iterations, in seconds."""
        return np.asarray(self.latency_ns[~self.warmup] / 1e9, dtype=np.float64)

    def timed_groups(self) -> list[NDArray[np.float64]]:
        """As ``timed_seconds``, one array per repetition."""
        seconds, repetition = self.timed_seconds(), self.repetition[~self.warmup]
        return [seconds[repetition == index] for index in np.unique(repetition)]

    def device_groups(self) -> list[NDArray[np.float64]]:
        """As ``timed_groups``, of the accelerator's own times; empty where none were taken."""
        known = ~self.warmup & (self.device_ns != UNKNOWN)
        seconds, repetition = self.device_ns[known] / 1e9, self.repetition[known]
        return [seconds[repetition == index] for index in np.unique(repetition)]

    def timed_windows(self) -> list[tuple[float, float]]:
        """(start, end) of each repetition's timed part, in seconds of ``perf_counter``.

        One whose iterations were not timed singly, as in the scenario ``offline``, has none.
        """
        windows = []
        for index in np.unique(self.repetition[~self.warmup]):
            mine = (self.repetition == index) & ~self.warmup
            end = self.start_ns[mine][-1] + self.latency_ns[mine][-1]
            windows.append((float(self.start_ns[mine][0]) / 1e9, float(end) / 1e9))
        return windows

    def save(self, path: Path) -> None:
        """Write a file that holds nothing else."""
        Recording(self, Blocks.empty(), SentinelSlices.empty()).save(path)


@dataclass(frozen=True)
class Blocks(_Table):
    """One row per block of timed iterations, and what the kernel counted while it lasted.

    Attributes:
        repetition: uint16.
        start_ns, end_ns: int64, first call's begin and last call's end.
        run_delay_ns, steal_ns, pressure_ns: int64; ``UNKNOWN`` where the kernel does not tell.
        involuntary_switches: int64.
    """

    PREFIX: ClassVar[str] = "block_"
    DTYPES: ClassVar[dict[str, type[np.generic]]] = {
        "repetition": np.uint16,
        "start_ns": np.int64,
        "end_ns": np.int64,
        "run_delay_ns": np.int64,
        "steal_ns": np.int64,
        "pressure_ns": np.int64,
        "involuntary_switches": np.int64,
    }

    repetition: NDArray[np.uint16]
    start_ns: NDArray[np.int64]
    end_ns: NDArray[np.int64]
    run_delay_ns: NDArray[np.int64]
    steal_ns: NDArray[np.int64]
    pressure_ns: NDArray[np.int64]
    involuntary_switches: NDArray[np.int64]

    @classmethod
    def of(
        cls,
        repetition: int,
        spans: Sequence[tuple[int, int]],
        before: Sequence[Counters],
        after: Sequence[Counters],
    ) -> Self:
        """Args:
        repetition: index of the process.
        spans: (start, end) of each block.
        before: the counters just before each block.
        after: just after it.
        """

        def differences(name: str) -> NDArray[np.int64]:
            first, last = ([getattr(each, name) for each in side] for side in (before, after))
            if None in first or None in last:
                return np.full(len(spans), UNKNOWN, dtype=np.int64)
            # A thread that ended takes its delay with it.
            return np.maximum(np.array(last, dtype=np.int64) - np.array(first, dtype=np.int64), 0)

        edges = np.array(spans, dtype=np.int64).reshape(-1, 2)
        return cls(
            repetition=np.full(len(spans), repetition, dtype=np.uint16),
            start_ns=edges[:, 0],
            end_ns=edges[:, 1],
            run_delay_ns=differences("run_delay_ns"),
            steal_ns=differences("steal_ns"),
            pressure_ns=differences("pressure_ns"),
            involuntary_switches=differences("involuntary_switches"),
        )


@dataclass(frozen=True)
class SentinelSlices(_Table):
    """One row per slice of the sentinel.

    Attributes:
        repetition: uint16.
        start_ns, duration_ns: int64.
    """

    PREFIX: ClassVar[str] = "sentinel_"
    DTYPES: ClassVar[dict[str, type[np.generic]]] = {
        "repetition": np.uint16,
        "start_ns": np.int64,
        "duration_ns": np.int64,
    }

    repetition: NDArray[np.uint16]
    start_ns: NDArray[np.int64]
    duration_ns: NDArray[np.int64]

    @classmethod
    def of(cls, repetition: int, slices: Sequence[tuple[int, int]]) -> Self:
        """From (start, end) stamps."""
        stamps = np.array(slices, dtype=np.int64).reshape(-1, 2)
        return cls(
            repetition=np.full(len(slices), repetition, dtype=np.uint16),
            start_ns=stamps[:, 0],
            duration_ns=stamps[:, 1] - stamps[:, 0],
        )


@dataclass(frozen=True)
class Recording:
    """All raw data of a repetition or of a run."""

    iterations: Iterations
    blocks: Blocks
    slices: SentinelSlices
    trace: TraceSamples = field(default_factory=TraceSamples.empty)

    @classmethod
    def concatenate(cls, parts: Sequence[Recording]) -> Recording:
        """Of a run's repetitions; their traces are joined from the sampler's own files."""
        return cls(
            Iterations.concatenate([part.iterations for part in parts]),
            Blocks.concatenate([part.blocks for part in parts]),
            SentinelSlices.concatenate([part.slices for part in parts]),
        )

    def save(self, path: Path) -> None:
        columns: dict[str, Any] = {}
        for table in (self.iterations, self.blocks, self.slices):
            for name, column in table.columns().items():
                columns[f"{table.PREFIX}{name}"] = column
        columns.update(self.trace.columns())
        with path.open("wb") as file:
            np.savez(file, **columns)

    @classmethod
    def load(cls, source: Source) -> Recording:
        """Read what ``save`` wrote.

        Raises:
            ValueError: the file holds something else.
            OSError: it cannot be read at all.
        """
        if isinstance(source, Path):
            with source.open("rb") as file:
                return cls.load(file)
        parts: list[Any] = []
        for table in (Iterations, Blocks, SentinelSlices):
            source.seek(0)
            parts.append(table.load(source))
        source.seek(0)
        parts.append(_guarded(source, TraceSamples.from_columns))
        return cls(*parts)


# What NumPy and zipfile raise for files that are cut short, damaged or something else.
_UNREADABLE = (
    ValueError, KeyError, TypeError, EOFError, NotImplementedError,
    zipfile.BadZipFile, zlib.error, struct.error,
)  # fmt: skip

AnyTable = TypeVar("AnyTable", bound=_Table)
Part = TypeVar("Part")


def _read(source: Source, table: type[AnyTable]) -> AnyTable:
    def taken(data: Mapping[str, NDArray[Any]]) -> AnyTable:
        there = {name: f"{table.PREFIX}{name}" for name in table.DTYPES}
        there = {name: key for name, key in there.items() if key in data}
        if table.PREFIX and not there:
            # A file of the first version.
            return table.empty()
        return table.from_columns({name: data[key] for name, key in there.items()})

    if isinstance(source, Path):
        with source.open("rb") as file:
            return _guarded(file, taken)
    return _guarded(source, taken)


def _guarded(file: BinaryIO, take: Callable[[Mapping[str, NDArray[Any]]], Part]) -> Part:
    """What ``take`` makes of the file's arrays, none of them pickled.

    Raises:
        ValueError: the file or an array is something else.
    """
    try:
        data = np.load(file, allow_pickle=False)
        if not isinstance(data, np.lib.npyio.NpzFile):
            raise TypeError("an array, not an archive of them")
        with data:
            return take(data)
    except _UNREADABLE as error:
        raise ValueError(f"no iterations are in it: {error}") from error
