"""A real Prometheus, Debian's, for a test."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from dashboards.queries import QueryError
from tests.tools import need_program

START_SECONDS = 60
DEPLOY = Path(__file__).parents[1] / "deploy"


def shipped_config(directory: Path, coordinator: str, token: Path) -> Path:
    """``deploy/prometheus.yml`` and its alerts, with what a user changes; scrapes each second."""
    text = (DEPLOY / "prometheus.yml").read_text(encoding="utf-8")
    for old, new in (
        ("coordinator:8470", coordinator),
        ("/etc/prometheus/fleetmark/metrics.token", str(token)),
        ("interval: 15s", "interval: 1s\n  evaluation_interval: 1s"),
        ("interval: 30s", "interval: 1s"),
    ):
        assert old in text
        text = text.replace(old, new)
    config = directory / "prometheus.yml"
    config.write_text(text, encoding="utf-8")
    (directory / "alerts.yml").write_bytes((DEPLOY / "alerts.yml").read_bytes())
    return config


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(config: Path, directory: Path) -> Iterator[str]:
    """Its address, once it is ready.

    Args:
        config: its configuration.
        directory: for its data and its log.
    """
    url = f"http://127.0.0.1:{free_port()}"
    log = directory / "prometheus.log"
    with log.open("wb") as file:
        server = subprocess.Popen(
            [
                need_program("prometheus"), f"--config.file={config}",
                f"--storage.tsdb.path={directory / 'prometheus-data'}",
                f"--web.listen-address={url.removeprefix('http://')}", "--log.level=warn",
                "--enable-feature=exemplar-storage",
            ],
            stdout=file,
            stderr=file,
        )  # fmt: skip
    try:
        _until(lambda: server.poll() is not None or _ready(url), "Prometheus to be ready")
        assert server.poll() is None, log.read_text()
        yield url
    finally:
        server.terminate()
        server.wait()


def _ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/-/ready").is_success
    except httpx.TransportError:
        return False


def asking(url: str) -> Callable[[str, Mapping[str, str]], Any]:
    """What ``dashboards.queries`` asks, of this Prometheus."""

    def ask(path: str, parameters: Mapping[str, str]) -> Any:
        answer = httpx.get(f"{url}/api/v1/{path}", params=dict(parameters), timeout=30).json()
        if answer["status"] != "success":
            raise QueryError(answer["error"])
        return answer["data"]

    return ask


def until_true(url: str, query: str, seconds: float = START_SECONDS) -> None:
    """Wait until the query finds something."""
    ask = asking(url)
    _until(lambda: bool(ask("query", {"query": query})["result"]), query, seconds)


def _until(condition: Callable[[], bool], what: str, seconds: float = START_SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"no {what} after {seconds} s"
        time.sleep(0.1)
