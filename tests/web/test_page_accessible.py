"""Every view against the rules of axe-core, in light and dark."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from platformdirs import user_cache_path

from tests.tools import absent, need_program
from tests.web.page_browser import Browser
from tests.web.test_page_views import every_view, visit
from tests.web.world import World

PACKAGE = Path(__file__).with_name("package.json")
RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}


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


def faults(browser: Browser, axe: str) -> list[str]:
    """What axe-core has against what is shown."""
    # By the debugger, which the content policy does not bind.
    browser.evaluate(axe + "; 0")
    found = browser.evaluate(
        f"axe.run(document, {json.dumps(RULES)}).then((found) => found.violations.map((each) =>"
        "`${each.id}: ${each.help}: ${each.nodes.slice(0, 3).map((n) => n.html.slice(0, 150)"
        " + ' ' + n.failureSummary.slice(0, 200)).join(' | ')}`))"
    )
    return list(found)


@pytest.mark.parametrize("dark", [False, True])
def test_every_view_is_accessible(browser: Browser, fleet: World, axe: str, dark: bool) -> None:
    browser.view(1280, dark=dark)
    found = {}
    for view in every_view(fleet.ids):
        visit(browser, fleet, view)
        browser.wait_for("document.querySelector('main').children.length > 0")
        if faults_here := faults(browser, axe):
            found[view] = faults_here
    assert found == {}


def test_who_is_locked_out_can_read_why(browser: Browser, fleet: World, axe: str) -> None:
    browser.open(f"{fleet.url}/#token=wrong")
    browser.wait_for("document.querySelector('#token-form')?.hidden === false")
    assert faults(browser, axe) == []
