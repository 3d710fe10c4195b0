"""A made-up fleet as Prometheus would scrape it: a series of every metric of the catalogue.

From the catalogue and not from a running fleet: what every query of every board must find is there,
power and throttling included, which few machines that run tests can measure.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import NamedTuple

from profiler import metrics
from profiler.metrics import Exporter


class Family(NamedTuple):
    name: str
    type: str
    labels: tuple[str, ...]
    served_by: tuple[Exporter, ...]


DEVICE = "board-a"
VALUES = {
    "device": (DEVICE, "board-b"),
    "model": ("resnet18", 'hostile"\\ <script>alert(1)</script> $x (a|b).*'),
    "stat": metrics.LATENCY_STATS,
    "kind": metrics.PEAK_MEMORY_KINDS,
    "status": ("succeeded", "failed"),
    "state": ("queued", "running", "succeeded", "failed", "cancelled"),
    "verdict": ("slower",),
    "bound": metrics.RATIO_BOUNDS,
    "batch_size": ("1",),
    "run_id": ("4f1c09aa7d2e6b35",),
}
BUCKETS = ("0.001", "0.01", "0.1", "+Inf")


def families() -> tuple[Family, ...]:
    return tuple(
        Family(spec.name, spec.type.value, spec.labels, spec.served_by)
        for spec in metrics.CATALOGUE
    )


def exposition(exporter: Exporter, seconds: float) -> str:
    """The text of a scrape; counters rise with ``seconds``."""
    lines: list[str] = []
    for family in families():
        if exporter in family.served_by:
            kind = "gauge" if family.type == "info" else family.type
            lines += [f"# HELP {family.name} Made up.", f"# TYPE {family.name} {kind}"]
            lines += _samples(family, exporter, seconds)
    return "\n".join(lines) + "\n"


def _samples(family: Family, exporter: Exporter, seconds: float) -> Iterator[str]:
    # On agents service discovery attaches the device.
    labels = [
        each for each in family.labels if exporter is Exporter.COORDINATOR or each != "device"
    ]
    for values in itertools.product(*(VALUES.get(label, ("x",)) for label in labels)):
        pairs = dict(zip(labels, values, strict=True))
        if family.type == "histogram":
            for index, bound in enumerate(BUCKETS, start=1):
                yield _line(f"{family.name}_bucket", pairs | {"le": bound}, seconds * index)
            yield _line(f"{family.name}_sum", pairs, seconds)
            yield _line(f"{family.name}_count", pairs, seconds * len(BUCKETS))
        else:
            yield _line(family.name, pairs, _value(family, pairs, seconds))


def _value(family: Family, labels: dict[str, str], seconds: float) -> float:
    if family.type == "info":
        return 1
    if family.type == "counter":
        return seconds
    if "verdict" in labels:
        return float(labels["verdict"] == "slower")
    if "timestamp" in family.name:
        return 1.7e9 + seconds
    return 0.5


def _line(name: str, labels: dict[str, str], value: float) -> str:
    pairs = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
    return f"{name}{{{pairs}}} {value}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


@contextmanager
def served(token: str) -> Iterator[str]:
    """``HOST:PORT`` of a coordinator with ``/metrics`` and service discovery, and of an agent.

    As the real ones, both want the token.
    """
    with _server(Exporter.AGENT, token, []) as agent:
        targets = [{"targets": [agent], "labels": {"device": DEVICE}}]
        with _server(Exporter.COORDINATOR, token, targets) as coordinator:
            yield coordinator


@contextmanager
def _server(exporter: Exporter, token: str, targets: list[dict[str, object]]) -> Iterator[str]:
    scrapes = itertools.count(1)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.headers.get("Authorization") != f"Bearer {token}":
                self._send(401, "text/plain", "the token is wrong")
            elif self.path == "/api/v1/sd/targets":
                self._send(200, "application/json", json.dumps(targets))
            else:
                text = exposition(exporter, next(scrapes))
                self._send(200, "text/plain; version=0.0.4; charset=utf-8", text)

        def _send(self, status: int, kind: str, text: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()
