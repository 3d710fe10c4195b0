"""What holds for all tests: nobody leaves a process behind."""

from __future__ import annotations

from collections.abc import Iterator
from time import monotonic, sleep

import psutil
import pytest

# For one that has been told to end and is on its way.
PATIENCE_SECONDS = 5.0


def _children() -> dict[int, psutil.Process]:
    return {child.pid: child for child in psutil.Process().children()}


@pytest.fixture(scope="module", autouse=True)
def _no_child_is_left_behind() -> Iterator[None]:
    """A child that outlives its tests is a leak, of the product or of the tests.

    It takes memory and CPU from all later tests, and one that has ended and was not waited for is
    found by those that count processes.
    """
    before = _children()
    yield
    give_up = monotonic() + PATIENCE_SECONDS
    while (left := _new(before)) and monotonic() < give_up:
        sleep(0.05)
    assert not left, f"left behind: {', '.join(map(_described, left))}"


def _new(before: dict[int, psutil.Process]) -> list[psutil.Process]:
    return [child for pid, child in _children().items() if pid not in before]


def _described(child: psutil.Process) -> str:
    try:
        return f"{child.pid} ({child.status()}) {' '.join(child.cmdline())[:200]!r}"
    except psutil.Error as error:
        return f"{child.pid} ({error})"
