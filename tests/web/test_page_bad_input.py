"""What is wrong, hostile or too much, each told in words. No Prometheus runs while they do."""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import insert

from agents.coordinator import schema
from tests.builders import make_result
from tests.small_onnx import save_small_onnx
from tests.web import page_data as data
from tests.web.views import shows, visit
from tests.web.world import World

SERIES = 10_000


# --- hostile names ---------------------------------------------------------------------------


def stays_text(page: Page) -> None:
    """The only script is the page's own, and no picture was made of a name."""
    expect(page.locator("script")).to_have_count(1)
    expect(page.locator("main :is(img, script)")).to_have_count(0)
    assert page.title() != "owned"


@pytest.mark.parametrize(
    "view",
    [
        "/devices",
        "/results",
        "/runs/{script}",
        "/runs/{oom}",
        "/compare?baseline={good}&candidate={script}",
        "/compare?device=orin-1",
    ],
)
def test_markup_in_names_stays_text(page: Page, fleet: World, view: str) -> None:
    main = visit(page, fleet, view.format_map(fleet.ids))
    expect(main).to_contain_text("owned")
    stays_text(page)


def test_a_model_of_that_name_has_a_history_like_any_other(page: Page, fleet: World) -> None:
    main = visit(page, fleet, f"/runs/{fleet.ids['script']}")
    main.get_by_role("link", name="its history").click()
    expect(main.locator("svg[data-key=history]")).to_be_visible()
    shows(main, data.SCRIPT)
    stays_text(page)


def test_a_file_of_such_a_name_is_uploaded_and_stays_text(
    page: Page, nothing: World, tmp_path: Path
) -> None:
    nothing.device("pi5-a")
    nothing.fleet.held.set()
    file = tmp_path / "<img src=x onerror=document.title='owned'>.onnx"
    save_small_onnx(file)
    visit(page, nothing, "/submit")
    page.set_input_files("#file", file)
    start = page.locator("#submit button[type=submit]")
    expect(start).to_be_enabled()
    stays_text(page)
    start.click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("onerror")
    stays_text(page)


# --- too much --------------------------------------------------------------------------------


def many_series(world: World, *, models: int, batch_sizes: int) -> None:
    """So many configurations on one device, a result each; then the coordinator starts."""
    world.device("pi5-a")
    world.measured("resnet18", "pi5-a", raw=False)
    (summary,) = world.store.listings.runs(1).runs
    pattern = summary.model_dump(mode="json")
    rows = []
    for model in range(models):
        for size in range(batch_sizes):
            seq = summary.seq + 1 + model * batch_sizes + size
            own = {
                "seq": seq, "run_id": f"run{seq}", "model": f"model_{model}",
                "series": f"batch {size}", "batch_size": size + 1,
            }  # fmt: skip
            rows.append({
                "seq": seq, "run_id": own["run_id"], "job_id": None, "device": "pi5-a",
                "model": own["model"], "status": "succeeded", "series": own["series"],
                "summary": json.dumps(pattern | own), "words": own["model"],
            })  # fmt: skip
    with world.engine.begin() as db:
        db.execute(insert(schema.summaries), rows)
    world.start()


def test_ten_thousand_series_of_one_chart_are_refused(page: Page, stopped: World) -> None:
    many_series(stopped, models=SERIES, batch_sizes=1)
    main = visit(page, stopped, "/compare?device=pi5-a")
    shows(
        main,
        "10,001 series; one chart shows 2,000 at most",
        "Choose a model and a device",
    )
    # The way out is there, though its list has an end too.
    shows(main, "The list has the first 2,000 models")
    main.get_by_label("Model").select_option("model_1")
    shows(main, "1 configuration")


def test_a_history_of_ten_thousand_series_shows_some_and_says_so(
    page: Page, stopped: World
) -> None:
    many_series(stopped, models=1, batch_sizes=SERIES)
    main = visit(page, stopped, "/history?device=pi5-a&model=model_0")
    shows(
        main,
        "2,000 configurations are more than one chart shows; these are the 12 that were "
        "measured last; only the last 2,000 runs are shown",
    )
    expect(main.locator("svg[data-key=history] .dot")).to_have_count(12)


# --- a clock that is wrong -------------------------------------------------------------------


def test_a_clock_that_is_ahead_is_told_and_not_believed(page: Page, fleet: World) -> None:
    main = visit(page, fleet, f"/runs/{fleet.ids['ahead']}")
    shows(main, "its clock is 3 h ahead")
    row = visit(page, fleet, "/results?device=orin-1&model=resnet50").locator(
        ".wide tbody tr", has_text="ahead"
    )
    expect(row).to_have_count(1)
    # When it ended is told by the coordinator's clock.
    expect(row.locator("time")).to_contain_text("ago")


def test_a_board_without_a_battery_that_woke_up_in_1970(page: Page, stopped: World) -> None:
    stopped.device("pi5-a")
    behind = datetime(1970, 1, 1, 0, 5, tzinfo=timezone.utc) - datetime.now(timezone.utc)
    for clock in (timedelta(0), behind):
        stopped.measured("resnet18", "pi5-a", raw=False, clock=clock)
    stopped.start()
    main = visit(page, stopped, "/devices/pi5-a")
    shows(main, "days behind, or more", "timedatectl set-ntp true")
    # The two stand side by side in time, not half a century apart.
    main = visit(page, stopped, "/history?device=pi5-a&model=resnet18")
    expect(main.locator("svg[data-key=history]")).to_be_visible()
    shows(main, "2 runs")
    # Hours and minutes, no days.
    expect(main.locator("svg[data-key=history]")).to_contain_text(re.compile(r"\d\d:\d\d"))


def test_a_result_of_an_earlier_store_claims_stopped_of_a_clock(page: Page, stopped: World) -> None:
    stopped.device("pi5-a")
    stopped.measured("resnet18", "pi5-a", raw=False)
    old = make_result().finished_at - timedelta(days=400)
    with stopped.engine.begin() as db:
        (row,) = db.execute(schema.summaries.select()).all()
        summary = json.loads(row.summary) | {"finished_at": old.isoformat()}
        del summary["received_at"], summary["clock_offset_seconds"]
        db.execute(schema.summaries.update().values(summary=json.dumps(summary)))
    stopped.start()
    main = visit(page, stopped, "/results")
    shows(main, "days ago")
    expect(main).not_to_contain_text("its clock")
