"""Baselines over HTTP and on the command line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from agents.cli import connection
from agents.cli.main import run
from agents.client import Client
from agents.coordinator.auth import Role
from agents.exposition import CONTENT_TYPE, OPENMETRICS, OPENMETRICS_CONTENT_TYPE
from agents.messages import AttemptKey
from agents.verdicts import History, Standing, StandingList, VerdictDetail
from profiler.comparing.comparison import Verdict
from tests.agents.test_api import World, problem
from tests.agents.test_baselines import measured


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    found = World(tmp_path)
    with found.client:
        yield found
    found.engine.dispose()


def finished(world: World, p50: float = 0.010, model: str = "resnet18") -> str:
    device_id = world.register().json()["device_id"]
    world.submit()
    (assigned,) = world.store.assign_next(device_id)
    result = measured(p50, run_id=assigned.id, job_id=assigned.job_id, model=model)
    assert world.store.finish(AttemptKey(run_id=assigned.id, attempt=1), result)
    world.coordinator._judge.judge(assigned.id)
    return assigned.id


def test_a_verdict_with_all_that_led_to_it(world: World) -> None:
    first, second = finished(world), finished(world, 0.011)
    found = VerdictDetail.model_validate_json(world.get(f"/api/v1/runs/{second}/verdict").content)
    assert found.verdict.verdict is Verdict.SLOWER
    assert found.comparison.candidate_processes == 5
    missing = problem(world.get(f"/api/v1/runs/{first}/verdict"), 404)
    assert "first run of this configuration" in missing.problem
    assert problem(world.get("/api/v1/runs/nonsense/verdict"), 404)


def test_a_baseline_is_chosen_and_cleared_and_the_latest_run_judged_at_once(world: World) -> None:
    first, second, third = finished(world), finished(world, 0.011), finished(world, 0.011)
    headers = world.headers()
    path = f"/api/v1/runs/{first}/baseline"
    chosen = Standing.model_validate_json(world.client.put(path, headers=headers).content)
    assert (chosen.run_id, chosen.pinned_run_id) == (third, first)
    assert chosen.verdict is not None
    assert chosen.verdict.verdict is Verdict.SLOWER
    cleared = Standing.model_validate_json(world.client.delete(path, headers=headers).content)
    assert cleared.pinned_run_id is None
    assert cleared.verdict is not None
    assert cleared.verdict.baseline_run_id == second
    assert (
        "no baseline is pinned" in problem(world.client.delete(path, headers=headers), 404).problem
    )


def test_lists_are_filtered_and_bounded(world: World) -> None:
    finished(world)
    finished(world, model="<script>alert(1)</script>")
    found = StandingList.model_validate_json(world.get("/api/v1/baselines").content)
    assert [s.configuration.model for s in found.standings] == [
        "<script>alert(1)</script>",
        "resnet18",
    ]
    only = world.get("/api/v1/history", params={"model": "resnet18", "device": "pi5-a"})
    assert len(History.model_validate_json(only.content).runs) == 1
    for path in ("/api/v1/baselines", "/api/v1/history"):
        assert problem(world.get(path, params={"limit": "0"})).field == "query.limit"


# --- the exposition --------------------------------------------------------------------------


def test_a_scrape_has_the_verdict_and_openmetrics_the_run_behind_a_count(world: World) -> None:
    finished(world)
    second = finished(world, 0.011)
    plain = world.get("/metrics", Role.METRICS)
    assert plain.headers["Content-Type"] == CONTENT_TYPE
    assert 'verdict="slower"} 1.0' in plain.text
    assert second in plain.text
    headers = world.headers(Role.METRICS) | {"Accept": f"{OPENMETRICS};version=1.0.0,*/*;q=0.1"}
    found = world.client.get("/metrics", headers=headers)
    assert found.headers["Content-Type"] == OPENMETRICS_CONTENT_TYPE
    families = {f.name: f for f in text_string_to_metric_families(found.text)}
    (counted,) = families["fleetmark_runs"].samples
    assert counted.exemplar is not None
    assert counted.exemplar.labels == {"run_id": second}


def test_a_device_whose_clock_is_wrong_is_seen_by_the_coordinators(world: World) -> None:
    finished(world)
    (device,) = world.coordinator.devices()
    (line,) = [
        line
        for line in world.get("/metrics").text.splitlines()
        if line.startswith("fleetmark_run_completed_timestamp_seconds{")
    ]
    # The result says 2026-01-02, whenever this test runs.
    assert device.last_seen_at is not None
    assert float(line.rpartition(" ")[2]) >= device.last_seen_at.timestamp()


# --- the command line ------------------------------------------------------------------------


@pytest.fixture
def client(world: World, monkeypatch: pytest.MonkeyPatch) -> Client:
    def over_the_application(request: httpx.Request) -> httpx.Response:
        answer = world.client.request(
            request.method, str(request.url.raw_path, "ascii"), headers=dict(request.headers)
        )
        return httpx.Response(answer.status_code, content=answer.content)

    transport = httpx.MockTransport(over_the_application)
    found = Client("http://c:8470", world.tokens.token(Role.ADMIN), transport)
    monkeypatch.setattr(connection, "connect", lambda *_: found)
    return found


def test_show_set_and_clear(
    world: World, client: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["baseline", "show"]) == 0
    assert "No successful run yet" in capsys.readouterr().err
    first, second = finished(world), finished(world, 0.011)
    assert run(["baseline", "show"]) == 0
    out = capsys.readouterr().out
    assert "slower" in out
    assert "1.100 [1." in out
    assert first in out
    assert run(["baseline", "set", second]) == 0
    out = capsys.readouterr().out
    assert f"{second} (chosen)" in out
    assert "it is the baseline itself" in out
    assert run(["baseline", "clear", first, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["verdict"]["baseline_run_id"] == first
    assert client.verdict(second).verdict.verdict is Verdict.SLOWER


@pytest.mark.usefixtures("client")
def test_a_run_that_is_none_is_bad_input(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["baseline", "set", "nonsense"]) == 2
    assert "no run 'nonsense'" in capsys.readouterr().err
