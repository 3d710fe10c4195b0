"""Every query of every board, executed by a real Prometheus over a made-up fleet."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from dashboards import shipped
from dashboards.queries import check, queries
from tests import prometheus
from tests.dashboards.exposition import served
from tests.dashboards.test_alerts import NAMES
from tests.tools import need_program

# Enough scrapes for a rate.
SCRAPED = "count(count_over_time(up[1m]) >= 4) == 2"
# The made-up fleet has a model that is slower than its baseline.
FIRING = 'ALERTS{alertname="LatencyRegression",alertstate="firing"}'

Ask = Callable[[str, Mapping[str, str]], Any]


@pytest.fixture(scope="module")
def ask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ask]:
    """The shipped Prometheus, which finds the made-up fleet by itself."""
    need_program("prometheus")
    directory = tmp_path_factory.mktemp("prometheus")
    token = directory / "metrics.token"
    token.write_text("made-up")
    with served("made-up") as address:
        config = prometheus.shipped_config(directory, address, token)
        with prometheus.running(config, directory) as url:
            prometheus.until_true(url, SCRAPED)
            prometheus.until_true(url, FIRING)
            yield prometheus.asking(url)


@pytest.mark.parametrize("uid", sorted(shipped.boards()))
def test_every_query_finds_something(uid: str, ask: Ask) -> None:
    assert check(shipped.boards()[uid], ask, time.time()) == []


def _with_query(text: str) -> dict[str, Any]:
    board = copy.deepcopy(shipped.boards()["fleetmark-fleet"])
    next(panel for panel in board["panels"] if panel.get("targets"))["targets"][0]["expr"] = text
    return board


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("sum(fleetmark_agent_up{)", "unexpected"),
        ("sum(fleetmark_agents_up)", "finds nothing"),
        ("sum(fleetmark_agent_up) * NaN", "finds nothing"),
        ('fleetmark_agent_up{device=~"$devise"}', "$devise is not defined"),
        ("fleetmark_jobs * on (device) fleetmark_agent_up", ""),
    ],
)
def test_the_check_sees_a_fault(text: str, problem: str, ask: Ask) -> None:
    found = check(_with_query(text), ask, time.time())
    assert found
    assert any(problem in each.problem for each in found)


def test_what_a_fleet_cannot_measure_may_be_absent(ask: Ask) -> None:
    board = _with_query("sum(fleetmark_device_dissipation_watts)")
    assert len(check(board, ask, time.time())) == 1
    absent = frozenset({"fleetmark_device_dissipation_watts"})
    assert check(board, ask, time.time(), absent) == []


def test_the_shipped_alerts_are_evaluated(ask: Ask) -> None:
    (group,) = ask("rules", {})["groups"]
    assert {rule["name"]: rule["health"] for rule in group["rules"]} == dict.fromkeys(NAMES, "ok")
    assert ask("query", {"query": FIRING})["result"]


def test_queries_of_all_three_kinds_are_found() -> None:
    where = {
        query.where.partition(" ")[0] for query in queries(shipped.boards()["fleetmark-device"])
    }
    assert where == {"panel", "variable", "annotation"}
