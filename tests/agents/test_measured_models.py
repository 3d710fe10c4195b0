"""Models that a user is done with: the latest of nothing, until they are measured again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from agents.coordinator.database import migrate, open_engine
from agents.coordinator.store_errors import NotFoundError
from agents.views import MeasuredModelList
from tests.agents.test_api import World, problem
from tests.agents.test_baselines import Bench


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    engine: Engine = open_engine(f"sqlite:///{tmp_path / 'store.db'}")
    migrate(engine)
    yield Bench(engine, tmp_path)
    engine.dispose()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    found = World(tmp_path)
    with found.client:
        yield found
    found.engine.dispose()


def told(bench: Bench) -> dict[str, set[str]]:
    """Which models each thing that tells the latest knows."""
    latest, recent = bench.store.figures.latest_and_recent(100)
    return {
        "figures": {run.labels[2] for run in latest},
        "names": {run.labels[2] for run in recent},
        "counts": {count.model for count in bench.store.run_counts()},
        "standings": {s.configuration.model for s in bench.store.baselines.standings(10)},
        "list": {each.model for each in bench.store.models.all()},
    }


def test_a_removed_model_is_the_latest_of_nothing(bench: Bench) -> None:
    for p50 in (0.010, 0.012):
        bench.run(p50, model="old/net")
    bench.run(0.010, model="new")
    assert set(map(frozenset, told(bench).values())) == {frozenset({"old/net", "new"})}
    assert len(bench.store.baselines.latest()) == 1
    bench.store.models.remove("old/net")
    assert set(map(frozenset, told(bench).values())) == {frozenset({"new"})}
    assert len(bench.store.baselines.latest()) == 0
    # What was measured is still there.
    assert len(bench.store.results(10)) == 3


def test_it_is_back_when_it_is_measured_again(bench: Bench) -> None:
    bench.run(0.010, model="net")
    bench.store.models.remove("net")
    bench.store.models.remove("net")
    again = bench.run(0.011, model="net")
    assert [run.run_id for run in bench.store.figures.latest_and_recent(10)[0]] == [again]
    (found,) = bench.store.models.all()
    assert (found.model, found.devices, found.results) == ("net", 1, 1)
    (count,) = bench.store.run_counts()
    assert count.count == 1


def test_a_model_that_nobody_measured_is_said_so(bench: Bench) -> None:
    bench.run(0.010, model="net")
    with pytest.raises(NotFoundError, match="no result of a model 'nett'"):
        bench.store.models.remove("nett")
    assert len(bench.store.models.all()) == 1


def test_over_http(world: World) -> None:
    listed = world.get("/api/v1/models")
    assert MeasuredModelList.model_validate_json(listed.content).models == ()
    headers = world.headers()
    missing = world.client.delete("/api/v1/models", params={"name": "a/b"}, headers=headers)
    assert "a/b" in problem(missing, 404).problem
    assert world.client.delete("/api/v1/models", headers=headers).status_code == 422
    assert world.client.delete("/api/v1/models", params={"name": "x"}).status_code == 401
