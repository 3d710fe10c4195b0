"""The client says what it was refused, and by whom; what a user types stays one part of a path."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from agents.client import ApiError, Client, Unreachable
from agents.messages import DeviceList, Heartbeat, Problem, RunList
from profiler.errors import FleetmarkError, InputError
from tests.builders import make_artifact, make_registration, make_request, make_result

Handler = Callable[[httpx.Request], httpx.Response]


def client(handler: Handler, url: str = "http://coordinator:8470") -> Client:
    return Client(url, "the-token", httpx.MockTransport(handler))


def answering(status: int, content: bytes | str = b"", **headers: str) -> Handler:
    return lambda _: httpx.Response(status, content=content, headers=headers)


def test_every_call_carries_the_token() -> None:
    seen: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, content=DeviceList(devices=()).model_dump_json())

    assert client(handler, "http://coordinator:8470/").devices().devices == ()
    assert str(seen[0].url) == "http://coordinator:8470/api/v1/devices"
    assert seen[0].headers["Authorization"] == "Bearer the-token"


def test_a_refusal_is_the_coordinators_sentence() -> None:
    problem = Problem(field="name", value="pi5-a", problem="belongs to another", remedy="Choose")
    with pytest.raises(ApiError) as caught:
        client(answering(422, problem.model_dump_json())).register(make_registration())
    assert caught.value.status == 422
    assert caught.value.problem == problem
    assert str(caught.value) == "name: 'pi5-a' belongs to another. Choose"


def test_an_error_that_is_no_problem_of_ours_names_its_status() -> None:
    with pytest.raises(ApiError, match="502 Bad Gateway") as caught:
        client(answering(502, "<html>nginx</html>")).devices()
    assert caught.value.status == 502


@pytest.mark.parametrize("content", ["<html>", "{}", '{"devices": [], "more": 1}', ""])
def test_an_answer_of_another_version_is_said_so(content: str) -> None:
    with pytest.raises(FleetmarkError, match="update the older of the two"):
        client(answering(200, content)).devices()


def test_a_redirect_is_not_taken_for_an_answer() -> None:
    with pytest.raises(FleetmarkError, match="does not understand"):
        client(answering(307, Location="http://elsewhere/")).devices()


def test_an_upload_is_parsed_like_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(b"x")
    with pytest.raises(FleetmarkError, match="update the older of the two"):
        client(answering(201, "{}")).upload(path)


@pytest.mark.parametrize(
    "error", [httpx.ConnectError, httpx.ReadTimeout, httpx.RemoteProtocolError]
)
def test_no_answer_is_unreachable(error: type[httpx.TransportError]) -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        raise error("no route to host", request=request)

    with pytest.raises(Unreachable, match="no route to host"):
        client(handler).devices()


@pytest.mark.parametrize(
    "url", ["http://host:port", "http://h\x00st", "http://", "ftp://host", "host:8470", "host", ""]
)
def test_what_is_no_url_is_refused_at_once(url: str) -> None:
    with pytest.raises(InputError, match="is no URL"):
        Client(url, "the-token")


@pytest.mark.parametrize("token", ["schlüssel", "two\nlines", "\x7f"])
def test_what_is_no_token_is_refused_without_showing_it(token: str) -> None:
    with pytest.raises(FleetmarkError, match="the token") as caught:
        Client("http://host", token)
    assert token not in str(caught.value)


@pytest.mark.parametrize("name", ["../jobs", "a/b", "a?limit=1", "a#b", "ü", "a%2fb"])
def test_a_name_stays_one_part_of_the_path(name: str) -> None:
    paths: list[bytes] = []

    def handler(request: httpx.Request) -> httpx.Response:
        paths.append(request.url.raw_path)
        return httpx.Response(204)

    client(handler).remove_device(name)
    assert paths[0].startswith(b"/api/v1/devices/")
    assert paths[0].count(b"/") == 4
    assert b"?" not in paths[0]


@pytest.mark.parametrize("name", ["", ".", ".."])
def test_a_name_that_would_be_another_path_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="is no name"):
        client(answering(204)).remove_device(name)
    with pytest.raises(InputError, match="is no name"):
        client(answering(200)).job(name)


def test_an_upload_is_streamed_with_its_name(tmp_path: Path) -> None:
    path = tmp_path / "my net.onnx"
    path.write_bytes(b"m" * (3 * 2**20 + 7))
    ref = make_artifact(size=path.stat().st_size)

    def handler(request: httpx.Request) -> httpx.Response:
        body = request.read()
        assert request.url.params["name"] == "my net.onnx"
        assert request.headers["Transfer-Encoding"] == "chunked"
        assert len(body) == path.stat().st_size
        return httpx.Response(201, content=ref.model_dump_json())

    assert client(handler).upload(path) == ref


def test_filters_are_sent_when_they_are_given() -> None:
    queries: list[dict[str, str]] = []

    def handler(request: httpx.Request) -> httpx.Response:
        queries.append(dict(request.url.params))
        return httpx.Response(200, content=RunList(runs=(make_result(),)).model_dump_json())

    found = client(handler)
    assert found.runs().runs[0].run_id == "run1"
    found.runs(limit=3, job_id="j", device="d")
    assert queries == [{"limit": "100"}, {"limit": "3", "job": "j", "device": "d"}]


def test_bodies_are_the_models_as_json() -> None:
    bodies: list[object] = []

    def handler(request: httpx.Request) -> httpx.Response:
        bodies.append(json.loads(request.content))
        assert request.headers["Content-Type"] == "application/json"
        return httpx.Response(200, content='{"rejoin": true}')

    found = client(handler)
    beat = Heartbeat(device_key="k" * 32, cluster_id="c", raylet_running=True)
    assert found.heartbeat("d", beat).rejoin
    with pytest.raises(FleetmarkError):
        found.submit(make_request())
    assert bodies[0] == beat.model_dump()
    assert bodies[1] == make_request().model_dump(mode="json")
