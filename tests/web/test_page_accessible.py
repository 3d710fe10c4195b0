"""Every view against the rules of axe-core, in light and dark; what a keyboard needs."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from platformdirs import user_cache_path
from playwright.sync_api import Page, expect

from tests.tools import absent, need_program
from tests.web.chromium import look
from tests.web.views import every_view, shows, visit
from tests.web.world import World

PACKAGE = Path(__file__).with_name("package.json")
RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
FAULTS = """async (rules) => (await axe.run(document, rules)).violations.map((each) =>
  `${each.id}: ${each.help}: ` + each.nodes.slice(0, 3).map((node) =>
    `${node.html.slice(0, 150)} ${node.failureSummary.slice(0, 200)}`).join(" | "))"""


@pytest.fixture(scope="module")
def axe() -> str:
    """The script, from npm, once per version and machine."""
    version = json.loads(PACKAGE.read_text())["devDependencies"]["axe-core"]
    cache = user_cache_path("fleetmark-tests") / f"axe-core-{version}"
    script = cache / "node_modules" / "axe-core" / "axe.min.js"
    if not script.exists():
        npm = need_program("npm")
        cache.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(
            [npm, "install", "--no-save", "--no-audit", "--no-fund", "--ignore-scripts",
             "--prefix", str(cache), f"axe-core@{version}"],
            capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip
        if done.returncode or not script.exists():
            absent(f"npm does not give axe-core: {done.stderr.strip()[-200:]}")
    return script.read_text()


def faults(page: Page, axe: str) -> list[str]:
    """What axe-core has against what is shown."""
    # By the debugger, which the content policy does not bind.
    page.evaluate(f"{axe}; 0")
    return list(page.evaluate(FAULTS, RULES))


@pytest.mark.parametrize("dark", [False, True])
def test_every_view_is_accessible(page: Page, fleet: World, axe: str, dark: bool) -> None:
    look(page, dark=dark)
    found = {}
    for name, to in every_view(fleet.ids).items():
        visit(page, fleet, to)
        if faults_here := faults(page, axe):
            found[name] = faults_here
    assert found == {}


def test_who_is_locked_out_can_read_why(page: Page, fleet: World, axe: str) -> None:
    page.goto(f"{fleet.url}/#token=wrong")
    shows(page.locator("#token-form"), "does not accept this token")
    assert faults(page, axe) == []


# --- by keyboard -----------------------------------------------------------------------------


def test_links_lead_from_view_to_view_by_keyboard(page: Page, fleet: World) -> None:
    visit(page, fleet, "/devices")
    results = page.get_by_role("navigation", name="Views").get_by_role("link", name="Results")
    results.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_contain_text("Results")
    expect(results).to_have_attribute("aria-current", "page")
    page.locator("main .wide th a").first.focus()
    page.keyboard.press("Enter")
    expect(page.locator(".tiles")).to_be_visible()
    expect(page.locator("#main")).to_be_focused()


def test_the_first_tab_skips_what_every_view_begins_with(page: Page, fleet: World) -> None:
    visit(page, fleet, "/devices")
    page.keyboard.press("Tab")
    skip = page.get_by_role("link", name="Skip to the content")
    expect(skip).to_be_focused()
    expect(skip).to_be_in_viewport()
    page.keyboard.press("Enter")
    expect(page.locator("#main")).to_be_focused()


# What has the focus, and whether it has an outline.
STOP = """() => {
  const at = document.activeElement;
  const { outlineStyle, outlineWidth } = getComputedStyle(at);
  return [at.outerHTML.slice(0, 80), outlineStyle !== "none" && parseFloat(outlineWidth) >= 2];
}"""


@pytest.mark.parametrize("dark", [False, True])
def test_whatever_has_the_focus_shows_it(page: Page, fleet: World, dark: bool) -> None:
    look(page, dark=dark)
    for view in ("/results", "/submit", f"/runs/{fleet.ids['good']}"):
        visit(page, fleet, view)
        for _ in range(24):
            page.keyboard.press("Tab")
            element, visible = page.evaluate(STOP)
            assert visible, element


def test_the_focus_survives_news(page: Page, fleet: World) -> None:
    visit(page, fleet, "/devices/pi5-a")
    link = page.locator(".columns a").first
    link.focus()
    before = link.element_handle()
    with page.expect_response(lambda answer: "/api/v1/events" in answer.url):
        page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(page.locator("#status")).to_have_text("Connected")
    expect(link).to_be_focused()
    assert before.evaluate("(element) => element === document.activeElement")
