"""Debian's Chromium, driven by Playwright; a browser is never downloaded."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

PATIENCE_MS = 20_000.0
# A desktop's and a phone's.
WIDE, NARROW = 1280, 375

# A browser logs these by itself for every answer of its kind, handled or not.
EXPECTED_COMPLAINTS = re.compile(
    r"Failed to load resource: .*(401|404|410|422|ERR_CONNECTION_REFUSED"
    r"|ERR_CONNECTION_RESET|ERR_EMPTY_RESPONSE|ERR_INCOMPLETE_CHUNKED_ENCODING)"
)


@contextmanager
def chromium(program: str) -> Iterator[Browser]:
    """A browser without a window.

    Args:
        program: Chromium's path.
    """
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def tab(browser: Browser) -> Iterator[Page]:
    """A tab that knows nothing of others, without a look at what it complains about."""
    context = browser.new_context(viewport={"width": WIDE, "height": 800})
    context.set_default_timeout(PATIENCE_MS)
    try:
        yield context.new_page()
    finally:
        context.close()


@contextmanager
def watched_tab(browser: Browser) -> Iterator[Page]:
    """A tab that, after its use, has complained of nothing and has asked nobody else.

    Chromium tells of what the content policy forbids on the console too.
    """
    complaints: list[str] = []
    asked: list[str] = []

    def heard(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            complaints.append(message.text)

    with tab(browser) as page:
        page.on("console", heard)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        yield page
        assert page.title() != "owned"
    assert [text for text in complaints if not EXPECTED_COMPLAINTS.match(text)] == []
    hosts = {urlsplit(url).netloc for url in asked if urlsplit(url).scheme in ("http", "https")}
    assert len(hosts) <= 1, hosts


def look(page: Page, width: int = WIDE, *, height: int = 800, dark: bool = False) -> None:
    """A window of this size, light or dark."""
    page.set_viewport_size({"width": width, "height": height})
    page.emulate_media(color_scheme="dark" if dark else "light")
