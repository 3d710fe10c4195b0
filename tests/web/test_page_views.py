"""Every view in a real browser, on a real coordinator with a store of made-up results."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from playwright.sync_api import Page, expect
from prometheus_client import CollectorRegistry, Gauge

from agents.coordinator.auth import Role, sha256
from agents.metrics_server import MetricsServer
from profiler.comparing.comparison import Verdict
from tests.web import page_data as data
from tests.web.chromium import NARROW, WIDE, look
from tests.web.views import every_view, shows, visit
from tests.web.world import World

NO_OVERFLOW = "document.documentElement.scrollWidth <= window.innerWidth"


def ground(page: Page) -> str:
    """The colour that everything stands on."""
    return str(page.evaluate("getComputedStyle(document.body).backgroundColor"))


# --- what is shown ---------------------------------------------------------------------------


def test_the_fleet(page: Page, fleet: World) -> None:
    main = visit(page, fleet, "/devices")
    shows(
        main, "Devices here 4 of 5", "busy", "offline", "not heard of for 95 s", "Jetson Orin NX",
        "NVIDIA GeForce RTX 4090", "torch 2.1.0", "room=office", "42 % · measuring",
        "repetition 2 of 5 · p50 so far 12.34 ms",
    )  # fmt: skip
    page.locator("#filter").press_sequentially("ROOM=office")
    expect(main.locator(".device")).to_have_count(2)
    expect(page.locator("#filter")).to_be_focused()
    expect(page).to_have_url(re.compile(r"words=ROOM%3Doffice$"))


def test_a_device(page: Page, fleet: World) -> None:
    main = visit(page, fleet, "/devices/nuc-13")
    shows(main, "13th Gen Intel Core i7-1360P · 16 cores", "resnet50", "does not answer")
    shows(visit(page, fleet, "/devices/none"), "there is no device 'none'")


def test_the_sensors_of_a_device_while_somebody_looks(page: Page, nothing: World) -> None:
    registry = CollectorRegistry()
    power = Gauge("fleetmark_device_power_watts", "-", ["source", "rail"], registry=registry)
    power.labels("rapl", "package-0").set(12.5)
    digest = sha256(nothing.tokens.token(Role.METRICS))
    server = MetricsServer(registry, 0, "127.0.0.1", digest)
    try:
        nothing.device("pi5-a", metrics_port=server.port)
        main = visit(page, nothing, "/devices/pi5-a")
        shows(main, "Sensors now", "rapl package-0 12.5 W")
        expect(page.locator("svg[data-key=live-power_watts]")).to_be_visible()
        power.labels("rapl", "package-0").set(21.0)
        shows(main, "21 W")
    finally:
        server.close()


def test_jobs_and_one_of_them(page: Page, fleet: World) -> None:
    main = visit(page, fleet, "/jobs")
    shows(main, "resnet50", "42 % · measuring")
    expect(main.get_by_role("progressbar").first).to_have_js_property("value", 0.42)
    shows(visit(page, fleet, f"/jobs/{fleet.ids['live-job']}"), "2 runs", "0 of 2 over")


def test_results_are_filtered_and_paged_by_the_coordinator(page: Page, fleet: World) -> None:
    rows = visit(page, fleet, "/results").locator(".wide tbody tr")
    expect(rows).to_have_count(50)
    page.get_by_role("link", name="Older").click()
    expect(page).to_have_url(re.compile("before="))
    expect(page.get_by_role("link", name="Newest")).to_be_visible()
    visit(page, fleet, "/results")
    page.fill("#filter", "ORIN vit")
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text("vit_b_16")
    visit(page, fleet, "/results?status=failed")
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text("out of memory")


def test_a_link_followed_while_typing_leads_where_it_says(page: Page, fleet: World) -> None:
    main = visit(page, fleet, "/results")
    page.fill("#filter", "resnet")
    main.locator(".wide tbody th a").first.click()
    expect(page).to_have_url(re.compile("#/runs/"))
    # Longer than the words wait for further ones.
    page.wait_for_timeout(400)
    expect(page).to_have_url(re.compile("#/runs/"))


def test_cells_after_an_error_keep_their_columns(page: Page, fleet: World) -> None:
    main = visit(page, fleet, "/results?status=failed")
    named = main.locator("tr.failed td[data-label]")
    expect(named.nth(-2)).to_have_attribute("data-label", "Flags")
    expect(named.last).to_have_attribute("data-label", "Ended")


def test_a_run(page: Page, fleet: World) -> None:
    main = visit(page, fleet, f"/runs/{fleet.ids['good']}")
    shows(
        main, "torch 2.8.0+cpu", "2.3548 ms", "2.3454 – 2.3642", "worth 1,320 independent ones",
        "What the sensors read meanwhile", "rapl package-0", "± 3 %",
        "allow it with a udev rule", "5,483,032", "float32 [1, 3, 224, 224]", "ondemand",
        "p99.9", "a 95 % interval needs 3688",
        "p50 from run to run 2.35 ms", "2.19 – 2.52", "12 runs of other configurations",
        "p50 at the device's usual speed 2.308 ms", "5 runs", "exponent 0.72",
    )  # fmt: skip
    for name, told in {
        "over-time": "2,400 iterations in 5 repetitions",
        "distribution": "p50 2.355 ms",
        "percentiles": "p99",
        "trace-power_watts": "sensors while the run lasted",
        "trace-clock_hertz": "1 sensor while the run lasted",
    }.items():
        chart = main.locator(f"svg.chart[data-key={name}]")
        expect(chart).to_have_attribute("aria-label", re.compile(told))


def test_raw_data_are_downloaded_with_the_token(page: Page, fleet: World, tmp_path: Path) -> None:
    run_id = fleet.ids["good"]
    main = visit(page, fleet, f"/runs/{run_id}")
    with page.expect_download() as download:
        main.get_by_role("button", name="iterations").click()
    assert download.value.suggested_filename == f"{run_id}.iterations.parquet"
    file = tmp_path / "iterations.parquet"
    download.value.save_as(file)
    assert pq.read_table(file).num_rows == 2400
    assert run_id not in fleet.token


def test_flags_come_with_advice(page: Page, fleet: World) -> None:
    main = visit(page, fleet, f"/runs/{fleet.ids['script']}")
    shows(main, "single repetition")
    expect(main.locator(".flags .advice")).to_have_count(2)


def test_a_failed_run_has_an_error_and_no_figures(page: Page, fleet: World) -> None:
    main = visit(page, fleet, f"/runs/{fleet.ids['oom']}")
    shows(main, data.IMAGE)
    expect(main).not_to_contain_text("p50", use_inner_text=True)
    expect(main).to_contain_text("std::bad_alloc")


def test_two_runs_and_the_verdict_in_words(page: Page, fleet: World) -> None:
    ids = fleet.ids
    main = visit(page, fleet, f"/compare?baseline={ids['good']}&candidate={ids['slower']}")
    shows(main.locator(".verdict-word"), "slower")
    shows(main, "+7.9 %", "hierarchical bootstrap")


def test_what_differs_stands_in_the_way_until_it_is_meant(page: Page, fleet: World) -> None:
    ids = fleet.ids
    main = visit(page, fleet, f"/compare?baseline={ids['good']}&candidate={ids['past-11']}")
    shows(main.locator(".verdict-word"), "no verdict")
    main.get_by_role("link", name="That is meant").click()
    expect(main.locator(".verdict-word")).to_contain_text(re.compile("slower|faster"))
    expect(page).to_have_url(re.compile("across=device"))


def test_runs_are_picked_to_be_compared(page: Page, fleet: World) -> None:
    main = visit(page, fleet, "/results?status=succeeded")
    boxes = main.get_by_role("checkbox")
    boxes.nth(0).check()
    boxes.nth(1).check()
    main.get_by_role("link", name="Compare 2 runs").click()
    expect(main.locator(".verdict-card")).to_be_visible()


def test_a_model_across_devices(page: Page, fleet: World) -> None:
    main = visit(page, fleet, "/compare?model=vit_b_16")
    shows(main, "4 configurations")
    pareto = main.locator("svg[data-key=pareto]")
    expect(pareto).to_have_attribute(
        "aria-label", re.compile("none is better in both than rtx-4090")
    )
    expect(pareto.locator(".link")).to_have_count(4)


def test_a_history_marks_what_the_verdicts_say(page: Page, fleet: World) -> None:
    kept = [point.verdict for point in fleet.store.listings.history("pi5-a", "resnet18", 99)]
    said = Counter(verdict.verdict for verdict in kept if verdict is not None)
    assert said[Verdict.SLOWER] >= 2
    main = visit(page, fleet, "/history?device=pi5-a&model=resnet18")
    marked = f"{said[Verdict.SLOWER]} slower than its baseline, {said[Verdict.FASTER]} faster"
    expect(main.locator("svg[data-key=history]")).to_have_attribute(
        "aria-label", re.compile(f"24 runs, {marked}")
    )
    # What each would have been at the device's usual speed, dashed.
    expect(main.locator("svg[data-key=history] .usual").first).to_be_visible()
    shows(main, f"{said.total()} runs of 24 have a verdict", "at the device's usual speed")
    changes = main.locator("[data-key=changes] tbody tr")
    expect(changes).to_have_count(said[Verdict.SLOWER] + said[Verdict.FASTER])
    became_slower = fleet.ids["past-4"]
    row = changes.filter(has=page.locator(f"a[href$='candidate={became_slower}']"))
    shows(row, "slower", "compare with the run before")
    row.get_by_role("link", name="compare with").click()
    shows(main.locator(".verdict-word"), "slower")


def test_without_a_verdict_a_history_marks_nothing(page: Page, stopped: World) -> None:
    stopped.device("pi5-a")
    ids = [
        stopped.measured("resnet18", "pi5-a", factor=factor, raw=False)
        for factor in (1.0, 2.0, 2.0)
    ]
    # It became twice as slow, and nobody judged it; the newest would be judged at the start.
    stopped.store.baselines.drop(ids[1])
    stopped.start()
    main = visit(page, stopped, "/history?device=pi5-a&model=resnet18")
    shows(main, "No run is slower or faster than its baseline", "1 run of 3 has a verdict")
    expect(main.locator("svg[data-key=history] .worse")).to_have_count(0)


def test_an_unknown_run_is_told_in_words(page: Page, fleet: World) -> None:
    shows(visit(page, fleet, "/runs/none"), "there is no run 'none'")


@pytest.mark.parametrize(
    ("view", "told"),
    [
        ("/devices", "fleetmark agent --coordinator"),
        ("/jobs", "fleetmark submit torchvision:resnet18"),
        ("/results", "fleetmark submit torchvision:resnet18"),
        ("/compare", "Two results are needed"),
        ("/submit", "No device has joined yet"),
        ("/history?device=pi5-a&model=resnet18", "The history begins with the first"),
    ],
)
def test_an_empty_fleet_teaches_the_next_step(
    page: Page, nothing: World, view: str, told: str
) -> None:
    shows(visit(page, nothing, view), told)


# --- colours, widths -------------------------------------------------------------------------


def test_dark_and_light_can_be_chosen(page: Page, fleet: World) -> None:
    visit(page, fleet, "/devices")
    light = ground(page)
    colours = page.get_by_role("button", name="Colours")
    colours.click()
    colours.click()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    assert ground(page) != light
    colours.click()
    assert ground(page) == light
    assert page.evaluate("localStorage.length + document.cookie.length") == 0


def test_what_is_compared_stands_side_by_side_on_a_phone(page: Page, fleet: World) -> None:
    look(page, NARROW)
    ids = fleet.ids
    for other in ("slower", "script"):
        main = visit(page, fleet, f"/compare?baseline={ids['good']}&candidate={ids[other]}")
        for table in main.locator(".both .scroll").all():
            assert table.evaluate("(it) => it.scrollWidth <= it.clientWidth")


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [NARROW, WIDE])
def test_nothing_sticks_out(page: Page, fleet: World, width: int, dark: bool) -> None:
    look(page, width, dark=dark)
    for name, to in every_view(fleet.ids).items():
        visit(page, fleet, to)
        assert page.evaluate(NO_OVERFLOW), name
    lightness = sum(map(int, re.findall(r"\d+", ground(page))[:3])) / 3
    assert (lightness < 128) == dark


def test_the_results_fit_a_desktop_without_scrolling(page: Page, fleet: World) -> None:
    table = visit(page, fleet, "/results").locator(".wide .scroll")
    assert table.evaluate("(it) => it.scrollWidth <= it.clientWidth")
