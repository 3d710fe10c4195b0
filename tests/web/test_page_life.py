"""The life of a fleet in the browser; what goes wrong in it. Devices are stand-ins."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Dialog, Page, expect

from agents.coordinator.auth import Role
from agents.secretfile import write_private
from profiler.spec import REPETITIONS
from tests.small_onnx import save_small_onnx
from tests.web.views import shows, visit
from tests.web.world import World


def heading(page: Page, text: str) -> None:
    expect(page.get_by_role("heading", level=1)).to_contain_text(text)


def test_the_token_leaves_the_address_and_stays_in_the_tab(page: Page, nothing: World) -> None:
    visit(page, nothing, "/devices")
    expect(page).to_have_url(f"{nothing.url}/#/devices")
    assert page.evaluate("Object.values(sessionStorage)") == [nothing.token]
    assert page.evaluate("localStorage.length + document.cookie.length") == 0


def test_how_a_device_joins_and_that_one_has(page: Page, nothing: World) -> None:
    main = visit(page, nothing, "/devices")
    main.get_by_role("link", name="How to add a device").click()
    heading(page, "Add a device")
    shows(
        main,
        "fleetmark agent --coordinator http://192.0.2.10:8470 --token-file agent.token",
        "/srv/fleetmark/tokens/agent.token",
        "pip install 'fleetmark[agent,torch,onnx]'",
        "Waiting for the first device",
    )
    nothing.device("pi5-a")
    shows(main, "1 here now")


def test_a_file_is_submitted_and_its_runs_are_followed(
    page: Page, nothing: World, tmp_path: Path
) -> None:
    world = nothing
    world.device("pi5-a")
    world.fleet.held.set()
    bad, good = tmp_path / "notes.onnx", tmp_path / "net.onnx"
    bad.write_bytes(b"no model")
    save_small_onnx(good)

    # Refused in words while something is wrong; then how many runs it makes.
    main = visit(page, world, "/submit")
    form, start = page.locator("#submit"), page.locator("#submit button[type=submit]")
    expect(page.locator("#repetitions")).to_have_value(str(REPETITIONS))
    page.set_input_files("#file", bad)
    shows(form.locator("[data-key=problem-model]"), "notes.onnx")
    page.set_input_files("#file", good)
    expect(start).to_be_enabled()
    shows(main, "net.onnx · onnx")
    page.fill("#devices", "pi5-x")
    shows(form, "Did you mean pi5-a?")
    expect(start).to_be_disabled()
    page.fill("#devices", "all")
    page.fill("#batch", "1, 8")
    shows(page.locator("#outlook"), "2 runs on 1 device")
    start.click()

    # Its progress, then its results, without a reload.
    heading(page, "net.onnx")
    shows(main, "42 % · measuring")
    world.fleet.held.clear()
    expect(main.locator(".wide tbody tr")).to_have_count(2)
    heading(page, "succeeded")

    # The run's page, and the two compared.
    main.locator(".wide th a").first.click()
    expect(page.locator("svg[data-key=over-time]")).to_be_visible()
    main.get_by_role("link", name="compare with another").click()
    main.get_by_role("link", name="Compare with net.onnx").click()
    expect(page.locator(".verdict-card")).to_be_visible()
    shows(main, "batch size")


def test_a_page_left_open_over_a_restart_goes_on(page: Page, nothing: World) -> None:
    world = nothing
    world.device("pi5-a")
    main, status = visit(page, world, "/devices"), page.locator("#status")
    expect(status).to_have_text("Connected")
    world.stop()
    expect(status).to_have_class("lost")
    shows(status, "The coordinator does not answer", "What you see is from")
    shows(main, "pi5-a")
    # What happened meanwhile is told, without a reload.
    page.evaluate("window.same = true")
    world.device("orin-1")
    world.start()
    expect(status).to_have_text("Connected")
    shows(main, "online", "orin-1")
    assert page.evaluate("window.same")


def test_a_token_that_is_taken_back_locks_open_pages(page: Page, nothing: World) -> None:
    world = nothing
    world.device("pi5-a")
    visit(page, world, "/devices")
    path = world.tokens.path(Role.ADMIN)
    path.unlink()
    write_private(path, "another-token-of-the-same-coordinator")
    shows(page.locator("#token-form"), "does not accept this token")
    expect(page.locator("main")).to_be_hidden()
    expect(page.locator("main")).to_be_empty()
    assert page.evaluate("Object.values(sessionStorage)") == [""]
    page.get_by_label("Token").fill(world.token)
    page.keyboard.press("Enter")
    heading(page, "Fleet")


def test_a_job_is_cancelled_by_keyboard_after_a_question(page: Page, nothing: World) -> None:
    world = nothing
    world.device("pi5-a")
    world.fleet.held.set()
    (run,) = world.job("resnet18", ["pi5-a"])
    main = visit(page, world, "/jobs")
    asked: list[str] = []

    def answer(dialog: Dialog) -> None:
        asked.append(dialog.message)
        dialog.accept()

    page.on("dialog", answer)
    main.get_by_role("button", name="Cancel the job resnet18").focus()
    page.keyboard.press("Enter")
    shows(main, "1 cancelled")
    assert "Cancel the job resnet18?" in asked[0]
    assert world.store.run(run.id).state == "cancelled"


def test_devices_are_chosen_by_a_click_each(page: Page, nothing: World) -> None:
    for name in ("pi5-a", "orin-1"):
        nothing.device(name)
    main = visit(page, nothing, "/submit")
    first, second = (main.get_by_role("button", name=name) for name in ("pi5-a", "orin-1"))
    # All of them, as the field says.
    for button in (first, second):
        expect(button).to_have_attribute("aria-pressed", "true")
    first.click()
    expect(page.locator("#devices")).to_have_value("pi5-a")
    expect(first).to_have_attribute("aria-pressed", "true")
    expect(second).to_have_attribute("aria-pressed", "false")
    page.fill("#name", "torchvision:resnet18")
    shows(page.locator("#outlook"), "1 run on 1 device")
    expect(first).to_have_attribute("aria-pressed", "true")
    expect(second).to_have_attribute("aria-pressed", "false")


def test_an_architecture_by_name(page: Page, nothing: World) -> None:
    nothing.device("pi5-a")
    visit(page, nothing, "/submit")
    form, start = page.locator("#submit"), page.locator("#submit button[type=submit]")
    page.fill("#name", "torchvision:resnet81")
    shows(form, "Did you mean resnet18")
    expect(start).to_be_disabled()
    page.fill("#name", "torchvision:resnet18")
    expect(start).to_be_enabled()
    expect(form.locator("pre")).to_contain_text("fleetmark submit torchvision:resnet18")
