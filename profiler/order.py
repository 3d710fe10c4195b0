"""In which order the repetitions of several configurations are measured."""

from __future__ import annotations

import random
from collections.abc import Sequence


def interleaved(repetitions: Sequence[int], seed: int) -> list[tuple[int, int]]:
    """All repetitions of all configurations, as (configuration, repetition).

    In rounds: each has one repetition of every configuration that has any left, in an order that is
    drawn anew. So what changes with time meets all of them alike, and none is always behind the
    same other.

    Args:
        repetitions: how many each configuration has.
        seed: of the draw; equal seeds give equal orders.
    """
    draw = random.Random(seed)  # noqa: S311 - an order of measurement, not a secret
    order = []
    for index in range(max(repetitions, default=0)):
        configurations = [i for i, count in enumerate(repetitions) if count > index]
        draw.shuffle(configurations)
        order += [(configuration, index) for configuration in configurations]
    return order


def abba(rounds: int, seed: int) -> list[tuple[int, int]]:
    """Two configurations in the order A B B A, or B A A B where the draw says so.

    What drifts steadily through the four cancels in the ratio of their means.

    Args:
        rounds: of four repetitions each, two of each configuration.
        seed: of the draw.

    Returns:
        (configuration, repetition): ``2 * rounds`` repetitions of each.
    """
    draw = random.Random(seed)  # noqa: S311 - as above
    order = []
    for number in range(rounds):
        first = draw.randrange(2)
        for place, configuration in enumerate((first, 1 - first, 1 - first, first)):
            order.append((configuration, 2 * number + (place >= 2)))  # noqa: PLR2004 - second half
    return order
