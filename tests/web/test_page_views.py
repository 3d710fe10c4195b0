"""Every view in a real browser, on a real coordinator with a store of made-up results."""

from __future__ import annotations

import re

import pytest
from prometheus_client import CollectorRegistry, Gauge

from agents.coordinator.auth import Role, sha256
from agents.metrics_server import MetricsServer
from tests.web import page_data as data
from tests.web.page_browser import Browser
from tests.web.world import World

NO_OVERFLOW = "document.documentElement.scrollWidth <= window.innerWidth"


def visit(browser: Browser, world: World, to: str) -> str:
    """Open a view by link and return the text that a reader sees there."""
    browser.open(world.link(to))
    browser.wait_for("document.querySelector('main h1') !== null")
    return browser.text("main")


def rows(browser: Browser) -> list[str]:
    found: list[str] = browser.evaluate(
        "[...document.querySelectorAll('main .wide tbody tr')].map((row) => row.textContent)"
    )
    return found


def every_view(ids: dict[str, str]) -> list[str]:
    return [
        "/devices",
        "/devices/nuc-13",
        "/jobs",
        f"/jobs/{ids['live-job']}",
        "/submit",
        "/results",
        f"/runs/{ids['good']}",
        f"/runs/{ids['oom']}",
        f"/runs/{ids['script']}",
        f"/compare?baseline={ids['good']}&candidate={ids['slower']}",
        f"/compare?baseline={ids['good']}&candidate={ids['script']}",
        f"/compare?baseline={ids['good']}",
        "/compare",
        "/compare?device=orin-1",
        "/history?device=pi5-a&model=resnet18",
        "/register",
    ]


# --- what is shown ---------------------------------------------------------------------------


def test_the_fleet(browser: Browser, fleet: World) -> None:
    text = visit(browser, fleet, "/devices")
    for shown in (
        "Devices here\n4\nof 5", "busy", "offline", "not heard of for 95 s", "Jetson Orin NX",
        "NVIDIA GeForce RTX 4090", "torch 2.1.0", "room=office", "42 % · measuring",
        "repetition 2 of 5 · p50 so far 12.34 ms",
    ):  # fmt: skip
        assert shown in text
    browser.type("#filter", "ROOM=office")
    browser.wait_for("document.querySelectorAll('main .device').length === 2")
    assert browser.evaluate("document.activeElement.id") == "filter"
    assert browser.evaluate("location.hash").endswith("words=ROOM%3Doffice")


def test_a_device(browser: Browser, fleet: World) -> None:
    text = visit(browser, fleet, "/devices/nuc-13")
    for shown in ("13th Gen Intel Core i7-1360P · 16 cores", "resnet50", "does not answer"):
        assert shown in text
    assert "there is no device 'none'" in visit(browser, fleet, "/devices/none")


def test_the_sensors_of_a_device_while_somebody_looks(browser: Browser, nothing: World) -> None:
    registry = CollectorRegistry()
    power = Gauge("fleetmark_device_power_watts", "-", ["source", "rail"], registry=registry)
    power.labels("rapl", "package-0").set(12.5)
    digest = sha256(nothing.tokens.token(Role.METRICS))
    server = MetricsServer(registry, 0, "127.0.0.1", digest)
    try:
        nothing.device("pi5-a", metrics_port=server.port)
        assert "Sensors now" in visit(browser, nothing, "/devices/pi5-a")
        browser.wait_for("document.querySelector('svg[data-key=live-power_watts]') !== null")
        assert "rapl package-0 12.5 W" in browser.text("main")
        power.labels("rapl", "package-0").set(21.0)
        browser.wait_for("document.querySelector('main').innerText.includes('21 W')")
    finally:
        server.close()


def test_markup_in_names_stays_text(browser: Browser, fleet: World) -> None:
    ids = fleet.ids
    for view in ("/devices", "/results", f"/runs/{ids['script']}", f"/runs/{ids['oom']}"):
        visit(browser, fleet, view)
        browser.wait_for("document.querySelector('main').textContent.includes('owned')")
        assert browser.evaluate("document.querySelectorAll('script').length") == 1
        assert browser.evaluate("document.querySelectorAll('main :is(img, script)').length") == 0


def test_jobs_and_one_of_them(browser: Browser, fleet: World) -> None:
    text = visit(browser, fleet, "/jobs")
    assert "resnet50" in text
    assert "42 % · measuring" in text
    assert browser.evaluate("document.querySelector('progress').value") == pytest.approx(0.42)
    text = visit(browser, fleet, f"/jobs/{fleet.ids['live-job']}")
    assert "2 runs" in text
    assert "0 of 2 over" in text


def test_results_are_filtered_and_paged_by_the_coordinator(browser: Browser, fleet: World) -> None:
    visit(browser, fleet, "/results")
    assert len(rows(browser)) == 50
    browser.click(".pager a")
    browser.wait_for("document.querySelectorAll('main .wide tbody tr').length < 50")
    assert "before=" in browser.evaluate("location.hash")
    visit(browser, fleet, "/results")
    browser.type("#filter", "ORIN vit")
    browser.wait_for("document.querySelectorAll('main .wide tbody tr').length === 1")
    assert "vit_b_16" in rows(browser)[0]
    visit(browser, fleet, "/results?status=failed")
    assert ["out of memory" in row for row in rows(browser)] == [True]


def test_a_clock_that_is_ahead_is_told(browser: Browser, fleet: World) -> None:
    text = visit(browser, fleet, "/results?device=orin-1&model=resnet50")
    assert "3 h ahead of the coordinator's clock" in text


def test_cells_after_an_error_keep_their_columns(browser: Browser, fleet: World) -> None:
    visit(browser, fleet, "/results?status=failed")
    columns = browser.evaluate(
        "[...document.querySelectorAll('tr.failed td')].map((td) => td.dataset.label)"
    )
    assert [column for column in columns if column][-2:] == ["Flags", "Ended"]


def test_a_run(browser: Browser, fleet: World) -> None:
    text = visit(browser, fleet, f"/runs/{fleet.ids['good']}")
    for shown in (
        "torch 2.8.0+cpu", "2.3548 ms", "2.3454 – 2.3642", "worth 1,320 independent ones",
        "What the sensors read meanwhile", "rapl package-0", "± 3 %",
        "allow it with a udev rule", "5,483,032", "float32 [1, 3, 224, 224]", "ondemand",
        "p99.9", "a 95 % interval of p99.9 needs 4742",
    ):  # fmt: skip
        assert shown in text
    charts = browser.evaluate(
        "Object.fromEntries([...document.querySelectorAll('svg.chart')]"
        ".map((svg) => [svg.dataset.key, svg.getAttribute('aria-label')]))"
    )
    assert "2,400 iterations in 5 repetitions" in charts["over-time"]
    assert "p50 2.355 ms" in charts["distribution"]
    assert {"trace-power_watts", "trace-clock_hertz", "percentiles"} <= set(charts)


def test_raw_data_are_downloaded_with_the_token(browser: Browser, fleet: World) -> None:
    visit(browser, fleet, f"/runs/{fleet.ids['good']}")
    browser.click("[data-act=download][data-name$='.iterations.parquet']")
    browser.wait_for("document.querySelector('#alert').hidden")
    path = f"/api/v1/runs/{fleet.ids['good']}/iterations"
    assert [url for url in browser.requests if url.endswith(path)]


def test_flags_come_with_advice(browser: Browser, fleet: World) -> None:
    text = visit(browser, fleet, f"/runs/{fleet.ids['script']}")
    assert "single repetition" in text
    assert browser.evaluate("document.querySelectorAll('.flags .advice').length") == 2


def test_a_failed_run_has_an_error_and_no_figures(browser: Browser, fleet: World) -> None:
    text = visit(browser, fleet, f"/runs/{fleet.ids['oom']}")
    assert data.IMAGE in text
    assert "p50" not in text
    assert "std::bad_alloc" in str(browser.evaluate("document.querySelector('main').textContent"))


def test_two_runs_and_the_verdict_in_words(browser: Browser, fleet: World) -> None:
    ids = fleet.ids
    text = visit(browser, fleet, f"/compare?baseline={ids['good']}&candidate={ids['slower']}")
    assert "slower" in browser.text(".verdict-word")
    assert "+7.9 %" in text
    assert "hierarchical bootstrap" in text


def test_what_differs_stands_in_the_way_until_it_is_meant(browser: Browser, fleet: World) -> None:
    ids = fleet.ids
    visit(browser, fleet, f"/compare?baseline={ids['good']}&candidate={ids['past-11']}")
    assert "no verdict" in browser.text(".verdict-word")
    browser.click(".verdict-card a.button")
    browser.wait_for("/slower|faster/.test(document.querySelector('.verdict-word').innerText)")
    assert "across=device" in browser.evaluate("location.hash")


def test_runs_are_picked_to_be_compared(browser: Browser, fleet: World) -> None:
    visit(browser, fleet, "/results?status=succeeded")
    for index in (0, 1):
        browser.evaluate(f"document.querySelectorAll('[data-act=pick]')[{index}].click()")
    browser.wait_for("document.querySelector('.picked a.button') !== null")
    browser.click(".picked a.button")
    browser.wait_for("document.querySelector('.verdict-card') !== null")


def test_a_model_across_devices(browser: Browser, fleet: World) -> None:
    text = visit(browser, fleet, "/compare?model=vit_b_16")
    assert "4 configurations" in text
    label = browser.evaluate("document.querySelector('svg[data-key=pareto]').ariaLabel")
    assert "none is better in both than rtx-4090" in label
    assert browser.evaluate("document.querySelectorAll('svg[data-key=pareto] .link').length") == 4


def test_a_history_with_its_changes(browser: Browser, fleet: World) -> None:
    text = visit(browser, fleet, "/history?device=pi5-a&model=resnet18")
    label = browser.evaluate("document.querySelector('svg[data-key=history]').ariaLabel")
    assert "24 runs, 2 slower than before, 4 faster" in label
    assert "compare with the run before" in text


def test_an_unknown_run_is_told_in_words(browser: Browser, fleet: World) -> None:
    assert "there is no run 'none'" in visit(browser, fleet, "/runs/none")


@pytest.mark.parametrize(
    ("view", "told"),
    [
        ("/devices", "fleetmark agent --coordinator"),
        ("/jobs", "fleetmark submit torchvision:resnet18"),
        ("/results", "fleetmark submit torchvision:resnet18"),
        ("/compare", "Two results are needed"),
        ("/submit", "No device has joined yet"),
    ],
)
def test_an_empty_fleet_teaches_the_next_step(
    browser: Browser, nothing: World, view: str, told: str
) -> None:
    assert told in visit(browser, nothing, view)


# --- keyboard, colours, widths ---------------------------------------------------------------


def test_links_lead_from_view_to_view_by_keyboard(browser: Browser, fleet: World) -> None:
    visit(browser, fleet, "/devices")
    browser.click("nav a[href='#/results']")
    browser.wait_for("document.querySelector('main h1').innerText.startsWith('Results')")
    assert browser.text("nav [aria-current=page]") == "Results"
    browser.evaluate("document.querySelector('main .wide th a').focus()")
    browser.press("Enter")
    browser.wait_for("document.querySelector('.tiles') !== null")
    assert browser.evaluate("document.activeElement.id") == "main"


def test_opened_details_and_focus_survive_news(browser: Browser, fleet: World) -> None:
    visit(browser, fleet, "/devices/pi5-a")
    browser.evaluate("document.querySelector('.columns a').focus()")
    browser.evaluate("window.same = document.activeElement")
    count = "performance.getEntriesByType('resource').length"
    before = browser.evaluate(count)
    browser.wait_for(f"document.querySelector('#status').innerText === 'Connected' && {count} > 0")
    assert browser.evaluate("window.same === document.activeElement && same.isConnected")
    assert before > 0


def test_dark_and_light_can_be_chosen(browser: Browser, fleet: World) -> None:
    visit(browser, fleet, "/devices")
    ground = "getComputedStyle(document.body).backgroundColor"
    light = browser.evaluate(ground)
    browser.click("#theme")
    browser.click("#theme")
    assert browser.evaluate("document.documentElement.dataset.theme") == "dark"
    assert browser.evaluate(ground) != light
    browser.click("#theme")
    assert browser.evaluate(ground) == light
    assert browser.evaluate("localStorage.length + document.cookie.length") == 0


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [375, 1280])
def test_nothing_sticks_out(browser: Browser, fleet: World, width: int, dark: bool) -> None:
    browser.view(width, dark=dark)
    for view in every_view(fleet.ids):
        visit(browser, fleet, view)
        assert browser.evaluate(NO_OVERFLOW), view
    ground = browser.evaluate("getComputedStyle(document.body).backgroundColor")
    lightness = sum(map(int, re.findall(r"\d+", str(ground))[:3])) / 3
    assert (lightness < 128) == dark


def test_the_results_fit_a_desktop_without_scrolling(browser: Browser, fleet: World) -> None:
    visit(browser, fleet, "/results")
    scroll = "document.querySelector('.wide .scroll')"
    assert browser.evaluate(f"{scroll}.scrollWidth <= {scroll}.clientWidth")
