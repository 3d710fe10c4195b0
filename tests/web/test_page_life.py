"""The whole life of a fleet in the browser, from the first day to a token that is taken back."""

from __future__ import annotations

from pathlib import Path

from agents.coordinator.auth import Role
from agents.secretfile import write_private
from tests.small_onnx import save_small_onnx
from tests.web.page_browser import Browser
from tests.web.world import World

READY = "document.querySelector('#submit button[type=submit]')?.disabled === false"


def settled(browser: Browser, heading: str) -> None:
    browser.wait_for(f"document.querySelector('main h1')?.innerText.startsWith({heading!r})")


def test_a_life(browser: Browser, nothing: World, tmp_path: Path) -> None:  # noqa: PLR0915
    world = nothing
    model = tmp_path / "net.onnx"
    save_small_onnx(model)

    # The link opens the page; the token leaves the address bar, and stays in this tab only.
    browser.open(world.link("/devices"))
    settled(browser, "Fleet")
    assert browser.evaluate("location.href") == f"{world.url}/#/devices"
    assert browser.evaluate("Object.values(sessionStorage)") == [world.token]

    # How a device joins, and that one has.
    browser.click("main a[href='#/register']")
    settled(browser, "Add a device")
    text = browser.text("main")
    assert "fleetmark agent --coordinator http://192.0.2.10:8470 --token-file agent.token" in text
    assert "/srv/fleetmark/tokens/agent.token" in text
    assert "pip install 'fleetmark[agent,torch,onnx]'" in text
    assert "Waiting for the first device" in text
    world.device("pi5-a")
    browser.wait_for("document.querySelector('main').innerText.includes('1 here now')")

    # A file, refused in words while something is wrong, and how many runs it makes.
    browser.click("nav a[href='#/submit']")
    settled(browser, "Submit a model")
    world.fleet.held.set()
    bad = tmp_path / "notes.onnx"
    bad.write_bytes(b"no model")
    browser.choose_file("#file", bad)
    browser.wait_for("document.querySelector('#submit .reason:not([hidden])') !== null")
    browser.choose_file("#file", model)
    browser.wait_for(READY)
    assert "net.onnx · onnx" in browser.text("main")
    browser.type("#devices", "pi5-x")
    browser.wait_for("document.querySelector('#submit').innerText.includes('Did you mean pi5-a?')")
    browser.type("#devices", "all")
    browser.type("#batch", "1, 8")
    browser.wait_for(
        "document.querySelector('#outlook').innerText.startsWith('2 runs on 1 device')"
    )
    browser.click("#submit button[type=submit]")

    # Its progress, then its results, without a reload.
    settled(browser, "net.onnx")
    browser.wait_for("document.querySelector('main').innerText.includes('42 % · measuring')")
    world.fleet.held.clear()
    browser.wait_for("document.querySelectorAll('main .wide tbody tr').length === 2")
    assert "succeeded" in browser.text("main h1")

    # The run's page, and the two compared.
    browser.click("main .wide th a")
    browser.wait_for("document.querySelector('svg[data-key=over-time]') !== null")
    browser.evaluate("[...document.querySelectorAll('.links a')].at(-1).click()")
    browser.wait_for("document.querySelector('main td a[aria-label^=Compare]') !== null")
    browser.click("main td a[aria-label^=Compare]")
    browser.wait_for("document.querySelector('.verdict-card') !== null")
    assert "batch size" in browser.text("main")

    # The coordinator goes and comes back.
    browser.click("nav a[href='#/devices']")
    settled(browser, "Fleet")
    browser.wait_for("document.querySelector('#status').innerText === 'Connected'")
    world.stop()
    browser.wait_for("document.querySelector('#status').className === 'lost'")
    assert "The coordinator does not answer" in browser.text("#status")
    assert "What you see is from" in browser.text("#status")
    assert "pi5-a" in browser.text("main")
    world.start()
    browser.wait_for("document.querySelector('#status').innerText === 'Connected'")
    browser.wait_for("document.querySelector('main').innerText.includes('online')")

    # The token is taken back: the open page is locked at once.
    path = world.tokens.path(Role.ADMIN)
    path.unlink()
    write_private(path, "another-token-of-the-same-coordinator")
    browser.wait_for("document.querySelector('#token-form').hidden === false")
    assert "does not accept this token" in browser.text("#token-form")
    assert browser.text("main") == ""
    assert browser.evaluate("Object.values(sessionStorage)") == [""]
    browser.evaluate("document.querySelector('#token').focus()")
    browser.type("#token", world.token)
    browser.press("Enter")
    settled(browser, "Fleet")


def test_a_job_is_cancelled_by_keyboard_after_a_question(browser: Browser, nothing: World) -> None:
    world = nothing
    world.device("pi5-a")
    world.fleet.held.set()
    (run,) = world.job("resnet18", ["pi5-a"])
    browser.open(world.link("/jobs"))
    browser.wait_for("document.querySelector('[data-act=cancel]') !== null")
    browser.evaluate("document.querySelector('[data-act=cancel]').focus()")
    browser.press("Enter")
    browser.wait_for("document.querySelector('main').innerText.includes('1 cancelled')")
    assert "Cancel the job resnet18?" in browser.dialogs[0]
    assert world.store.run(run.id).state == "cancelled"


def test_an_architecture_by_name(browser: Browser, nothing: World) -> None:
    world = nothing
    world.device("pi5-a")
    browser.open(world.link("/submit"))
    settled(browser, "Submit a model")
    browser.type("#name", "torchvision:resnet81")
    browser.wait_for(
        "document.querySelector('#submit').innerText.includes('Did you mean resnet18')"
    )
    assert browser.evaluate("document.querySelector('#submit button[type=submit]').disabled")
    browser.type("#name", "torchvision:resnet18")
    browser.wait_for(READY)
    assert "fleetmark submit torchvision:resnet18" in browser.evaluate(
        "document.querySelector('#submit pre').textContent"
    )
