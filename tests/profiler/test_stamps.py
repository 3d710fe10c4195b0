"""Stamps are a sequence of pairs to whoever reads them, and two columns to the timed loop."""

from __future__ import annotations

import numpy as np
import pytest

from profiler.stamps import Stamps

PAIRS = [(10, 15), (20, 27), (30, 31)]


def test_they_read_as_pairs() -> None:
    stamps = Stamps(PAIRS)
    assert len(stamps) == 3
    assert list(stamps) == PAIRS
    assert stamps[-1] == (30, 31)
    assert (20, 27) in stamps
    with pytest.raises(IndexError):
        stamps[3]


def test_a_slice_is_a_copy() -> None:
    stamps = Stamps(PAIRS)
    later = stamps[1:]
    later.starts.append(40)
    later.ends.append(44)
    assert list(later) == [*PAIRS[1:], (40, 44)]
    assert list(stamps) == PAIRS


def test_latencies_in_either_unit() -> None:
    stamps = Stamps(PAIRS)
    assert stamps.latency_ns().tolist() == [5, 7, 1]
    assert stamps.seconds().tolist() == [5e-9, 7e-9, 1e-9]
    assert Stamps().seconds().shape == (0,)


def test_the_recent_median_forgets_what_is_long_ago() -> None:
    long_ago, recent = [(0, 900)] * 5_000, [(0, 4)] * 400 + [(0, 6)] * 600
    assert Stamps(long_ago + recent).recent_median_seconds() == 6e-9
    assert Stamps(PAIRS).recent_median_seconds() == 5e-9


def test_they_grow_while_somebody_holds_their_columns() -> None:
    stamps = Stamps(PAIRS)
    columns = stamps.start_ns(), stamps.end_ns(), stamps.latency_ns()
    stamps.starts.append(40)
    stamps.ends.append(44)
    assert [len(column) for column in columns] == [3, 3, 3]
    assert stamps[-1] == (40, 44)


def test_from_columns() -> None:
    start, end = (np.array(column, dtype=np.int64) for column in zip(*PAIRS, strict=True))
    assert list(Stamps.of(start, end)) == PAIRS
    # Every other one, as a mask leaves them, is not contiguous.
    assert list(Stamps.of(start[::2], end[::2])) == PAIRS[::2]
