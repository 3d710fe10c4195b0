"""OpenMetrics where it is asked for, with the run behind a count or a bucket."""

from __future__ import annotations

import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from agents.exporter import AgentCollector, CoordinatorCollector
from agents.exposition import (
    CONTENT_TYPE,
    OPENMETRICS,
    OPENMETRICS_CONTENT_TYPE,
    expose,
    prefers_openmetrics,
)
from agents.metrics_server import serve_metrics
from profiler.metrics import CATALOGUE, Exporter
from tests.agents.test_exporter import HOSTILE, full_agent, full_fleet, registry_of
from tests.agents.test_metrics_server import DIGEST, TOKEN
from tests.tools import need_program

# What these send.
PROMETHEUS_2 = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;"
    "escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)
BOTH = [
    (Exporter.COORDINATOR, CoordinatorCollector(full_fleet)),
    (Exporter.AGENT, AgentCollector(full_agent)),
]


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        (PROMETHEUS_2, True),
        (PROMETHEUS_3, True),
        (OPENMETRICS, True),
        (f"{OPENMETRICS};q=0", False),
        (f"{OPENMETRICS};q=much", False),
        (f"text/plain,{OPENMETRICS};q=0.1", False),
        ("text/plain;version=0.0.4", False),
        ("*/*", False),
        ("", False),
        (";;,=;q", False),
    ],
)
def test_what_a_scraper_prefers(accept: str, wanted: bool) -> None:
    assert prefers_openmetrics(accept) is wanted


@pytest.mark.parametrize(("exporter", "collector"), BOTH)
def test_what_is_served_is_what_the_catalogue_says(
    exporter: Exporter, collector: CoordinatorCollector | AgentCollector
) -> None:
    found = expose(registry_of(collector), OPENMETRICS)
    assert found.content_type == OPENMETRICS_CONTENT_TYPE
    families = {f.name: f for f in text_string_to_metric_families(found.body.decode())}
    served = [spec for spec in CATALOGUE if exporter in spec.served_by]
    assert len(families) == len(served)
    for spec in served:
        family = families[spec.name.removesuffix("_total").removesuffix("_info")]
        assert family.type == spec.type.value
        assert family.unit == (spec.unit or "")
        assert family.documentation == spec.help


def test_counts_name_their_last_run_and_buckets_one_that_fell_there() -> None:
    body = expose(registry_of(CoordinatorCollector(full_fleet)), OPENMETRICS).body.decode()
    (line,) = [each for each in body.splitlines() if each.startswith("fleetmark_runs_total{")]
    assert line.endswith('# {run_id="r-1"} 1.0')
    body = expose(registry_of(AgentCollector(full_agent)), OPENMETRICS).body.decode()
    (family,) = [
        each
        for each in text_string_to_metric_families(body)
        if each.name == "fleetmark_inference_latency_seconds"
    ]
    marked = [s for s in family.samples if s.exemplar is not None]
    assert [(s.labels["le"], s.exemplar.labels, s.exemplar.value) for s in marked] == [
        ("0.00016", {"run_id": "r-7"}, 1.5e-4)
    ]
    assert {s.labels["model"] for s in family.samples} == {HOSTILE}


def test_who_does_not_ask_gets_text_without_exemplars() -> None:
    found = expose(registry_of(CoordinatorCollector(full_fleet)), None)
    assert found.content_type == CONTENT_TYPE
    assert b"# {" not in found.body


def test_an_agent_is_asked_over_http() -> None:
    server = serve_metrics(registry_of(AgentCollector(full_agent)), 0, "127.0.0.1", DIGEST)
    headers = {"Authorization": f"Bearer {TOKEN}", "Accept": PROMETHEUS_2}
    try:
        found = httpx.get(f"http://127.0.0.1:{server.port}/metrics", headers=headers)
    finally:
        server.close()
    assert found.headers["Content-Type"] == OPENMETRICS_CONTENT_TYPE
    assert found.text.endswith("# EOF\n")


def test_a_prometheus_reads_it_and_keeps_the_exemplars(tmp_path: Path) -> None:
    """promtool cannot tell: it knows the older text only."""
    prometheus = need_program("prometheus")
    server = serve_metrics(registry_of(AgentCollector(full_agent)), 0, "127.0.0.1", DIGEST)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    config = tmp_path / "prometheus.yml"
    config.write_text(
        "scrape_configs:\n- job_name: agent\n  scrape_interval: 200ms\n  scrape_timeout: 200ms\n"
        f"  authorization: {{credentials: {TOKEN}}}\n"
        f"  static_configs: [{{targets: ['127.0.0.1:{server.port}']}}]\n"
    )
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                prometheus, f"--config.file={config}", f"--storage.tsdb.path={tmp_path / 'db'}",
                f"--web.listen-address={address}", "--enable-feature=exemplar-storage",
            ],
            stdout=log, stderr=log,
        )  # fmt: skip
    try:
        (marked,) = until_any(
            f"http://{address}/api/v1/query_exemplars",
            {"query": "fleetmark_inference_latency_seconds_bucket", "start": "0", "end": "9e9"},
            (tmp_path / "log"),
        )
        (kind,) = until_any(
            f"http://{address}/api/v1/targets/metadata",
            {"metric": "fleetmark_device_energy_joules", "match_target": '{job="agent"}'},
            (tmp_path / "log"),
        )
    finally:
        process.kill()
        process.wait()
        server.close()
    assert marked["seriesLabels"]["model"] == HOSTILE
    assert [each["labels"] for each in marked["exemplars"]] == [{"run_id": "r-7"}]
    assert (kind["type"], kind["unit"]) == ("counter", "joules")


def until_any(url: str, params: dict[str, str], log: Path) -> list[Any]:
    """What Prometheus answers, once it has something."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            answer = httpx.get(url, params=params)
        except httpx.TransportError:
            time.sleep(0.1)
            continue
        # While it starts it answers 503, in words.
        if answer.is_success and answer.json()["data"]:
            return list(answer.json()["data"])
        time.sleep(0.1)
    pytest.fail(f"Prometheus has nothing at {url}:\n{log.read_text()}")
