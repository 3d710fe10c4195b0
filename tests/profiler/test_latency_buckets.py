"""Ten buckets a decade, from 50 µs to 31.5 s."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiler.latency_buckets import BOUNDS, bucket_of, count, shapes


def test_ten_a_decade_between_the_bounds() -> None:
    assert (BOUNDS[0], BOUNDS[-1]) == (5e-5, 31.5)
    assert len(BOUNDS) == 59
    for low, high in pairwise(BOUNDS):
        assert 1.2 < high / low < 1.3
    # A decade later the same digits.
    assert all(b == pytest.approx(10 * a) for a, b in zip(BOUNDS, BOUNDS[10:], strict=False))


@given(st.lists(st.floats(min_value=1e-7, max_value=100), min_size=1))
def test_every_latency_is_counted_once_and_not_above_its_bound(seconds: list[float]) -> None:
    found = count(np.array(seconds))
    assert sum(found.values()) == len(seconds)
    for index, number in found.items():
        low = BOUNDS[index - 1] if index else 0.0
        high = BOUNDS[index] if index < len(BOUNDS) else np.inf
        assert number == sum(low < each <= high for each in seconds)
    assert set(found) == {bucket_of(each) for each in seconds}


def test_shapes_as_a_label() -> None:
    assert shapes([(1, 3, 224, 224)]) == "1x3x224x224"
    assert shapes([(1, 16), (), (4,)]) == "1x16,scalar,4"
    assert shapes([]) == ""


def test_the_shapes_of_very_many_inputs_are_cut_and_still_differ() -> None:
    many = [(1, 3, 224, 224)] * 100
    first, second = shapes(many), shapes([*many, (1,)])
    assert first != second
    assert len(first) == len(second) == 80
