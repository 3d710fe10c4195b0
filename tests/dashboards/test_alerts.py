"""Alert rules: each fires, each is silent when it should be, each says what to do."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import yaml

from dashboards.queries import metrics_in
from tests import prometheus
from tests.dashboards.exposition import families
from tests.tools import need_program

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy" / "alerts.yml"
CASES = Path(__file__).with_name("alerts.test.yml")
NAMES = {
    "LatencyRegression", "DeviceThrottled", "AgentDown", "AgentScrapeFailing", "CoordinatorDown",
    "QueueStuck", "SensorFailing",
}  # fmt: skip


def promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [need_program("promtool"), *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def rules() -> dict[str, dict[str, Any]]:
    (group,) = yaml.safe_load(RULES.read_text())["groups"]
    return {rule["alert"]: rule for rule in group["rules"]}


def test_the_linter_has_nothing_to_say() -> None:
    done = promtool("check", "rules", "--lint-fatal", str(RULES))
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_fires_and_is_silent_as_it_should() -> None:
    done = promtool("test", "rules", str(CASES))
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_rule_that_does_not_fire_is_seen(tmp_path: Path) -> None:
    """The cases can fail: with a rule that fires too late, and one that fires always."""
    for old, new in (("> 120", "> 100000"), ('{verdict="slower"} == 1', "== 1")):
        text = RULES.read_text()
        assert old in text
        (tmp_path / "alerts.yml").write_text(text.replace(old, new))
        cases = tmp_path / "cases.yml"
        cases.write_text(CASES.read_text().replace("../../deploy/alerts.yml", "alerts.yml"))
        assert promtool("test", "rules", str(cases)).returncode != 0


def test_there_is_a_case_of_each_kind_for_each_alert() -> None:
    assert set(rules()) == NAMES
    cases = [
        (case["alertname"], bool(case["exp_alerts"]))
        for test in yaml.safe_load(CASES.read_text())["tests"]
        for case in test["alert_rule_test"]
    ]
    assert set(cases) == {(name, fires) for name in NAMES for fires in (True, False)}


def test_each_says_what_to_do_here_and_in_the_documentation() -> None:
    sections = (ROOT / "docs" / "alerts.md").read_text().split("\n## ")[1:]
    documented = {text.partition("\n")[0]: " ".join(text.split()) for text in sections}
    assert set(documented) == NAMES
    for name, rule in rules().items():
        assert set(rule["annotations"]) == {"summary", "description", "runbook"}
        assert " ".join(rule["annotations"]["runbook"].split()) in documented[name]
        assert rule["labels"]["severity"] in ("warning", "critical")


def test_metrics_of_alerts_are_in_the_catalogue_and_none_is_of_buckets() -> None:
    known = {family.name for family in families()}
    for rule in rules().values():
        assert metrics_in(rule["expr"]) <= known
        assert "_bucket" not in rule["expr"]
        assert "quantile" not in rule["expr"]


def test_the_shipped_prometheus_loads_them(tmp_path: Path) -> None:
    token = tmp_path / "metrics.token"
    token.write_text("made-up")
    config = prometheus.shipped_config(tmp_path, "192.0.2.1:8470", token)
    done = promtool("check", "config", "--lint-fatal", str(config))
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(NAMES)} rules found" in done.stdout
