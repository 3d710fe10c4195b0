"""Raw data of every run as Parquet: pandas and DuckDB open them directly."""

from __future__ import annotations

import io
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from profiler.base import StrEnum
from profiler.errors import FleetmarkError
from profiler.samples import Recording
from profiler.trace_samples import TraceSamples


class RawTable(StrEnum):
    """What is kept of a run; see ``profiler.samples`` and ``trace_samples`` for the columns."""

    ITERATIONS = "iterations"
    BLOCKS = "blocks"
    SENTINEL = "sentinel"
    TRACE = "trace"


class SampleStore:
    """``samples/ab/RUN.ATTEMPT.TABLE.parquet``."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def path(self, run_id: str, attempt: int, table: RawTable = RawTable.ITERATIONS) -> Path:
        return self._directory / run_id[:2] / f"{run_id}.{attempt}.{table}.parquet"

    def put(self, run_id: str, attempt: int, npz: bytes) -> None:
        """Convert what a device sent.

        Raises:
            FleetmarkError: it is not what ``Recording.save`` writes.
            OSError: the disk is full; nothing is left behind.
        """
        try:
            recording = Recording.load(io.BytesIO(npz))
        except ValueError as error:
            raise FleetmarkError(f"run {run_id} sent unreadable iterations: {error}") from error
        if recording.trace.names:
            _write(_trace(recording.trace), self.path(run_id, attempt, RawTable.TRACE))
        for name, table in (
            # The iterations last: where they are, the rest is too.
            (RawTable.BLOCKS, recording.blocks),
            (RawTable.SENTINEL, recording.slices),
            (RawTable.ITERATIONS, recording.iterations),
        ):
            _write(pa.table(table.columns()), self.path(run_id, attempt, name))


def _trace(trace: TraceSamples) -> pa.Table:
    """With the channels by name; a dictionary keeps each name once."""
    names = pa.array(trace.names, type=pa.string())
    return pa.table(
        {
            "repetition": trace.repetition,
            "channel": pa.DictionaryArray.from_arrays(pa.array(trace.channel), names),
            "time_ns": trace.time_ns,
            "value": trace.value,
        }
    )


def _write(table: pa.Table, target: Path) -> None:
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    partial = target.with_suffix(".partial")
    try:
        pq.write_table(table, partial, compression="zstd")
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
