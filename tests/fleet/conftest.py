"""One fleet for all tests here: starting one costs half a minute."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fleet.hosts import FleetUnderTest, Network


@pytest.fixture(scope="module", autouse=True)
def _no_child_is_left_behind() -> None:
    """Stands in for the check of all tests: the hosts of the fleet outlive a module.

    At its end the network tells what they left, by their namespaces.
    """


@pytest.fixture(scope="session")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FleetUnderTest]:
    """A coordinator and two devices on hosts of their own."""
    directory: Path = tmp_path_factory.mktemp("fleet")
    network = Network(directory)
    running = FleetUnderTest(network)
    try:
        running.start_coordinator()
        running.start_device("board-a", "room=lab", "kind=cpu-board")
        running.start_device("board-b", "room=hall", "kind=cpu-board")
        running.until_online("board-a", "board-b")
        yield running
    finally:
        running.close()
        left = network.close()
    assert not left, f"processes were left behind: {left}"
