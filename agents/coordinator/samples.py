"""Raw iterations of every run as Parquet: pandas and DuckDB open them directly."""

from __future__ import annotations

import io
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from profiler.errors import FleetmarkError
from profiler.samples import Iterations


class SampleStore:
    """``samples/ab/RUN.ATTEMPT.parquet``."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def path(self, run_id: str, attempt: int) -> Path:
        return self._directory / run_id[:2] / f"{run_id}.{attempt}.parquet"

    def put(self, run_id: str, attempt: int, npz: bytes) -> None:
        """Convert what a device sent.

        Raises:
            FleetmarkError: it is not what ``Iterations.save`` writes.
            OSError: the disk is full; nothing is left behind.
        """
        try:
            iterations = Iterations.load(io.BytesIO(npz))
        except ValueError as error:
            raise FleetmarkError(f"run {run_id} sent unreadable iterations: {error}") from error
        table = pa.table(
            {
                "repetition": iterations.repetition,
                "warmup": iterations.warmup,
                "start_ns": iterations.start_ns,
                "latency_ns": iterations.latency_ns,
            }
        )
        target = self.path(run_id, attempt)
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        partial = target.with_suffix(".partial")
        try:
            pq.write_table(table, partial, compression="zstd")
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)
