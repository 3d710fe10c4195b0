"""The boards as data: generated is what is committed, and nothing a reader needs is missing."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from dashboards import frame, generate, series, shipped
from dashboards.queries import metrics_in, queries
from dashboards.style import FULL_WIDTH
from profiler import metrics
from tests.dashboards.exposition import families

BOARDS = shipped.boards()
UIDS = (frame.FLEET, frame.LATENCY, frame.DEVICE, frame.COMPARE)
# Those of charts: a table has its columns' names, a number is one.
WITH_LEGEND = ("timeseries", "barchart", "state-timeline", "xychart")


def panels(board: dict[str, Any]) -> Iterator[dict[str, Any]]:
    return (panel for panel in board["panels"] if panel["type"] != "row")


every_board = pytest.mark.parametrize("uid", UIDS)


def test_what_is_committed_is_what_is_generated() -> None:
    committed = {path.name: path.read_text("utf-8") for path in shipped.DIRECTORY.iterdir()}
    # Not equal? `python -m dashboards.generate` writes them anew.
    assert committed == generate.generated()


def test_there_are_four() -> None:
    assert set(BOARDS) == set(UIDS)
    assert len({board["title"] for board in BOARDS.values()}) == len(UIDS)


@every_board
def test_every_panel_says_what_it_shows(uid: str) -> None:
    for panel in panels(BOARDS[uid]):
        assert panel["title"]
        assert panel["description"].endswith((".", "?")), panel["title"]
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        assert panel["targets"]


@every_board
def test_every_panel_has_units(uid: str) -> None:
    """A default, and one of its own for each axis and for each column of numbers in a table."""
    for panel in panels(BOARDS[uid]):
        assert panel["fieldConfig"]["defaults"].get("unit"), panel["title"]
        if panel["type"] == "heatmap":
            assert panel["options"]["yAxis"]["unit"] == "s"
        if panel["type"] == "xychart":
            assert len(_units(panel)) == 3, panel["title"]
        if panel["type"] == "table":
            numbers = _columns_of_numbers(panel)
            said = {
                override["matcher"]["options"]
                for override in panel["fieldConfig"]["overrides"]
                for value in override["properties"]
                if value["id"] in ("unit", "mappings", "decimals")
            }
            assert numbers - said - {"Runs waiting"} == set(), panel["title"]


def _columns_of_numbers(panel: dict[str, Any]) -> set[str]:
    """Names of the columns that have a query's values."""
    organized = [each for each in panel["transformations"] if each["id"] == "organize"]
    if not organized:
        # Models by devices: all columns have the panel's own unit.
        assert panel["fieldConfig"]["defaults"]["unit"] != "short"
        return set()
    names = organized[0]["options"]["renameByName"]
    return {name for field, name in names.items() if field.startswith("Value #")}


def _units(panel: dict[str, Any]) -> list[str]:
    config = panel["fieldConfig"]
    found = [config["defaults"].get("unit")]
    found += [
        value["value"]
        for override in config["overrides"]
        for value in override["properties"]
        if value["id"] == "unit"
    ]
    return [unit for unit in found if unit]


@every_board
def test_legends_are_shown(uid: str) -> None:
    for panel in panels(BOARDS[uid]):
        if panel["type"] in WITH_LEGEND:
            assert panel["options"]["legend"]["showLegend"], panel["title"]
            assert panel["options"]["legend"]["placement"] == "bottom", panel["title"]
        elif panel["type"] == "heatmap":
            assert panel["options"]["legend"]["show"]
        else:
            assert panel["type"] in ("stat", "table"), panel["title"]
        for target in panel["targets"]:
            # A query of a chart says what its lines are called; else their labels are shown.
            if panel["type"] in ("timeseries", "state-timeline", "heatmap"):
                assert "{{" in target["legendFormat"], panel["title"]


@every_board
def test_every_panel_has_thresholds(uid: str) -> None:
    for panel in panels(BOARDS[uid]):
        thresholds = panel["fieldConfig"]["defaults"]["thresholds"]
        assert thresholds["mode"] == "absolute"
        first, *more = [step.get("value") for step in thresholds["steps"]]
        assert first is None, panel["title"]
        assert more == sorted(more), panel["title"]


def test_what_is_good_and_what_is_not_has_a_colour() -> None:
    """Numbers that someone has to act on."""
    coloured = {
        panel["title"]
        for board in BOARDS.values()
        for panel in panels(board)
        if len(panel["fieldConfig"]["defaults"]["thresholds"]["steps"]) > 1
    }
    assert {
        "Devices reached", "Devices not reached", "Runs failed", "Last heard of", "Hottest sensor",
        "Throttled", "Sensors that fail", "Temperature", "Latency against the baseline",
        "Ratio to the baseline, over time",
    } <= coloured  # fmt: skip


@every_board
def test_the_ends_of_runs_are_marked(uid: str) -> None:
    own, runs = BOARDS[uid]["annotations"]["list"]
    assert own["builtIn"] == 1
    assert runs["enable"]
    assert metrics.RUN_COMPLETED.name in runs["expr"]
    # Its value is the time, in milliseconds.
    assert runs["useValueForTime"] in (True, "on")
    assert runs["expr"].endswith("* 1000")
    for part in ("{{model}}", "{{device}}", "{{runtime}}", "{{batch_size}}"):
        assert part in runs["titleFormat"] + runs["textFormat"]


@every_board
def test_colours_are_named_so_that_each_theme_has_its_shade(uid: str) -> None:
    assert not re.search(r"#[0-9a-fA-F]{6}\b|rgba?\(", json.dumps(BOARDS[uid]))


def test_where_there_are_exemplars_they_are_asked_for() -> None:
    """On buckets, that is: a gauge has none, and those of counts have no place in a chart."""
    for board in BOARDS.values():
        for panel in panels(board):
            for target in panel["targets"]:
                assert target.get("exemplar", False) is ("_bucket" in target["expr"])
    assert any(panel["type"] == "heatmap" for panel in panels(BOARDS[frame.LATENCY]))


@every_board
def test_variables_of_every_board(uid: str) -> None:
    names = [variable["name"] for variable in BOARDS[uid]["templating"]["list"]]
    assert {"datasource", "device", "model", "runtime", "run"} <= set(names)
    assert len(set(names)) == len(names)
    assert names[0] == "datasource"


@every_board
def test_a_board_does_not_open_with_a_run_that_measured_nothing(uid: str) -> None:
    (run,) = (each for each in BOARDS[uid]["templating"]["list"] if each["name"] == "run")
    assert 'status="succeeded"' in run["query"]["query"]


@every_board
def test_boards_lead_to_each_other_and_to_the_runs_page(uid: str) -> None:
    board = BOARDS[uid]
    assert board["tags"] == [frame.TAG]
    to_boards, to_run = board["links"]
    assert to_boards["tags"] == [frame.TAG]
    assert to_run["url"] == "${coordinator:raw}/#/runs/${run:percentencode}"
    # Where the SDK would put them nobody looks.
    assert "placement" not in to_boards


def test_tables_lead_to_devices_and_runs() -> None:
    text = json.dumps(BOARDS[frame.LATENCY]) + json.dumps(BOARDS[frame.FLEET])
    assert f"/d/{frame.DEVICE}?var-device=" in text
    assert "${coordinator:raw}/#/runs/${__value.text}" in text


@every_board
def test_panels_fill_the_grid_without_overlap(uid: str) -> None:
    taken: set[tuple[int, int]] = set()
    ids = [panel["id"] for panel in BOARDS[uid]["panels"]]
    assert len(set(ids)) == len(ids)
    for panel in BOARDS[uid]["panels"]:
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < FULL_WIDTH
        taken |= cells
    widths = {y: sum(1 for x, each in taken if each == y) for _, y in taken}
    assert set(widths.values()) == {FULL_WIDTH}


def test_metrics_of_every_query_are_in_the_catalogue() -> None:
    known = {family.name for family in families()}
    used = {
        name
        for board in BOARDS.values()
        for query in queries(board)
        for name in metrics_in(query.text)
    }
    assert used <= known


def test_every_label_of_a_configuration_is_told() -> None:
    for label in ("device", *metrics.CONFIGURATION):
        assert f"{{{{{label}}}}}" in series.CONFIGURATION_LEGEND
        assert label in series.CONFIGURATION_COLUMNS


def test_what_one_looks_for_in_a_table_comes_before_what_is_mostly_the_same() -> None:
    """Ten columns fit on a screen, and a configuration alone has ten."""
    seen = set()
    for board in BOARDS.values():
        for panel in panels(board):
            for step in panel.get("transformations", ()):
                order = step["options"].get("indexByName", {})
                if "scenario" in order:
                    seen.add(panel["title"])
                    figures = [at for name, at in order.items() if name.startswith("Value #")]
                    assert max(figures, default=0) < order["precision"]
                    assert order["model"] <= 1
    assert seen == {
        "Latest result of every model on every device", "Runs",
        "Latest runs against their baselines",
    }  # fmt: skip


def test_counts_begin_at_zero() -> None:
    """Where they do not, a queue of three looks like an empty one."""
    seen = 0
    for panel in panels(BOARDS[frame.FLEET]):
        if panel["type"] == "timeseries":
            assert panel["fieldConfig"]["defaults"]["custom"]["axisSoftMin"] == 0, panel["title"]
            seen += 1
    assert seen == 4


def test_no_chart_has_more_lines_than_can_be_read() -> None:
    """Where there is one for each configuration, or each model and device, they are limited."""
    seen = set()
    for board in BOARDS.values():
        for panel in panels(board):
            for target in panel["targets"]:
                if (
                    panel["type"] == "barchart"
                    or target["legendFormat"] == series.CONFIGURATION_LEGEND
                ):
                    seen.add(panel["type"])
                    assert f"topk({series.MOST_LINES}," in target["expr"], panel["title"]
    assert seen == {"barchart", "timeseries", "state-timeline"}
