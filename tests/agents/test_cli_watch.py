"""``fleetmark watch`` without a job."""

from __future__ import annotations

import io

from rich.console import Console

from agents.cli.watching import Fleet, follow, picture
from agents.client import Unreachable
from agents.coordinator.summary_rows import summary_of
from agents.messages import DeviceState, Progress, RunState
from agents.views import DevicePage, DeviceSummary, Overview
from profiler.events import Phase
from tests.builders import NOW, make_artifact, make_result, make_run, make_spec


def device(name: str, state: DeviceState, **changes: object) -> DeviceSummary:
    values: dict[str, object] = {
        "name": name, "state": state, "state_reason": None, "labels": {}, "kind": "cpu-board",
        "board": None, "cpu_model": "Cortex-A76", "cpu_count": 4, "memory_total_bytes": None,
        "accelerators": (), "runtimes": (), "energy_sources": (), "last_seen_at": NOW,
        "queued": 0, "running": None,
    }  # fmt: skip
    return DeviceSummary.model_validate(values | changes)


def fleet(*devices: DeviceSummary) -> Fleet:
    states = {state: sum(d.state is state for d in devices) for state in DeviceState}
    overview = Overview(
        states=states, queued=3, open_jobs=1, results=7, running=(),
        latest=(summary_of(1, make_result(model="[red]resnet18")),),
    )  # fmt: skip
    return Fleet(
        overview=overview,
        devices=DevicePage(devices=devices, matching=len(devices), states=states),
    )


MEASURING = Progress(phase=Phase.MEASURING, fraction=0.5, p50_seconds=0.0123)
BUSY = device(
    "pi5-a",
    DeviceState.BUSY,
    running=make_run(state=RunState.RUNNING, progress=MEASURING),
    queued=3,
    power_watts=7.25,
)


def shown(found: Fleet, lines: int = 10, width: int = 140) -> str:
    console = Console(file=io.StringIO(), width=width, height=40)
    console.print(picture(found, lines=lines, width=width))
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    return text


def test_devices_with_what_they_do_and_draw() -> None:
    away = device("pi5-b", DeviceState.OFFLINE, state_reason="not heard of for 95 s")
    text = shown(fleet(BUSY, away))
    for part in (
        "1 busy", "1 offline", "open jobs: 1 · runs waiting: 3", "results: 7", "resnet18 torch b1",
        "measuring", "12.3 ms", "7.2 W", "not heard of for 95 s", "[red]resnet18",
    ):  # fmt: skip
        assert part in text


def test_a_small_terminal_has_a_line_for_each_device_and_all_of_it() -> None:
    running = make_run(
        state=RunState.RUNNING,
        progress=MEASURING,
        spec=make_spec(model=make_artifact(name="m" * 60)),
    )
    away = device("pi5-b", DeviceState.ONLINE)
    text = shown(fleet(BUSY, BUSY.model_copy(update={"running": running}), away), width=80)
    assert all(len(line) <= 80 for line in text.splitlines())
    lines = [line for line in text.splitlines() if line.strip().startswith("pi5")]
    assert len(lines) == 3
    for part in ("busy", "resnet18 torch b1", "measuring 50%", "12.3 ms", "7.2 W", "3"):
        assert part in lines[0]
    # Of a long name the beginning; what it does, and how fast, is still there.
    for part in ("mmmmm", "…", "measuring 50%", "12.3 ms", "7.2 W"):
        assert part in lines[1]


def test_more_devices_than_lines_are_counted() -> None:
    found = fleet(*(device(f"board-{n}", DeviceState.ONLINE) for n in range(9)))
    assert "and 6 further devices" in shown(found, lines=3)


def test_an_empty_fleet_teaches() -> None:
    assert "Start `fleetmark agent`" in shown(fleet())


def test_q_ends_it_and_a_coordinator_that_is_away_is_told() -> None:
    console = Console(file=io.StringIO(), width=120, height=40, force_terminal=True)
    keys = iter(["", "", "q"])
    answers = iter([Unreachable("no coordinator answers"), fleet(BUSY)])

    def ask() -> Fleet:
        found = next(answers)
        if isinstance(found, Unreachable):
            raise found
        return found

    follow(console, fleet(BUSY), ask, lambda _: next(keys))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "no coordinator answers; what you see is older" in text
    assert list(keys) == []
