"""The small server of an agent asks for a token, and what fails in it stops nothing else."""

from __future__ import annotations

import hashlib
import http.client
import logging
import socket
from collections.abc import Callable, Iterator

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric

from agents.exposition import CONTENT_TYPE, render
from agents.metrics_server import MetricsServer, serve_metrics

TOKEN = "a-token-of-this-fleet"
DIGEST = hashlib.sha256(TOKEN.encode()).hexdigest()


class OneGauge:
    """A collector of one series, whose value is asked for at every scrape."""

    def __init__(self, value: Callable[[], float]) -> None:
        self._value = value

    def describe(self) -> Iterator[Metric]:
        yield GaugeMetricFamily("fleetmark_agent_busy", "One series.")

    def collect(self) -> Iterator[Metric]:
        yield GaugeMetricFamily("fleetmark_agent_busy", "One series.", value=self._value())


def registry_of(value: Callable[[], float]) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(OneGauge(value))
    return registry


def serve(value: Callable[[], float]) -> MetricsServer:
    return serve_metrics(registry_of(value), port=0, address="127.0.0.1", token_sha256=DIGEST)


@pytest.fixture(scope="module")
def server() -> Iterator[MetricsServer]:
    running = serve(lambda: 1.0)
    yield running
    running.close()


def get(
    server: MetricsServer, path: str, authorization: str | None = None
) -> tuple[int, str, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    try:
        headers = {} if authorization is None else {"Authorization": authorization}
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.headers["Content-Type"], answer.read()
    finally:
        connection.close()


@pytest.mark.parametrize("scheme", ["Bearer", "bearer"])
def test_the_token_opens_metrics(server: MetricsServer, scheme: str) -> None:
    status, content_type, body = get(server, "/metrics", f"{scheme} {TOKEN}")
    assert (status, content_type) == (200, CONTENT_TYPE)
    assert body == render(registry_of(lambda: 1.0))


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Bearer",
        "Bearer wrong",
        TOKEN,
        f"Basic {TOKEN}",
        f"Bearer {TOKEN}x",
        "Bearer \xe9\xff",
        f"Bearer {DIGEST}",
    ],
)
def test_without_it_a_sentence_says_what_is_missing(
    server: MetricsServer, authorization: str | None
) -> None:
    status, content_type, body = get(server, "/metrics", authorization)
    assert status == 401
    assert content_type.startswith("text/plain")
    assert b"Authorization: Bearer" in body
    assert b"fleetmark_" not in body


def test_health_needs_no_token_and_other_paths_are_named(server: MetricsServer) -> None:
    assert get(server, "/healthz")[::2] == (200, b"ok\n")
    status, _, body = get(server, "/elsewhere")
    assert status == 404
    assert b"/metrics" in body


def test_a_collector_that_fails_fails_the_scrape_and_not_the_server(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken() -> float:
        raise RuntimeError("the store is gone")

    server = serve(broken)
    try:
        status, _, body = get(server, "/metrics", f"Bearer {TOKEN}")
        assert status == 500
        assert b"the store is gone" not in body
        assert "the store is gone" in caplog.text
        assert get(server, "/healthz")[0] == 200
    finally:
        server.close()


def test_requests_are_not_logged(
    server: MetricsServer, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level(logging.INFO):
        get(server, "/metrics")
        get(server, "/metrics", f"Bearer {TOKEN}")
    assert caplog.text == ""
    assert capfd.readouterr() == ("", "")


def test_a_silent_client_holds_up_nobody(server: MetricsServer) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=10):
        assert get(server, "/healthz")[0] == 200


def test_a_closed_server_frees_its_port() -> None:
    first = serve_metrics(CollectorRegistry(), 0, "127.0.0.1", "0" * 64)
    port = first.port
    with pytest.raises(OSError, match="in use"):
        serve_metrics(CollectorRegistry(), port, "127.0.0.1", "0" * 64)
    first.close()
    serve_metrics(CollectorRegistry(), port, "127.0.0.1", "0" * 64).close()
