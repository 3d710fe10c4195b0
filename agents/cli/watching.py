"""``fleetmark watch`` without a job: the fleet as it is now, until the reader has seen enough."""

from __future__ import annotations

import contextlib
import os
import select
import sys
import time
from collections.abc import Callable, Iterator

from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from agents.cli import show
from agents.cli.progress import describe
from agents.client import Client, Unreachable
from agents.messages import DeviceState, Run
from agents.views import DevicePage, DeviceSummary, Overview
from profiler import units
from profiler.base import Frozen

EVERY_SECONDS = 1.0
# Lines that are not devices: title, header, frames.
OTHER_LINES = 16
# On a terminal with fewer columns than this a bar would leave no room for names.
WIDE_ENOUGH = 100
COLOURS = {
    DeviceState.BUSY: "blue",
    DeviceState.ONLINE: "green",
    DeviceState.JOINING: "yellow",
    DeviceState.OFFLINE: "red",
}


class Fleet(Frozen):
    """What ``--json`` prints."""

    overview: Overview
    devices: DevicePage


def watch_fleet(client: Client, *, as_json: bool) -> None:
    """Follow the fleet on a terminal; elsewhere, or as JSON, show it once.

    Raises:
        Unreachable: nobody answered from the start.
    """
    console = show.console()
    found = _ask(client)
    if as_json:
        show.json_out(found)
    elif console.is_terminal and sys.stdin.isatty():
        with contextlib.suppress(KeyboardInterrupt), keys() as pressed:
            follow(console, found, lambda: _ask(client), pressed)
    else:
        console.print(picture(found, lines=found.devices.matching, width=console.size.width))


def _ask(client: Client) -> Fleet:
    return Fleet(overview=client.overview(), devices=client.device_page())


def follow(
    console: Console,
    found: Fleet,
    ask: Callable[[], Fleet],
    pressed: Callable[[float], str],
) -> None:
    """Until ``q``.

    Args:
        console: a terminal.
        found: what to begin with.
        ask: what to go on with.
        pressed: waits so many seconds for a key; empty without one.
    """
    note = ""
    with Live(console=console, screen=True, auto_refresh=False) as live:
        while True:
            lines = max(1, console.size.height - OTHER_LINES)
            now = picture(found, lines=lines, note=note, width=console.size.width)
            live.update(now, refresh=True)
            if pressed(EVERY_SECONDS).lower() == "q":
                return
            try:
                found, note = ask(), ""
            except Unreachable as error:
                note = f"{error}; what you see is older"


@contextlib.contextmanager
def keys() -> Iterator[Callable[[float], str]]:
    """Keys as they are pressed, without Enter; the terminal is as before afterwards."""
    import termios
    import tty

    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)

    def pressed(seconds: float) -> str:
        if not select.select([descriptor], [], [], seconds)[0]:
            return ""
        key = os.read(descriptor, 1)
        if not key:
            # Nobody is at this terminal any more.
            time.sleep(seconds)
        return key.decode(errors="replace")

    try:
        tty.setcbreak(descriptor)
        yield pressed
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


# --- what it looks like ------------------------------------------------------------------------


def picture(found: Fleet, *, lines: int, width: int, note: str = "") -> RenderableType:
    """The fleet in a few lines and a table of ``lines`` devices, ``width`` columns wide."""
    parts: list[RenderableType] = [_headline(found.overview)]
    if not found.devices.devices:
        parts.append(Text("No device is registered. Start `fleetmark agent` on one."))
    else:
        parts.append(_devices(found.devices, lines, wide=width >= WIDE_ENOUGH))
    if found.overview.latest:
        parts.append(_latest(found.overview))
    if note:
        parts.append(Panel(Text(note, style="red"), box=box.SIMPLE))
    return Group(*parts)


def _headline(overview: Overview) -> Text:
    states = [
        (f"{count} {state.value}", COLOURS[state]) for state, count in overview.states.items()
    ]
    text = Text("fleet  ", style="bold")
    for words, colour in states:
        text.append(f"{words}  ", style=colour if not words.startswith("0 ") else "dim")
    text.append(f"· open jobs: {overview.open_jobs} · runs waiting: {overview.queued} ", "default")
    text.append(f"· results: {overview.results}", "default")
    return text


def _devices(page: DevicePage, lines: int, *, wide: bool) -> Table:
    table = Table(box=box.SIMPLE_HEAD, expand=True, pad_edge=False, collapse_padding=not wide)
    table.add_column("device", no_wrap=True)
    table.add_column("state", overflow="fold")
    # A line for each device: whatever is too long here is cut, and the rest is to be seen.
    table.add_column("runs", no_wrap=True, ratio=1)
    table.add_column("", no_wrap=True)
    if wide:
        table.add_column("")
    for name in ("p50 so far" if wide else "p50", "power", "waiting"):
        table.add_column(name, justify="right", no_wrap=True)
    shown = page.devices[:lines]
    for device in shown:
        table.add_row(*_row(device, wide=wide))
    if page.matching > len(shown):
        table.caption = f"and {page.matching - len(shown)} further devices"
    return table


def _row(device: DeviceSummary, *, wide: bool) -> tuple[RenderableType, ...]:
    run = device.running
    progress = run.progress if run else None
    p50 = progress.p50_seconds if progress else None
    state = Text(device.state.value, style=COLOURS[device.state])
    if device.state_reason:
        state.append(f" {device.state_reason}", style="dim")
    return (
        Text(device.name, style="bold"),
        state,
        Text(_what(run) if run else ""),
        *_how_far(run, wide=wide),
        Text(units.seconds(p50) if p50 is not None else ""),
        Text(f"{device.power_watts:.1f} W" if device.power_watts is not None else ""),
        Text(str(device.queued) if device.queued else ""),
    )


def _what(run: Run) -> str:
    spec = run.spec
    return f"{spec.model.label} {spec.runtime} b{spec.batch_size}"


def _how_far(run: Run | None, *, wide: bool) -> tuple[RenderableType, ...]:
    """What it is doing, and a bar; both in one word and a number where there is little room."""
    progress = run.progress if run else None
    doing = describe(progress.phase, None) if progress else "starting" if run else ""
    if not wide:
        return (Text(f"{doing} {progress.fraction:.0%}" if progress else doing),)
    bar = ProgressBar(total=1.0, completed=progress.fraction, width=16) if progress else Text("")
    return Text(doing), bar


def _latest(overview: Overview) -> Table:
    table = Table(title="latest results", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("model", "device", "runtime", "ended"):
        table.add_column(name, no_wrap=True)
    table.add_column("p50", justify="right", no_wrap=True)
    for run in overview.latest[:5]:
        p50 = units.seconds(run.p50) if run.p50 is not None else run.status.value
        cells = (run.model, run.device, run.runtime, show.ago(run.finished_at), p50)
        table.add_row(*(Text(cell) for cell in cells))
    return table
