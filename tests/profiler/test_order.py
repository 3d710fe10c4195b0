"""No configuration is always behind the same other, and a seed gives its order again."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from profiler.order import abba, interleaved

COUNTS = st.lists(st.integers(0, 6), min_size=1, max_size=6)
SEEDS = st.integers(0, 2**31)


@given(COUNTS, SEEDS)
def test_every_repetition_once_and_in_its_own_order(counts: list[int], seed: int) -> None:
    order = interleaved(counts, seed)
    assert Counter(order) == Counter((c, r) for c, n in enumerate(counts) for r in range(n))
    for configuration, count in enumerate(counts):
        assert [r for c, r in order if c == configuration] == list(range(count))
    assert [r for _, r in order] == sorted(r for _, r in order)
    assert order == interleaved(counts, seed)


def test_the_seed_makes_the_order() -> None:
    orders = {tuple(interleaved([5, 5, 5], seed)) for seed in range(20)}
    assert len(orders) > 10


@given(st.integers(0, 8), SEEDS)
def test_abba_is_balanced(rounds: int, seed: int) -> None:
    order = abba(rounds, seed)
    assert Counter(order) == Counter((c, r) for c in (0, 1) for r in range(2 * rounds))
    for start in range(0, len(order), 4):
        a, b, c, d = (configuration for configuration, _ in order[start : start + 4])
        assert (a, b) in {(0, 1), (1, 0)}
        assert (c, d) == (b, a)
