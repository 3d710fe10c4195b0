"""The page's whole life: a real browser, a real coordinator, a device that measures."""

from __future__ import annotations

import platform
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from playwright.sync_api import Locator, Page, expect

from agents.secretfile import write_private
from tests.fleet.hosts import FleetUnderTest
from tests.small_onnx import save_small_onnx
from tests.tools import need_program
from tests.web.chromium import chromium, watched_tab
from tests.web.views import shows

pytestmark = [pytest.mark.fleet, pytest.mark.timeout(400)]

DEVICE = "board-page"
# A device joins, a model is sent there and measured.
LONG_MS = 120_000.0


@pytest.fixture
def page() -> Iterator[Page]:
    with chromium(need_program("chromium")) as browser, watched_tab(browser) as opened:
        yield opened


def go(page: Page, view: str) -> Locator:
    page.get_by_role("navigation", name="Views").get_by_role("link", name=view).click()
    expect(page.get_by_role("heading", level=1)).to_contain_text(view)
    return page.locator("main")


def test_from_the_first_link_to_a_token_that_is_taken_back(
    page: Page, fleet: FleetUnderTest, tmp_path: Path
) -> None:
    link = fleet.cli("link").stdout.strip()
    page.goto(link)
    expect(page).to_have_url(f"{fleet.url}/#/devices")

    join_as_the_page_says(page, fleet)
    model = tmp_path / "net.onnx"
    save_small_onnx(model, width=512, layers=8)
    first = submit(page, model, "1, 2", runs=2)
    look_at_a_run(page, first, tmp_path)
    submit(page, model, "1", runs=1)
    compare_the_two(page, fleet)
    look_at_the_history(page, fleet)
    take_the_token_back(page, fleet)


def join_as_the_page_says(page: Page, fleet: FleetUnderTest) -> None:
    """The exact command that is shown lets a device join."""
    main = page.locator("main")
    main.get_by_role("link", name="Add a device").click()
    before = len(fleet.client().devices().devices)
    shows(main, f"{before} devices registered")
    steps = main.locator(".steps > li")
    token = steps.nth(1).locator("pre").inner_text()
    assert Path(token) == fleet.data_dir / "tokens" / "agent.token"
    shown = shlex.split(steps.nth(2).locator("pre.command").inner_text().removeprefix("$"))
    program, *command = [{"agent.token": token, "NAME": DEVICE}.get(word, word) for word in shown]
    assert program == "fleetmark"
    host = fleet.devices[DEVICE] = fleet.network.add(DEVICE)
    host.start(*command, "--state-dir", str(fleet.network.directory / f"state-{DEVICE}"))
    expect(main).to_contain_text(f"{before + 1} devices registered", timeout=LONG_MS)
    go(page, "Fleet")
    card = main.locator(".device", has_text=DEVICE)
    expect(card).to_contain_text("online", timeout=LONG_MS)


def submit(page: Page, model: Path, batch_sizes: str, *, runs: int) -> Locator:
    """Upload, choose, see how many runs it makes, start, follow; the links to its results."""
    main = go(page, "Submit")
    page.set_input_files("#file", model)
    shows(main, f"{model.name} · onnx")
    main.get_by_role("button", name=DEVICE).click()
    page.get_by_label("Batch sizes").fill(batch_sizes)
    page.get_by_label("Repetitions").fill("2")
    # One run alone is measured for as long as two: the page says so for a moment only.
    page.get_by_label("Seconds per run").fill(str(6 // runs))
    told = f"{runs} run" if runs == 1 else f"{runs} runs"
    shows(page.locator("#outlook"), f"{told} on 1 device")
    main.get_by_role("button", name=f"Start {told}").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text(model.name)
    # Live, while it is measured.
    expect(main.get_by_role("progressbar", name=f"{model.name} on {DEVICE}").first).to_be_visible(
        timeout=LONG_MS
    )
    expect(main).to_contain_text(re.compile(r"[1-9][\d.]* % · measuring"), timeout=LONG_MS)
    expect(main.locator(".wide tbody tr")).to_have_count(runs, timeout=LONG_MS)
    shows(page.get_by_role("heading", level=1), "succeeded")
    return main.locator(".wide tbody th a")


def look_at_a_run(page: Page, results: Locator, tmp_path: Path) -> None:
    main = page.locator("main")
    results.first.click()
    over_time = main.locator("svg[data-key=over-time]")
    expect(over_time).to_have_attribute("aria-label", re.compile("in 2 repetitions"))
    expect(main.locator("svg[data-key=distribution]")).to_be_visible()
    expect(main.locator("svg[data-key=percentiles]")).to_be_visible()
    # A value has an interval, or a reason why there is none.
    table = main.get_by_role("table", name="Percentiles")
    expect(table.get_by_role("row").nth(1)).to_contain_text(re.compile(r"p50.*s.* – "))
    # A virtual machine has no sensor of power; then the reason stands in the place of the chart.
    expect(
        main.locator("svg[data-key^=trace-]").or_(main.get_by_text("no readings")).first
    ).to_be_visible()
    shows(main, platform.release(), "onnxruntime", "fleetmark 0.1.0")

    with page.expect_download() as download:
        main.get_by_role("button", name="iterations").click()
    file = tmp_path / "iterations.parquet"
    download.value.save_as(file)
    drawn = re.search(r"([\d,]+) iterations", over_time.get_attribute("aria-label") or "")
    assert drawn is not None
    assert pq.read_table(file).num_rows == int(drawn[1].replace(",", ""))


def compare_the_two(page: Page, fleet: FleetUnderTest) -> None:
    """Those of batch size 1, an hour or a minute apart: the same model on the same device."""
    main = go(page, "Results")
    page.fill("#filter", f"{DEVICE} net.onnx")
    rows = main.locator(".wide tbody tr")
    expect(rows).to_have_count(3)
    alike = rows.filter(has=page.locator("td[data-label=Batch]", has_text=re.compile("^1$")))
    expect(alike).to_have_count(2)
    # The older one is the baseline.
    for row in (alike.last, alike.first):
        row.get_by_role("checkbox").check()
    main.get_by_role("link", name="Compare 2 runs").click()
    shows(main.locator(".verdict-card"), "net.onnx")
    (standing,) = (
        each
        for each in fleet.client().standings(DEVICE, "net.onnx").standings
        if each.configuration.batch_size == 1
    )
    kept = fleet.client().verdict(standing.run_id).comparison
    # One truth: what the page works out is what was kept when the run came. Where one of the two
    # was flagged for something that the other was not, that is the truth.
    expected = "no verdict" if kept.refusals else kept.verdict.value
    expect(main.locator(".verdict-word")).to_contain_text(expected)


def look_at_the_history(page: Page, fleet: FleetUnderTest) -> None:
    main = go(page, "Results")
    page.fill("#filter", f"{DEVICE} net.onnx")
    expect(main.locator(".wide tbody tr")).to_have_count(3)
    main.locator(".wide tbody th a").first.click()
    main.get_by_role("link", name="its history").click()
    expect(main.locator("svg[data-key=history] .dot")).to_have_count(3)
    shows(main, "1 run of 3 has a verdict")


def take_the_token_back(page: Page, fleet: FleetUnderTest) -> None:
    go(page, "Fleet")
    path = fleet.data_dir / "tokens" / "admin.token"
    kept = path.read_text()
    try:
        path.unlink()
        write_private(path, "another-token-of-the-same-coordinator")
        shows(page.locator("#token-form"), "The coordinator does not accept this token")
        expect(page.locator("main")).to_be_hidden()
        expect(page.locator("main")).to_be_empty()
        # Nor does a reload help: the tab has forgotten it.
        page.reload()
        expect(page.locator("#token-form")).to_be_visible()
    finally:
        path.unlink()
        write_private(path, kept)
