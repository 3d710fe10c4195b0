"""The page's routes over real HTTP: previews, charts, comparisons, and the stream of events."""

from __future__ import annotations

import json
from collections.abc import Iterator

import httpx
import pytest

from agents.client import Client
from agents.messages import JobRequest
from agents.views import DevicePage, History, JobView, Overview, Pair, Preview, RunChart
from profiler.result import FailureKind, RunError
from tests.builders import make_request
from tests.web.world import World


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    found = World(tmp_path_factory.mktemp("world"))
    found.device("pi5-a", labels={"room": "lab"})
    found.device("nuc-13", labels={"room": "office"})
    found.ids["good"] = found.measured("resnet18", "pi5-a", trace=True)
    found.ids["slower"] = found.measured("resnet18", "pi5-a", factor=1.2)
    error = RunError(kind=FailureKind.TIMEOUT, message="too slow")
    found.ids["failed"] = found.measured("resnet18", "pi5-a", error=error)
    found.start()
    yield found
    found.stop()
    found.engine.dispose()


@pytest.fixture
def http(world: World) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {world.token}"}
    with httpx.Client(base_url=world.url, headers=headers, timeout=30) as client:
        yield client


def request(**changes: object) -> dict[str, object]:
    found: JobRequest = make_request(**changes)
    return found.model_dump(mode="json")


def test_a_preview_tells_what_a_job_would_be_and_queues_nothing(
    world: World, http: httpx.Client
) -> None:
    before = world.store.jobs(100)
    body = request(axes={"batch_size": [1, 8], "runtime": ["torch", "onnxruntime"]})
    found = Preview.model_validate_json(http.post("/api/v1/page/preview", json=body).content)
    assert (found.runs, found.runs_per_device, found.seconds_per_device) == (8, 4, 40.0)
    assert set(found.devices) == {"pi5-a", "nuc-13"}
    answer = http.post("/api/v1/page/preview", json=request(devices="pi5-x"))
    assert answer.status_code == 422
    assert answer.json()["field"] == "devices"
    assert "Did you mean pi5-a?" in answer.json()["remedy"]
    assert world.store.jobs(100) == before


def test_a_chart_of_a_run(world: World, http: httpx.Client) -> None:
    path = f"/api/v1/page/runs/{world.ids['good']}/chart"
    found = RunChart.model_validate_json(http.get(path).content)
    assert found.iterations == 2400
    assert 0 < len(found.buckets) <= 2000
    assert {line.label for line in found.traces} >= {"rapl package-0", "thermal cpu"}
    answer = http.get(f"/api/v1/page/runs/{world.ids['failed']}/chart")
    assert answer.status_code == 404
    assert "has no raw iterations (failed)" in answer.json()["problem"]


def test_two_runs_are_compared_by_their_iterations(world: World, http: httpx.Client) -> None:
    params = {"baseline": world.ids["good"], "candidate": world.ids["slower"]}
    found = Pair.model_validate_json(
        http.get("/api/v1/page/comparison", params=params).content
    ).comparison
    assert (found.verdict, found.method) == ("slower", "hierarchical bootstrap")
    assert "slower than before" in found.sentence
    answer = http.get("/api/v1/page/comparison", params=params | {"across": "colour"})
    assert answer.status_code == 422
    assert answer.json()["field"] == "across"


def test_a_failed_run_has_no_verdict_and_no_fault(world: World, http: httpx.Client) -> None:
    params = {"baseline": world.ids["good"], "candidate": world.ids["failed"]}
    found = Pair.model_validate_json(http.get("/api/v1/page/comparison", params=params).content)
    assert [each.field for each in found.comparison.refusals] == ["status"]


def test_a_history(http: httpx.Client) -> None:
    params = {"device": "pi5-a", "model": "resnet18"}
    found = History.model_validate_json(http.get("/api/v1/page/history", params=params).content)
    (series,) = found.series
    first, second = series.points
    assert first.verdict is None
    assert second.verdict is not None
    assert second.verdict.verdict == "slower"
    assert second.verdict.baseline_run_id == first.run.run_id


def test_devices_by_label_and_their_states(world: World, http: httpx.Client) -> None:
    found = DevicePage.model_validate_json(
        http.get("/api/v1/page/devices", params={"words": "room=LAB"}).content
    )
    assert [device.name for device in found.devices] == ["pi5-a"]
    assert (found.matching, sum(found.states.values())) == (1, 2)
    client = Client(world.url, world.token)
    try:
        assert len(client.device_page().devices) == 2
        assert client.overview().results == 3
    finally:
        client.close()


def test_a_job_with_its_results(world: World, http: httpx.Client) -> None:
    (run,) = (r for r in world.store.results(9) if r.run_id == world.ids["good"])
    found = JobView.model_validate_json(http.get(f"/api/v1/page/jobs/{run.job_id}").content)
    assert [each.run_id for each in found.results] == [world.ids["good"]]
    assert (found.active, found.waiting) == ((), ())


def test_events_begin_with_the_view(http: httpx.Client) -> None:
    params = {"topic": "overview"}
    with http.stream("GET", "/api/v1/events", params=params) as answer:
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        assert answer.headers["Cache-Control"] == "no-store"
        lines = answer.iter_lines()
        data = next(line for line in lines if line.startswith("data: "))
    assert Overview.model_validate(json.loads(data.removeprefix("data: "))).results == 3


@pytest.mark.parametrize("topic", ["", "everything", "run:", "device"])
def test_an_unknown_topic_is_refused(http: httpx.Client, topic: str) -> None:
    answer = http.get("/api/v1/events", params={"topic": topic})
    assert answer.status_code == 422
    assert answer.json()["field"] == "topic"


def test_what_is_not_there_is_gone_at_once(http: httpx.Client) -> None:
    answer = http.get("/api/v1/events", params={"topic": "run:none"})
    assert "event: gone\ndata: there is no run 'none'" in answer.text
