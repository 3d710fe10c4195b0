"""The embedded page in a real browser, under the coordinator's content policy."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from urllib.parse import quote

import pytest

from agents.messages import DeviceList, JobList, RunList
from profiler.result import RunStatus
from tests.tools import need_program
from tests.web import page_data as data
from tests.web.page_browser import Browser
from tests.web.page_server import FILES, TOKEN, WEB, Coordinator

EXPECTED_COMPLAINTS = re.compile(
    # A browser logs these by itself for every answer of its kind, handled or not.
    r"network: Failed to load resource: .*(401|404|ERR_CONNECTION_REFUSED|ERR_CONNECTION_RESET"
    r"|ERR_EMPTY_RESPONSE)"
)
NO_OVERFLOW = "document.documentElement.scrollWidth <= window.innerWidth"


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    browser = Browser(need_program("chromium"), tmp_path_factory.mktemp("profile"))
    try:
        browser.open_tab()
        yield browser
    finally:
        browser.close()


@pytest.fixture
def browser(chromium: Browser) -> Iterator[Browser]:
    """A clean slate before, and nothing to complain about after."""
    chromium.complaints.clear()
    chromium.dialogs.clear()
    chromium.view(1280)
    yield chromium
    assert [text for text in chromium.complaints if not EXPECTED_COMPLAINTS.match(text)] == []
    assert "owned" not in str(chromium.evaluate("document.title"))


@pytest.fixture
def fleet() -> Iterator[Coordinator]:
    runs = data.run_list()
    coordinator = Coordinator(
        {
            "/api/v1/meta": data.META,
            "/api/v1/devices": data.device_list(),
            "/api/v1/jobs": data.job_list(),
            "/api/v1/jobs/job-live": data.live_job(),
            "/api/v1/jobs/job-live/cancel": data.live_job().job,
            "/api/v1/runs": runs,
            **{f"/api/v1/runs/{result.run_id}": result for result in runs.runs},
        }
    )
    coordinator.start()
    yield coordinator
    coordinator.stop()


@pytest.fixture
def nothing() -> Iterator[Coordinator]:
    coordinator = Coordinator(
        {
            "/api/v1/meta": data.META,
            "/api/v1/devices": DeviceList(devices=()),
            "/api/v1/jobs": JobList(jobs=()),
            "/api/v1/runs": RunList(runs=()),
        }
    )
    coordinator.start()
    yield coordinator
    coordinator.stop()


def visit(browser: Browser, coordinator: Coordinator, to: str) -> str:
    """Open a view by link and return the text that a reader sees there."""
    browser.open(f"{coordinator.url}/#token={quote(TOKEN, safe='')}&to={to}")
    browser.wait_for("document.querySelector('main h1') !== null")
    return browser.text("main")


def rows(browser: Browser) -> dict[str, str]:
    """The rows of the results table by run, their closed details included."""
    found: dict[str, str] = browser.evaluate(
        "Object.fromEntries([...document.querySelectorAll('.wide tbody tr')]"
        ".map((row) => [row.dataset.key, row.textContent]))"
    )
    return found


# --- the files -------------------------------------------------------------------------------


def test_nothing_is_inline_and_nothing_comes_from_elsewhere() -> None:
    page = (WEB / "index.html").read_text()
    assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:", page)
    assert re.findall(r"<script[^>]*>(.*?)</script>", page, re.DOTALL) == [""]
    linked = re.findall(r'(?:src|href)="([^"]+)"', page)
    local = [each for each in linked if not each.startswith(("data:", "#"))]
    assert set(local) <= set(FILES)


def test_the_script_never_makes_markup_of_text() -> None:
    script = (WEB / "app.js").read_text()
    for way in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
        assert way not in script


# --- the token -------------------------------------------------------------------------------


def test_the_token_leaves_the_address_bar_and_stays_in_the_tab(
    browser: Browser, fleet: Coordinator
) -> None:
    visit(browser, fleet, "/jobs")
    assert browser.evaluate("location.href") == f"{fleet.url}/#/jobs"
    assert browser.evaluate("Object.values(sessionStorage)") == [TOKEN]
    assert browser.evaluate("localStorage.length + document.cookie.length") == 0
    browser.evaluate("location.reload()")
    browser.wait_for("document.querySelector('main h1')?.textContent.startsWith('Jobs')")
    assert not [path for path in fleet.paths if "token" in path.lower()]


def test_without_a_token_a_form_asks_for_it(browser: Browser, fleet: Coordinator) -> None:
    browser.open(fleet.url)
    browser.evaluate("sessionStorage.clear()")
    browser.evaluate("location.reload()")
    browser.wait_for("document.activeElement?.id === 'token'")
    assert "fleetmark link" in browser.text("#token-form")
    browser.evaluate(f"document.activeElement.value = {json.dumps(TOKEN)}")
    browser.press("Enter")
    browser.wait_for("document.querySelector('main h1')?.textContent.startsWith('Devices')")
    assert browser.evaluate("document.querySelector('#token-form').hidden")
    assert browser.evaluate("document.querySelector('#token').value") == ""


def test_a_wrong_token_and_one_that_was_changed_lead_to_the_form(
    browser: Browser, fleet: Coordinator
) -> None:
    browser.open(f"{fleet.url}/#token=wrong")
    browser.wait_for("document.querySelector('#token-form')?.hidden === false")
    assert "does not accept this token" in browser.text("#token-form")
    visit(browser, fleet, "/devices")
    fleet.token = "another"
    browser.wait_for("document.querySelector('#token-form').hidden === false")
    assert browser.text("main") == ""
    assert browser.evaluate("Object.values(sessionStorage)") == [""]


# --- the views -------------------------------------------------------------------------------


def test_devices_with_state_reason_and_runtimes(browser: Browser, fleet: Coordinator) -> None:
    text = visit(browser, fleet, "/devices")
    assert browser.evaluate("document.querySelectorAll('main article').length") == 4
    for shown in (
        "pi5-a", "busy", "orin-1", "online", "offline", "not heard of for 95 s",
        "cpu-board · Raspberry Pi 5", "Cortex-A76 · 4 cores · aarch64", "8 GiB",
        "torch 2.8.0+cpu", "onnxruntime not usable", data.NO_ENERGY, "room=lab",
        data.SCRIPT, data.IMAGE,
    ):  # fmt: skip
        assert shown in text
    assert re.search(r"\d+ s ago|just now", text)
    every = str(browser.evaluate("document.querySelector('main').textContent"))
    assert data.NO_ONNX in every
    assert "pip install 'fleetmark[onnx]'" in every


def test_markup_in_names_stays_text(browser: Browser, fleet: Coordinator) -> None:
    for view in ("/devices", "/jobs", "/results", "/runs/run-script", "/runs/run-oom"):
        visit(browser, fleet, view)
        assert browser.evaluate("document.querySelectorAll('script').length") == 1
        assert (
            browser.evaluate("document.querySelectorAll('main :is(img, svg, script)').length") == 0
        )
        assert "fleetmark" in str(browser.evaluate("document.title"))


def test_jobs_with_live_progress(browser: Browser, fleet: Coordinator) -> None:
    text = visit(browser, fleet, "/jobs")
    assert "42 % · measuring · repetition 2 of 5 · p50 so far 12.34 ms" in text
    assert "1 running · 1 queued · 1 succeeded · 1 failed" in text
    assert "attempt 2 of 3" in text
    assert "out of memory: the worker was killed" in text
    assert data.SCRIPT in text
    bar = "document.querySelector('progress')"
    assert browser.evaluate(f"{bar}.value") == pytest.approx(0.42)
    browser.evaluate(f"window.sameBar = {bar}")
    job = data.live_job()
    later = data.run(
        "run-live", job.runs[1].state, progress=data.LIVE.model_copy(update={"fraction": 0.9})
    )
    fleet.answers["/api/v1/jobs/job-live"] = job.model_copy(
        update={"runs": (job.runs[0], later, *job.runs[2:])}
    )
    browser.wait_for(f"{bar}.value > 0.8")
    assert browser.evaluate(f"window.sameBar === {bar}")


def test_a_job_by_itself(browser: Browser, fleet: Coordinator) -> None:
    text = visit(browser, fleet, "/jobs/job-live")
    assert "4 runs" in text
    assert browser.evaluate("document.querySelector('a[href=\"#/runs/run-oom\"]') !== null")


def test_results_with_figures_reasons_and_failures(browser: Browser, fleet: Coordinator) -> None:
    visit(browser, fleet, "/results")
    found = rows(browser)
    assert list(found) == ["run-good", "run-bare", "run-script", "run-oom"]
    for shown in (
        "resnet18", "pi5-a", "torch", "fp32", "12.340 ms", "12.301 – 12.380", "17.1 ms", "81.04",
        "412 MiB", "87.1 mJ", "none",
    ):  # fmt: skip
        assert shown in found["run-good"]
    for shown in (data.NO_P99, data.NO_ENERGY, "2 flags", "use --repetitions 5"):
        assert shown in found["run-bare"]
    assert "17.1 ms" not in found["run-bare"]
    assert data.SCRIPT in found["run-script"]
    assert data.QUOTE in found["run-script"]
    assert "out of memory: the worker was killed" in found["run-oom"]
    assert "1 run still to come" in browser.text("main")


def test_cells_after_an_error_keep_their_columns(browser: Browser, fleet: Coordinator) -> None:
    visit(browser, fleet, "/results")
    columns = browser.evaluate(
        "[...document.querySelectorAll('tr[data-key=run-oom] td')].map((td) => td.dataset.label)"
    )
    assert [column for column in columns if column][-2:] == ["Flags", "Ended"]


def test_results_are_filtered(browser: Browser, fleet: Coordinator) -> None:
    visit(browser, fleet, "/results")
    browser.evaluate("document.querySelector('#filter').focus()")
    browser.evaluate("document.execCommand('insertText', false, 'ORIN vit')")
    assert list(rows(browser)) == ["run-oom"]
    assert browser.evaluate("document.activeElement.id") == "filter"


def test_a_run_on_its_page(browser: Browser, fleet: Coordinator) -> None:
    text = visit(browser, fleet, "/runs/run-good")
    for shown in (
        "torch 2.8.0+cpu", "12.340 ms", "16.2 – 18.9", "1310 effective iterations", "2,400",
        "1.914 s", "48.1 ms", "rapl package-0", "± 3 %", "/sys/class/powercap is not readable",
        "allow it with a udev rule", "11,689,512", "float32 [1, 3, 224, 224]", "ondemand",
        "Debian GNU/Linux 12",
    ):  # fmt: skip
        assert shown in text


def test_flags_come_with_advice(browser: Browser, fleet: Coordinator) -> None:
    text = visit(browser, fleet, "/runs/run-bare")
    assert "single repetition: one process only" in text
    assert "use --repetitions 5" in text
    assert "17.1 ms" not in text


def test_a_failed_run_tells_its_kind_and_what_the_worker_wrote(
    browser: Browser, fleet: Coordinator
) -> None:
    text = visit(browser, fleet, "/runs/run-oom")
    assert "out of memory" in text
    assert data.IMAGE in text
    assert "p50" not in text
    assert "std::bad_alloc" in str(browser.evaluate("document.querySelector('main').textContent"))


def test_a_cancelled_run_has_no_figures_either(browser: Browser, fleet: Coordinator) -> None:
    cancelled = data.failed("run-oom", data.OUT_OF_MEMORY, model="vit_b_16", on="orin-1")
    fleet.answers["/api/v1/runs"] = RunList(
        runs=(cancelled.model_copy(update={"status": RunStatus.CANCELLED, "error": None}),)
    )
    visit(browser, fleet, "/results")
    assert "cancelled" in rows(browser)["run-oom"]


def test_a_run_that_is_not_over_shows_its_progress_and_then_its_result(
    browser: Browser, fleet: Coordinator
) -> None:
    assert "42 %" in visit(browser, fleet, "/runs/run-live")
    fleet.answers["/api/v1/runs/run-live"] = data.succeeded("run-live")
    browser.wait_for("document.querySelector('main').textContent.includes('17.1 ms')")


def test_an_unknown_run_is_told_in_words(browser: Browser, fleet: Coordinator) -> None:
    text = visit(browser, fleet, "/runs/none")
    assert "run “/api/v1/runs/none” is not known. Look." in text


@pytest.mark.parametrize(
    ("view", "told"),
    [
        ("/devices", str(data.META["join_command"])),
        ("/jobs", "fleetmark submit torchvision:resnet18"),
        ("/results", "fleetmark submit torchvision:resnet18"),
    ],
)
def test_an_empty_fleet_teaches_the_next_command(
    browser: Browser, nothing: Coordinator, view: str, told: str
) -> None:
    assert told in visit(browser, nothing, view)


# --- what people do --------------------------------------------------------------------------


def test_a_job_is_cancelled_by_keyboard_after_a_question(
    browser: Browser, fleet: Coordinator
) -> None:
    visit(browser, fleet, "/jobs")
    browser.evaluate("document.querySelector('button[data-cancel]').focus()")
    browser.press("Enter")
    deadline = time.monotonic() + 20
    while not fleet.posts and time.monotonic() < deadline:
        # Asking the page something also answers its question.
        browser.wait_for("true")
        time.sleep(0.02)
    assert fleet.posts == ["/api/v1/jobs/job-live/cancel"]
    assert "Cancel the job resnet18?" in browser.dialogs[0]


def test_a_cancellation_that_is_refused_is_told(browser: Browser, fleet: Coordinator) -> None:
    del fleet.answers["/api/v1/jobs/job-live/cancel"]
    visit(browser, fleet, "/jobs")
    browser.evaluate("document.querySelector('button[data-cancel]').click()")
    browser.wait_for("!document.querySelector('#alert').hidden")
    assert "was not cancelled" in browser.text("#alert")


def test_opened_details_and_focus_survive_a_poll(browser: Browser, fleet: Coordinator) -> None:
    visit(browser, fleet, "/results")
    browser.evaluate("document.querySelector('tr[data-key=run-bare] details').open = true")
    browser.evaluate("document.querySelector('tr[data-key=run-bare] th a').focus()")
    runs = data.run_list()
    newer = data.succeeded("run-newer", model="newer")
    fleet.answers["/api/v1/runs"] = runs.model_copy(update={"runs": (newer, *runs.runs)})
    browser.wait_for("document.querySelector('tr[data-key=run-newer]') !== null")
    assert next(iter(rows(browser))) == "run-newer"
    assert browser.evaluate("document.querySelector('tr[data-key=run-bare] details').open")
    assert browser.evaluate("document.activeElement.textContent") == "mobilenet_v3_small"


def test_links_lead_from_view_to_view(browser: Browser, fleet: Coordinator) -> None:
    visit(browser, fleet, "/devices")
    browser.evaluate("document.querySelector('nav a[href=\"#/results\"]').click()")
    browser.wait_for("document.querySelector('.wide tbody') !== null")
    assert browser.text("nav [aria-current=page]") == "Results"
    browser.evaluate("document.querySelector('tr[data-key=run-good] th a').focus()")
    browser.press("Enter")
    browser.wait_for("document.querySelector('.tiles') !== null")
    assert browser.evaluate("document.activeElement.id") == "main"


def test_a_coordinator_that_is_gone_is_told_and_found_again(
    browser: Browser, fleet: Coordinator
) -> None:
    visit(browser, fleet, "/devices")
    assert browser.text("#status") == "Connected"
    fleet.stop()
    browser.wait_for("document.querySelector('#status').className === 'lost'")
    told = browser.text("#status")
    assert "does not answer (no connection)" in told
    assert re.search(r"What you see is from \d\d:\d\d:\d\d", told)
    assert "pi5-a" in browser.text("main")
    fleet.start()
    browser.wait_for("document.querySelector('#status').textContent === 'Connected'")


# --- how it looks ----------------------------------------------------------------------------


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [360, 768, 1280])
def test_nothing_sticks_out(browser: Browser, fleet: Coordinator, width: int, dark: bool) -> None:
    browser.view(width, dark=dark)
    for view in ("/devices", "/jobs", "/results", "/runs/run-good", "/runs/run-oom"):
        visit(browser, fleet, view)
        assert browser.evaluate(NO_OVERFLOW), view
    ground = browser.evaluate("getComputedStyle(document.body).backgroundColor")
    lightness = sum(map(int, re.findall(r"\d+", str(ground))[:3])) / 3
    assert (lightness < 128) == dark


def test_the_results_fit_a_desktop_without_scrolling(browser: Browser, fleet: Coordinator) -> None:
    visit(browser, fleet, "/results")
    scroll = "document.querySelector('.wide .scroll')"
    assert browser.evaluate(f"{scroll}.scrollWidth <= {scroll}.clientWidth")
