"""The page's views: where they are, and how they are opened."""

from __future__ import annotations

from playwright.sync_api import Locator, Page, expect

from tests.web.world import World


def visit(page: Page, world: World, to: str) -> Locator:
    """Open a view by a link; its content."""
    # From elsewhere, so that another fragment of the same page loads it anew.
    page.goto("about:blank")
    page.goto(world.link(to))
    expect(page.locator("main h1")).to_be_visible()
    return page.locator("main")


def shows(place: Locator, *texts: str) -> None:
    """Wait until a reader sees all of these; closed details are not seen."""
    for text in texts:
        expect(place).to_contain_text(text, use_inner_text=True)


def every_view(ids: dict[str, str]) -> dict[str, str]:
    """Names and addresses; ``ids`` as ``world.furnished`` gives them."""
    good = ids["good"]
    return {
        "fleet": "/devices",
        "device": "/devices/nuc-13",
        "device-wrong-clock": "/devices/orin-1",
        "jobs": "/jobs",
        "job": f"/jobs/{ids['live-job']}",
        "submit": "/submit",
        "results": "/results",
        "run": f"/runs/{good}",
        "run-failed": f"/runs/{ids['oom']}",
        "run-hostile": f"/runs/{ids['script']}",
        "run-wrong-clock": f"/runs/{ids['ahead']}",
        "pair": f"/compare?baseline={good}&candidate={ids['slower']}",
        "pair-refused": f"/compare?baseline={good}&candidate={ids['script']}",
        "pair-second": f"/compare?baseline={good}",
        "compare": "/compare",
        "compare-device": "/compare?device=orin-1",
        "history": "/history?device=pi5-a&model=resnet18",
        "register": "/register",
    }
