"""The HTTP API: who may do what, and every refusal names its field and stores nothing."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient
from httpx import Response

from agents.client import ApiError, Client
from agents.coordinator.api import Meta, create_app
from agents.coordinator.auth import Role, Tokens, sha256
from agents.coordinator.calls import DeviceUnreachableError
from agents.coordinator.database import StoreFullError, migrate, open_engine
from agents.coordinator.models import ModelStore
from agents.coordinator.samples import SampleStore
from agents.coordinator.service import Cluster, Coordinator
from agents.coordinator.store import Store
from agents.messages import AttemptKey, Problem, RunState
from agents.parquet import read_iterations
from profiler.contention import Counters
from profiler.errors import FleetmarkError
from profiler.result import RunResult
from profiler.samples import UNKNOWN, Blocks, Iterations, Recording, SentinelSlices
from profiler.sensors.base import Channel, Quantity
from profiler.sensors.trace import Series, Trace
from profiler.trace_samples import TraceSamples
from tests.builders import (
    KEY,
    VERSIONS,
    make_artifact,
    make_registration,
    make_request,
    make_result,
)


class NobodyIsThere:
    """A fleet whose devices never answer."""

    def __init__(self) -> None:
        self.forgotten: list[str] = []

    def __getattr__(self, name: str) -> Any:
        def call(*_: object) -> None:
            raise DeviceUnreachableError("its Ray node is not in the cluster")

        return call

    def forget(self, device_id: str) -> None:
        self.forgotten.append(device_id)


class World:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.engine = open_engine(f"sqlite:///{root / 'store.db'}")
        migrate(self.engine)
        self.store = Store(self.engine)
        self.models = ModelStore(root / "models")
        self.models.prepare()
        self.samples = SampleStore(root / "samples")
        self.tokens = Tokens(root / "tokens")
        self.tokens.create()
        self.fleet = NobodyIsThere()
        self.coordinator = Coordinator(
            store=self.store,
            models=self.models,
            samples=self.samples,
            fleet=self.fleet,
            tokens=self.tokens,
            cluster=Cluster(cluster_id="c1", address="192.0.2.1:6390", token="ray-token"),
            versions=VERSIONS,
        )
        meta = Meta(version="0.1.0", url="http://c:8470", join_command="fleetmark agent")
        self.app: FastAPI = create_app(self.coordinator, self.tokens, meta)
        self.client = TestClient(self.app)

    def headers(self, role: Role = Role.ADMIN) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.tokens.token(role)}"}

    def get(self, path: str, role: Role = Role.ADMIN, **kwargs: Any) -> Response:
        return self.client.get(path, headers=self.headers(role), **kwargs)

    def post(self, path: str, body: Any = None, role: Role = Role.ADMIN) -> Response:
        return self.client.post(path, headers=self.headers(role), json=body)

    def register(self, role: Role = Role.AGENT, **changes: Any) -> Response:
        body = make_registration().model_dump(mode="json") | changes
        return self.post("/api/v1/devices", body, role)

    def submit(self, **changes: Any) -> Response:
        return self.post("/api/v1/jobs", make_request().model_dump(mode="json") | changes)

    def upload(self, data: bytes, name: str = "net.onnx") -> Response:
        return self.client.post(
            "/api/v1/models",
            params={"name": name},
            content=data,
            headers=self.headers() | {"Content-Type": "application/octet-stream"},
        )

    def files(self) -> list[Path]:
        return [path for path in (self.root / "models").rglob("*") if path.is_file()]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    found = World(tmp_path)
    with found.client:
        yield found
    found.engine.dispose()


def problem(response: Response, status: int = 422) -> Problem:
    assert response.status_code == status, response.text
    found = Problem.model_validate_json(response.content)
    assert found.problem
    assert found.remedy
    return found


# --- who may ---------------------------------------------------------------------------------


def routes(app: FastAPI) -> list[tuple[str, str]]:
    """Every route, also those of routers in routers."""
    found = []
    for path, operations in app.openapi()["paths"].items():
        found += [(method.upper(), path) for method in operations]
    hidden = [r for r in app.routes if isinstance(r, APIRoute) and not r.include_in_schema]
    found += [(method, r.path) for r in hidden for method in r.methods or ()]
    return found


OPEN = {("GET", "/healthz"), ("GET", "/"), ("GET", "/static/{name}")}
AGENTS = {("POST", "/api/v1/devices"), ("POST", "/api/v1/devices/{device_id}/heartbeat")}
METRICS = {("GET", "/metrics"), ("GET", "/api/v1/sd/targets")}


def test_every_route_but_the_open_ones_wants_a_token(world: World) -> None:
    guarded = [route for route in routes(world.app) if route not in OPEN]
    assert len(guarded) > 10
    for method, path in guarded:
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic eDp5"}):
            found = world.client.request(method, path, headers=headers)
            assert problem(found, 401).field == "token", (method, path)
            assert found.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize(("role", "allowed"), [(Role.AGENT, AGENTS), (Role.METRICS, METRICS)])
def test_a_role_may_do_its_own_and_nothing_else(
    world: World, role: Role, allowed: set[tuple[str, str]]
) -> None:
    for method, path in routes(world.app):
        if (method, path) in OPEN:
            continue
        found = world.client.request(method, path, headers=world.headers(role))
        if (method, path) in allowed:
            assert found.status_code not in (401, 403), (method, path)
        else:
            assert f"the {role} token" in problem(found, 403).problem, (method, path)


def test_the_admin_may_do_what_the_others_may(world: World) -> None:
    assert world.register(Role.ADMIN).status_code == 201
    assert world.get("/metrics").status_code == 200


def test_health_is_open_and_tells_nothing_else(world: World) -> None:
    found = world.client.get("/healthz")
    assert found.json() == {"status": "ok"}


def test_the_page_and_its_files_are_open(world: World) -> None:
    assert "text/html" in world.client.get("/").headers["Content-Type"]
    script = world.client.get("/static/main.js")
    assert "javascript" in script.headers["Content-Type"]
    for token in Role:
        assert world.tokens.token(token) not in world.client.get("/").text


@pytest.mark.parametrize(
    "path",
    [
        "/static/../api.py",
        "/static/..%2fapi.py",
        "/static/%2e%2e/%2e%2e/api.py",
        "/static//etc/passwd",
        "/static/%2fetc%2fpasswd",
        "/static/__init__.py",
        "/static/",
        "/static/main.js%00.html",
    ],
)
def test_no_other_file_is_served(world: World, path: str) -> None:
    assert world.client.get(path).status_code == 404


def test_every_answer_has_the_security_headers(world: World) -> None:
    answers = [
        world.client.get("/"),
        world.client.get("/static/main.js"),
        world.client.get("/api/v1/jobs"),
        world.get("/api/v1/jobs"),
        world.get("/nowhere"),
    ]
    for answer in answers:
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert answer.headers["Cache-Control"] == "no-store"


# --- registration ----------------------------------------------------------------------------


def test_a_device_is_admitted(world: World) -> None:
    found = world.register()
    assert found.status_code == 201
    body = found.json()
    assert body["cluster_id"] == "c1"
    assert body["ray_address"] == "192.0.2.1:6390"
    assert body["ray_token"] == "ray-token"
    assert body["metrics_token_sha256"] == sha256(world.tokens.token(Role.METRICS))
    (device,) = world.get("/api/v1/devices").json()["devices"]
    assert device["id"] == body["device_id"]
    assert device["name"] == "pi5-a"
    # Neither secret can be read back.
    assert KEY not in world.get("/api/v1/devices").text
    assert "ray-token" not in world.get("/api/v1/devices").text


@pytest.mark.parametrize(
    ("versions", "field", "remedy"),
    [
        ({"protocol": 2, "fleetmark": "9.0"}, "fleetmark", "fleetmark==0.1.0"),
        ({"ray": "2.49.1"}, "ray", "ray==2.50.0"),
        ({"ray": "3.50.0"}, "ray", "ray==2.50.0"),
        ({"python": "3.12.1"}, "python", "--worker-python"),
    ],
)
def test_versions_that_do_not_fit_are_refused_with_what_to_change(
    world: World, versions: dict[str, Any], field: str, remedy: str
) -> None:
    found = problem(world.register(versions=VERSIONS.model_dump() | versions))
    assert found.field == field
    assert remedy in found.remedy
    assert world.store.devices() == ()


@pytest.mark.parametrize("versions", [{"ray": "2.50.1"}, {"python": "3.11.2"}, {"fleetmark": "1"}])
def test_small_differences_are_admitted(world: World, versions: dict[str, Any]) -> None:
    assert world.register(versions=VERSIONS.model_dump() | versions).status_code == 201


def test_a_taken_name_is_refused(world: World) -> None:
    world.register()
    found = problem(world.register(device_key="x" * 43))
    assert found.field == "name"
    assert found.value == "pi5-a"
    assert "--name" in found.remedy


def test_the_same_device_comes_back(world: World) -> None:
    first = world.register().json()
    assert world.register().json()["device_id"] == first["device_id"]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"colour": "red"}, "colour"),
        ({"name": "Bad Name"}, "name"),
        ({"name": "-x"}, "name"),
        ({"name": "a" * 64}, "name"),
        ({"device_key": "short"}, "device_key"),
        ({"metrics_port": 0}, "metrics_port"),
        ({"metrics_port": 65536}, "metrics_port"),
        ({"address": ""}, "address"),
        ({"labels": {"Room": "lab"}}, "labels"),
        ({"labels": {"room": "lab\n"}}, "labels"),
        ({"labels": {"room": '"}'}}, "labels"),
        ({"inventory": None}, "inventory"),
    ],
)
def test_what_makes_no_sense_names_its_field(
    world: World, change: dict[str, Any], field: str
) -> None:
    assert problem(world.register(**change)).field == field
    assert world.store.devices() == ()


def test_a_heartbeat_tells_whether_to_join_again(world: World) -> None:
    device_id = world.register().json()["device_id"]
    path = f"/api/v1/devices/{device_id}/heartbeat"
    beat = {"device_key": KEY, "cluster_id": "c1", "raylet_running": True}
    assert world.post(path, beat, Role.AGENT).json() == {"rejoin": False}
    assert world.post(path, beat | {"cluster_id": "c0"}, Role.AGENT).json() == {"rejoin": True}
    problem(world.post(path, beat | {"device_key": "x" * 43}, Role.AGENT), 404)
    problem(world.post("/api/v1/devices/none/heartbeat", beat, Role.AGENT), 404)


def test_a_removed_device_is_told_that_it_is_gone(world: World) -> None:
    device_id = world.register().json()["device_id"]
    found = world.client.delete("/api/v1/devices/pi5-a", headers=world.headers())
    assert found.status_code == 204
    assert world.fleet.forgotten == [device_id]
    assert world.get("/api/v1/devices").json() == {"devices": []}
    beat = {"device_key": KEY, "cluster_id": "c1", "raylet_running": True}
    problem(world.post(f"/api/v1/devices/{device_id}/heartbeat", beat, Role.AGENT), 410)
    again = world.client.delete("/api/v1/devices/pi5-a", headers=world.headers())
    assert "pi5-a" in problem(again, 404).problem


# --- jobs ------------------------------------------------------------------------------------


def test_a_job_is_queued_with_its_runs(world: World) -> None:
    world.register()
    found = world.submit(axes={"batch_size": [1, 8]})
    assert found.status_code == 201
    job = found.json()["job"]
    assert job["state"] == "queued"
    assert [run["spec"]["batch_size"] for run in found.json()["runs"]] == [1, 8]
    assert world.get(f"/api/v1/jobs/{job['id']}").json()["job"] == job
    assert world.get("/api/v1/jobs").json() == {"jobs": [job]}
    pending = world.get("/api/v1/runs").json()["pending"]
    assert [run["job_id"] for run in pending] == [job["id"]] * 2


@pytest.mark.parametrize(
    ("change", "field", "words"),
    [
        (
            {"model": {"kind": "architecture", "library": "torchvision", "name": "resnet81"}},
            "model",
            "Did you mean resnet18",
        ),
        ({"model": {"kind": "nonsense"}}, "model", ""),
        ({"model": None}, "model", ""),
        ({"axes": {"runtime": ["tensorrt"]}}, "axes.runtime.0", ""),
        ({"axes": {"batch_size": [0]}}, "axes.batch_size.0", ""),
        ({"axes": {"batch_size": []}}, "axes.batch_size", ""),
        ({"axes": {"batch_size": [1, 1]}}, "axes", "twice"),
        ({"axes": {"batchsize": [1]}}, "axes.batchsize", ""),
        ({"devices": "nope"}, "devices", "pi5-a"),
        ({"devices": "kind=gpu"}, "devices", "matches no device"),
        ({"devices": ""}, "devices", "selects nothing"),
        ({"repetitions": 0}, "repetitions", ""),
        ({"max_time_seconds": "soon"}, "max_time_seconds", ""),
        ({"max_time_seconds": -1}, "max_time_seconds", ""),
        ({"nonsense": 1}, "nonsense", ""),
        ({"model": make_artifact().model_dump(mode="json")}, "model", "Upload the file first"),
    ],
)
def test_a_job_that_makes_no_sense_is_refused_whole(
    world: World, change: dict[str, Any], field: str, words: str
) -> None:
    world.register()
    found = problem(world.submit(**change))
    assert (found.field or "").startswith(field)
    assert words in f"{found.problem} {found.remedy}"
    assert world.store.jobs(10) == ()
    assert world.store.pending(10) == ()


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"x"', b"\xff"])
def test_a_body_that_is_no_job_is_refused(world: World, body: bytes) -> None:
    headers = world.headers() | {"Content-Type": "application/json"}
    answer = world.client.post("/api/v1/jobs", content=body, headers=headers)
    found = problem(answer, 400 if body == b"\xff" else 422)
    assert found.field in (None, "", "body")
    assert world.store.jobs(10) == ()


def test_a_job_for_an_empty_fleet_is_refused(world: World) -> None:
    assert "fleetmark agent" in problem(world.submit()).remedy


def test_a_job_is_cancelled(world: World) -> None:
    world.register()
    job = world.submit().json()["job"]
    found = world.post(f"/api/v1/jobs/{job['id']}/cancel").json()
    assert found["state"] == "cancelled"
    assert world.post(f"/api/v1/jobs/{job['id']}/cancel").json() == found
    (run,) = world.get("/api/v1/runs").json()["runs"]
    assert run["status"] == "cancelled"


@pytest.mark.parametrize(
    "path", ["/api/v1/jobs/nope", "/api/v1/runs/nope", "/api/v1/runs/nope/iterations", "/nowhere"]
)
def test_what_is_not_there_is_not_found(world: World, path: str) -> None:
    problem(world.get(path), 404)


@pytest.mark.parametrize("limit", ["0", "-1", "1001", "many"])
def test_limits_are_bounded(world: World, limit: str) -> None:
    found = problem(world.get("/api/v1/jobs", params={"limit": limit}))
    assert found.field == "query.limit"
    assert found.value == limit


def test_a_full_disk_is_told_as_such(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.register()

    def full(*_: object) -> None:
        raise StoreFullError("the disk under the store is full")

    monkeypatch.setattr(world.store, "add_job", full)
    assert "is full" in problem(world.submit(), 507).problem


# --- results ---------------------------------------------------------------------------------


def finished(world: World, **changes: Any) -> RunResult:
    """A run that its device has done."""
    device_id = world.register().json()["device_id"]
    world.submit()
    (run,) = world.store.assign_next(device_id)
    result = make_result(run_id=run.id, job_id=run.job_id, **changes)
    assert world.store.finish(AttemptKey(run_id=run.id, attempt=run.attempt), result)
    return result


def test_a_result_is_given_as_it_was_measured(world: World) -> None:
    result = finished(world)
    assert world.get(f"/api/v1/runs/{result.run_id}").json() == json.loads(result.model_dump_json())
    assert [r["run_id"] for r in world.get("/api/v1/runs").json()["runs"]] == [result.run_id]
    for query, count in (
        ({"job": result.job_id}, 1),
        ({"job": "other"}, 0),
        ({"device": "pi5-a"}, 1),
        ({"device": "other"}, 0),
    ):
        assert len(world.get("/api/v1/runs", params=query).json()["runs"]) == count


def test_a_run_that_is_not_over_has_no_result(world: World) -> None:
    world.register()
    (run,) = world.submit().json()["runs"]
    assert RunState.QUEUED in problem(world.get(f"/api/v1/runs/{run['id']}"), 404).problem


def test_raw_iterations_are_parquet(world: World, tmp_path: Path) -> None:
    import io

    import pyarrow.parquet as pq

    result = finished(world)
    path = f"/api/v1/runs/{result.run_id}/iterations"
    problem(world.get(path), 404)
    Iterations.from_stamps(0, [(0, 10)], [(10, 30)]).save(tmp_path / "x.npz")
    world.samples.put(result.run_id, 1, (tmp_path / "x.npz").read_bytes())
    found = world.get(path)
    assert found.status_code == 200
    table = pq.read_table(io.BytesIO(found.content)).to_pydict()
    assert table["latency_ns"] == [10, 20]
    assert table["warmup"] == [True, False]


def test_a_client_reads_back_what_the_device_sent(world: World, tmp_path: Path) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        found = world.client.get(request.url.path, headers=dict(request.headers))
        return httpx.Response(found.status_code, content=found.content)

    client = Client("http://c", world.tokens.token(Role.ADMIN), httpx.MockTransport(answer))
    result = finished(world)
    with pytest.raises(ApiError, match="has no raw iterations"):
        client.iterations(result.run_id)
    sent = Iterations.from_stamps(3, [(0, 10)], [(10, 30), (30, 60)], device_ns=[7, 8])
    sent.save(tmp_path / "x.npz")
    world.samples.put(result.run_id, 1, (tmp_path / "x.npz").read_bytes())
    found = client.iterations(result.run_id)
    for name, dtype in Iterations.DTYPES.items():
        assert getattr(found, name).tolist() == getattr(sent, name).tolist()
        assert getattr(found, name).dtype == dtype


@pytest.mark.parametrize("content", [b"", b"<html>", b"PAR1PAR1"])
def test_what_is_no_parquet_is_told(content: bytes) -> None:
    with pytest.raises(FleetmarkError, match="no raw iterations"):
        read_iterations(content)


def test_the_sensors_trace_is_parquet_on_the_clock_of_the_iterations(
    world: World, tmp_path: Path
) -> None:
    import io

    import pyarrow.parquet as pq

    result = finished(world)
    power, heat = (
        Channel(source="rapl", label="package-0", quantity=quantity)
        for quantity in (Quantity.POWER, Quantity.TEMPERATURE)
    )
    seconds = np.array([1.5, 2.5])
    traces = [
        Trace(series=(Series(power, seconds, np.array([5.0, 6.0])),), absent=(), report=None),
        Trace(series=(Series(heat, seconds[:1], np.array([40.0])),), absent=(), report=None),
    ]
    Recording(
        Iterations.from_stamps(0, [], [(1_500_000_000, 2_500_000_000)]),
        Blocks.empty(),
        SentinelSlices.empty(),
        TraceSamples.of(traces),
    ).save(tmp_path / "x.npz")
    world.samples.put(result.run_id, 1, (tmp_path / "x.npz").read_bytes())
    found = world.get(f"/api/v1/runs/{result.run_id}/trace")
    assert found.status_code == 200
    assert pq.read_table(io.BytesIO(found.content)).to_pydict() == {
        "repetition": [0, 0, 1],
        "channel": ["rapl/package-0/power_watts"] * 2 + ["rapl/package-0/temperature_celsius"],
        "time_ns": [1_500_000_000, 2_500_000_000, 1_500_000_000],
        "value": [5.0, 6.0, 40.0],
    }


def test_a_run_without_sampler_has_no_trace(world: World, tmp_path: Path) -> None:
    result = finished(world)
    Iterations.from_stamps(0, [], [(10, 30)]).save(tmp_path / "x.npz")
    world.samples.put(result.run_id, 1, (tmp_path / "x.npz").read_bytes())
    assert "no raw trace" in problem(world.get(f"/api/v1/runs/{result.run_id}/trace"), 404).problem


def test_blocks_and_sentinel_are_parquet_too(world: World, tmp_path: Path) -> None:
    import io

    import pyarrow.parquet as pq

    result = finished(world)
    calm = Counters(run_delay_ns=0, steal_ns=None, pressure_ns=0, involuntary_switches=0)
    Recording(
        Iterations.from_stamps(0, [], [(10, 30)]),
        Blocks.of(0, [(10, 30)], [calm], [calm]),
        SentinelSlices.of(0, [(1, 4), (31, 35)]),
    ).save(tmp_path / "x.npz")
    world.samples.put(result.run_id, 1, (tmp_path / "x.npz").read_bytes())

    def table(name: str) -> dict[str, list[int]]:
        found = world.get(f"/api/v1/runs/{result.run_id}/{name}")
        assert found.status_code == 200
        columns: dict[str, list[int]] = pq.read_table(io.BytesIO(found.content)).to_pydict()
        return columns

    assert table("blocks")["steal_ns"] == [UNKNOWN]
    assert table("sentinel")["duration_ns"] == [3, 4]
    problem(world.get(f"/api/v1/runs/{result.run_id}/secrets"), 422)


# --- models ----------------------------------------------------------------------------------


def onnx_model(batch: int | str = "batch") -> bytes:
    from onnx import TensorProto, helper

    def tensor(name: str) -> Any:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, [batch, 8])

    node = helper.make_node("Relu", ["x"], ["y"])
    graph = helper.make_graph([node], "g", [tensor("x")], [tensor("y")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    data: bytes = model.SerializeToString()
    return data


def test_a_model_is_uploaded_and_measured(world: World) -> None:
    world.register()
    found = world.upload(onnx_model())
    assert found.status_code == 201, found.text
    ref = found.json()
    assert ref["format"] == "onnx"
    assert ref["name"] == "net.onnx"
    submitted = world.submit(model=ref)
    assert submitted.status_code == 201, submitted.text
    assert submitted.json()["runs"][0]["spec"]["runtime"] == "onnxruntime"


def test_what_a_client_says_of_a_stored_model_is_not_believed(world: World) -> None:
    world.register()
    ref = world.upload(onnx_model()).json()
    lie = ref | {"format": "torchscript", "size_bytes": 1}
    (run,) = world.submit(model=lie).json()["runs"]
    assert run["spec"]["model"]["format"] == "onnx"
    assert run["spec"]["model"]["size_bytes"] == ref["size_bytes"]


def test_a_batch_size_that_the_model_does_not_take_is_refused(world: World) -> None:
    world.register()
    ref = world.upload(onnx_model(batch=4)).json()
    found = problem(world.submit(model=ref, axes={"batch_size": [8]}))
    assert found.field == "batch_size"
    assert world.store.jobs(10) == ()


@pytest.mark.parametrize(
    "data",
    [b"", pickle.dumps({"a": 1}), onnx_model()[:40], b"\x80\x02}q\x00.", b"PK\x03\x04 cut"],
    ids=["empty", "pickle", "truncated", "old pickle", "zip"],
)
def test_a_file_that_is_no_model_is_refused_and_nothing_of_it_stays(
    world: World, data: bytes
) -> None:
    found = problem(world.upload(data))
    assert found.field == "model"
    assert found.value == "net.onnx"
    assert world.files() == []


@pytest.mark.parametrize("name", ["", "x" * 201])
def test_a_model_has_a_name_of_reasonable_length(world: World, name: str) -> None:
    assert problem(world.upload(onnx_model(), name)).field == "query.name"


@pytest.mark.parametrize("name", ["../../evil.onnx", "/etc/passwd.onnx", "a\x00b.onnx"])
def test_a_name_is_never_a_path(world: World, name: str) -> None:
    world.upload(onnx_model(), name)
    assert all(path.is_relative_to(world.root / "models") for path in world.root.rglob("*.onnx"))
    assert not [path for path in world.files() if "evil" in path.name or "passwd" in path.name]


def test_a_model_that_is_too_large_is_refused(world: World, tmp_path: Path) -> None:
    world.coordinator.models = ModelStore(tmp_path / "models", max_bytes=100)
    assert "larger than 100 bytes" in problem(world.upload(bytes(101))).problem
    assert world.files() == []


def test_no_room_for_a_model_is_told_as_such(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(world.models, "keep", full)
    assert "No space left on device" in problem(world.upload(onnx_model()), 507).problem
    assert world.files() == []


# --- Prometheus and the page -----------------------------------------------------------------


def test_service_discovery_lists_the_agents(world: World) -> None:
    assert world.get("/api/v1/sd/targets", Role.METRICS).json() == []
    world.register()
    found = world.get("/api/v1/sd/targets", Role.METRICS)
    assert found.headers["Content-Type"] == "application/json"
    assert found.json() == [{"targets": ["192.0.2.7:9400"], "labels": {"device": "pi5-a"}}]


def test_the_metrics_of_the_fleet(world: World) -> None:
    result = finished(world)
    found = world.get("/metrics", Role.METRICS)
    assert found.status_code == 200
    text = found.text
    assert 'device="pi5-a"' in text
    assert 'model="resnet18"' in text
    # An id is a label of the one metric that is for it, or every run would be a new series.
    named = [line for line in text.splitlines() if result.run_id in line]
    assert [line.partition("{")[0] for line in named] == ["fleetmark_run_info"]
    assert 'job="' not in text


def test_what_the_page_shows_of_the_coordinator(world: World) -> None:
    assert world.get("/api/v1/meta").json() == {
        "version": "0.1.0",
        "url": "http://c:8470",
        "join_command": "fleetmark agent",
        "agent_token_file": "",
        "python": "",
        "ray": "",
    }
