"""Pushing boards to a real Grafana: where GRAFANA_URL and GRAFANA_TOKEN name one."""

from __future__ import annotations

import json
import os

import pytest

from agents.cli.main import run
from dashboards import shipped

FOLDER = "fleetmark test"


def test_a_real_grafana_takes_the_boards(capsys: pytest.CaptureFixture[str]) -> None:
    url = os.environ.get("GRAFANA_URL")
    if not url:
        # In CI too: there is no Grafana there, and the stand-in is not one.
        pytest.skip("no GRAFANA_URL: boards were not pushed to a real Grafana")
    command = ["dashboards", "push", "--url", url, "--folder", FOLDER, "--json"]
    for _ in range(2):
        assert run(command) == 0
        done = json.loads(capsys.readouterr().out)["boards"]
    assert {each["uid"] for each in done} == set(shipped.boards())
    # What Grafana makes of a board does not make it another one.
    assert {each["change"] for each in done} == {"unchanged"}
