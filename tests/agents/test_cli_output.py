"""What the commands print: examples in every help, JSON that parses, and no colour unasked."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from agents.cli import connection, fleet, progress, show
from agents.cli.main import run
from agents.client import Client, Unreachable
from agents.messages import (
    Device,
    DeviceList,
    DeviceState,
    Job,
    JobList,
    JobState,
    JobWithRuns,
    Progress,
    RunList,
    RunState,
)
from agents.views import MeasuredModel, MeasuredModelList
from profiler.events import Phase
from profiler.result import FailureKind, RunError
from tests.builders import (
    NOW,
    VERSIONS,
    make_failed,
    make_inventory,
    make_request,
    make_result,
    make_run,
    make_spec,
)

COMMANDS = (
    "coordinator", "agent", "link", "submit", "jobs", "runs", "watch", "cancel", "run", "sensors",
    "runtimes", "doctor", "demo", "devices", "devices remove", "models", "models remove",
    "compare", "overhead",
    "baseline", "baseline set", "baseline show", "baseline clear",
    "dashboards", "dashboards push", "dashboards export",
)  # fmt: skip
ESCAPE = "\x1b"


@pytest.fixture(autouse=True)
def _a_home_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLEETMARK_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))
    monkeypatch.delenv("FLEETMARK_COORDINATOR", raising=False)


def test_no_command_is_forgotten_here(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == 0
    listed = capsys.readouterr().out.partition("Commands:")[2]
    names = set(re.findall(r"^  ([a-z]+)  ", listed, re.MULTILINE))
    assert names == {command.split()[0] for command in COMMANDS}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("option", ["--help", "-h"])
def test_every_help_has_an_example_of_its_own(
    command: str, option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*command.split(), option]) == 0
    text = capsys.readouterr().out
    examples = re.findall(r"^ +(fleetmark .+)$", text.partition("Example")[2], re.MULTILINE)
    assert examples
    assert all(example.startswith(f"fleetmark {command}") for example in examples)
    assert f"Usage: fleetmark {command}" in text


def on_a_terminal(arguments: list[str], **environment: str) -> str:
    """What a command writes where both of its outputs are a terminal."""
    leader, follower = pty.openpty()
    base = {k: v for k, v in os.environ.items() if k not in {"NO_COLOR", "FORCE_COLOR"}}
    with subprocess.Popen(
        [sys.executable, "-m", "agents.cli.main", *arguments],
        stdin=follower,
        stdout=follower,
        stderr=follower,
        env=base | {"TERM": "xterm-256color", "COLUMNS": "120"} | environment,
    ):
        os.close(follower)
        parts = []
        try:
            while part := os.read(leader, 65536):
                parts.append(part)
        except OSError:
            pass  # EIO: the last process has closed the terminal
    os.close(leader)
    return b"".join(parts).decode()


@pytest.mark.parametrize("arguments", [["runtimes"], ["run", "nonsense"], ["--help"], ["--nope"]])
def test_no_color_means_no_escape_codes(arguments: list[str]) -> None:
    assert ESCAPE not in on_a_terminal(arguments, NO_COLOR="1")


def test_a_terminal_has_a_bold_heading_otherwise() -> None:
    assert ESCAPE in on_a_terminal(["runtimes"])


def test_a_pipe_has_no_escape_codes(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["runtimes"]) == 0
    assert run(["sensors"]) == 0
    out, err = capsys.readouterr()
    assert ESCAPE not in out + err
    assert "torch" in out


@pytest.mark.parametrize("command", ["runtimes", "sensors", "doctor"])
def test_json_is_json_and_nothing_else(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    run([command, "--json"])
    assert json.loads(capsys.readouterr().out)


def test_a_reader_that_has_seen_enough_causes_no_traceback() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "agents.cli.main", "sensors", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        error = process.stderr.read().decode()
    assert "Traceback" not in error
    assert "Exception ignored" not in error


# --- against a coordinator that is not there -------------------------------------------------


def make_job(state: JobState, **runs: int) -> Job:
    return Job(
        id="job1",
        request=make_request(devices="kind=cpu-board"),
        model="resnet18",
        state=state,
        runs={RunState(name): count for name, count in runs.items()},
        created_at=NOW,
    )


def device(name: str, state: DeviceState, reason: str | None = None) -> Device:
    return Device(
        id=f"id-{name}",
        name=name,
        state=state,
        state_reason=reason,
        labels={"room": "lab"},
        inventory=make_inventory(),
        versions=VERSIONS,
        address="192.0.2.1",
        metrics_port=9400,
        registered_at=NOW,
        last_seen_at=None,
    )


class Fake:
    """Answers of a coordinator, by method and path."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.answers: dict[tuple[str, str], list[str | httpx.TransportError]] = {}
        self.bodies: list[bytes] = []
        client = Client("http://c", "t", httpx.MockTransport(self._handle))
        monkeypatch.setattr(connection, "connect", lambda *_: client)
        monkeypatch.setattr(progress, "POLL_SECONDS", 0.0)

    def _handle(self, request: httpx.Request) -> httpx.Response:
        answers = self.answers[request.method, request.url.path]
        found = answers.pop(0) if len(answers) > 1 else answers[0]
        self.bodies.append(request.read())
        if isinstance(found, httpx.TransportError):
            raise found
        return httpx.Response(200, content=found)


@pytest.fixture
def coordinator(monkeypatch: pytest.MonkeyPatch) -> Fake:
    return Fake(monkeypatch)


def test_devices_are_shown_with_what_is_wrong(
    coordinator: Fake, capsys: pytest.CaptureFixture[str]
) -> None:
    found = DeviceList(
        devices=(
            device("pi5-a", DeviceState.ONLINE),
            device("orin-1", DeviceState.OFFLINE, "its Ray node is not in the cluster"),
        )
    )
    coordinator.answers["GET", "/api/v1/devices"] = [found.model_dump_json()]
    assert run(["devices"]) == 0
    out = capsys.readouterr().out
    assert "pi5-a" in out
    assert "offline: its Ray node is not in the cluster" in out
    assert "room=lab" in out
    assert "8.00 GiB" in out
    assert run(["devices", "--json"]) == 0
    assert DeviceList.model_validate_json(capsys.readouterr().out) == found


def test_an_empty_fleet_says_what_to_do(
    coordinator: Fake, capsys: pytest.CaptureFixture[str]
) -> None:
    coordinator.answers["GET", "/api/v1/devices"] = ['{"devices": []}']
    coordinator.answers["GET", "/api/v1/jobs"] = ['{"jobs": []}']
    coordinator.answers["GET", "/api/v1/runs"] = ['{"runs": [], "pending": []}']
    coordinator.answers["GET", "/api/v1/models"] = ['{"models": []}']
    for command in ("devices", "jobs", "runs", "models"):
        assert run([command]) == 0
        out, err = capsys.readouterr()
        assert out == ""
        assert "fleetmark" in err


def test_models_are_listed_and_let_go(
    coordinator: Fake, capsys: pytest.CaptureFixture[str]
) -> None:
    line = MeasuredModel(model="a/net", devices=2, results=7, last_result_at=NOW)
    found = MeasuredModelList(models=(line,))
    coordinator.answers["GET", "/api/v1/models"] = [found.model_dump_json()]
    assert run(["models"]) == 0
    assert re.search(r"a/net +│ 2 +│ 7 ", capsys.readouterr().out)
    assert run(["models", "--json"]) == 0
    assert MeasuredModelList.model_validate_json(capsys.readouterr().out) == found
    coordinator.answers["DELETE", "/api/v1/models"] = [""]
    assert run(["models", "remove", "a/net"]) == 0
    assert "its results stay" in capsys.readouterr().err


def test_jobs_are_listed(coordinator: Fake, capsys: pytest.CaptureFixture[str]) -> None:
    jobs = JobList(jobs=(make_job(JobState.RUNNING, succeeded=2, queued=1),))
    coordinator.answers["GET", "/api/v1/jobs"] = [jobs.model_dump_json()]
    assert run(["jobs"]) == 0
    out = capsys.readouterr().out
    assert "2 succeeded, 1 queued" in out
    assert "kind=cpu-board" in out


def test_results_and_what_is_to_come_are_listed(
    coordinator: Fake, capsys: pytest.CaptureFixture[str]
) -> None:
    error = RunError(kind=FailureKind.MODEL_ERROR, message="it crashed", stderr_tail="last words")
    runs = RunList(
        runs=(make_result(), make_failed(error)),
        pending=(make_run(state=RunState.QUEUED, id="run9"),),
    )
    coordinator.answers["GET", "/api/v1/runs"] = [runs.model_dump_json()]
    assert run(["runs"]) == 0
    out = capsys.readouterr().out
    assert "11.0 ms" in out
    assert "model_error" in out
    assert "last words" in out
    assert "run9" in out


def test_submit_sends_what_was_asked_for(
    coordinator: Fake, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = JobWithRuns(job=make_job(JobState.QUEUED, queued=4), runs=(make_run(),) * 4)
    coordinator.answers["POST", "/api/v1/jobs"] = [answer.model_dump_json()]
    command = ["submit", "torchvision:resnet18", "--batch-size", "1,8", "--threads", "1,2"]
    assert run([*command, "--devices", "pi5-a", "--memory-limit", "512"]) == 0
    assert "job job1: 4 runs queued" in capsys.readouterr().out
    sent = json.loads(coordinator.bodies[0])
    assert sent["axes"]["batch_size"] == [1, 8]
    assert sent["axes"]["threads"] == [1, 2]
    assert sent["axes"]["runtime"] == []
    assert sent["devices"] == "pi5-a"
    assert sent["memory_limit_bytes"] == 512 * 2**20


def followed(coordinator: Fake, *states: tuple[JobState, RunState]) -> None:
    coordinator.answers["GET", "/api/v1/jobs/job1"] = [
        JobWithRuns(
            job=make_job(job, **{run.value: 1}),
            runs=(
                make_run(
                    state=run,
                    progress=Progress(phase=Phase.MEASURING, fraction=0.5, p50_seconds=0.0164)
                    if run is RunState.RUNNING
                    else None,
                ),
            ),
        ).model_dump_json()
        for job, run in states
    ]


def test_watch_follows_to_the_end_and_shows_the_results(
    coordinator: Fake, capsys: pytest.CaptureFixture[str]
) -> None:
    followed(
        coordinator,
        (JobState.QUEUED, RunState.QUEUED),
        (JobState.RUNNING, RunState.RUNNING),
        (JobState.SUCCEEDED, RunState.SUCCEEDED),
    )
    runs = RunList(runs=(make_result(),))
    coordinator.answers["GET", "/api/v1/runs"] = [runs.model_dump_json()]
    assert run(["watch", "job1", "--json"]) == 0
    out, err = capsys.readouterr()
    assert RunList.model_validate_json(out) == runs
    lines = err.strip().splitlines()
    assert "queued" in lines[0]
    assert "measuring, p50 16.4 ms" in lines[1]
    assert "done" in lines[2]


def test_watch_names_the_run_that_has_its_turn(
    coordinator: Fake, capsys: pytest.CaptureFixture[str]
) -> None:
    def turn(of: int, phase: Phase) -> str:
        runs = tuple(
            make_run(
                id=f"run{n}",
                state=RunState.RUNNING,
                spec=make_spec(batch_size=n),
                progress=Progress(phase=phase if n == of else Phase.WAITING, fraction=0.5),
            )
            for n in (1, 2)
        )
        return JobWithRuns(job=make_job(JobState.RUNNING, running=2), runs=runs).model_dump_json()

    over = JobWithRuns(
        job=make_job(JobState.SUCCEEDED, succeeded=1), runs=(make_run(state=RunState.SUCCEEDED),)
    ).model_dump_json()
    coordinator.answers["GET", "/api/v1/jobs/job1"] = [
        turn(1, Phase.MEASURING), turn(2, Phase.LOADING), turn(2, Phase.WAITING), over,
    ]  # fmt: skip
    progress.follow_job(connection.connect(None, None), "job1")
    lines = capsys.readouterr().err.strip().splitlines()
    assert "b1 (1/2): measuring" in lines[0]
    assert "b2 (2/2): loading" in lines[1]
    assert "b1 (1/2): waiting for its turn" in lines[2]


@pytest.mark.parametrize(
    ("phase", "shares"), [(Phase.WAITING, 0.5), (Phase.SENDING_MODEL, 0.0), (None, 0.0)]
)
def test_the_bar_of_a_device_is_that_of_all_its_runs(phase: Phase | None, shares: float) -> None:
    shown: list[float] = []

    class Seen(progress.Bars):
        def update(self, who: str, fraction: float, text: str, phase: str) -> None:
            shown.append(fraction)

    now = Progress(phase=phase, fraction=0.5) if phase else None
    running = [make_run(id=f"run{n}", state=RunState.RUNNING, progress=now) for n in range(2)]
    over, queued = make_run(state=RunState.FAILED), make_run(state=RunState.QUEUED)
    progress._show_device(Seen(), "pi5-a", [over, *running, queued])
    assert shown == [pytest.approx((1 + 2 * shares) / 4)]


def test_a_run_that_did_not_succeed_makes_the_status_one(
    coordinator: Fake, capsys: pytest.CaptureFixture[str]
) -> None:
    followed(coordinator, (JobState.FAILED, RunState.FAILED))
    error = RunError(kind=FailureKind.TIMEOUT, message="not finished after 600 s")
    coordinator.answers["GET", "/api/v1/runs"] = [
        RunList(runs=(make_failed(error),)).model_dump_json()
    ]
    assert run(["watch", "job1"]) == 1
    assert "not finished after 600 s" in capsys.readouterr().out


def test_a_coordinator_that_restarts_is_waited_for(
    coordinator: Fake, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    followed(
        coordinator, (JobState.RUNNING, RunState.RUNNING), (JobState.SUCCEEDED, RunState.SUCCEEDED)
    )
    answers = coordinator.answers["GET", "/api/v1/jobs/job1"]
    answers.insert(1, httpx.ConnectError("refused"))
    client = connection.connect(None, None)
    assert progress.follow_job(client, "job1").job.state is JobState.SUCCEEDED
    assert "waiting" in capsys.readouterr().err


def test_a_coordinator_that_stays_away_is_given_up(coordinator: Fake) -> None:
    followed(coordinator, (JobState.RUNNING, RunState.RUNNING))
    coordinator.answers["GET", "/api/v1/jobs/job1"].append(httpx.ConnectError("refused"))
    now = iter(range(0, 10_000, 50))
    with pytest.raises(Unreachable):
        progress.follow_job(connection.connect(None, None), "job1", lambda: next(now))
    assert next(now) > progress.PATIENCE_SECONDS


def test_ctrl_c_leaves_the_job_and_says_so(
    coordinator: Fake, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(fleet, "follow_job", interrupted)
    assert run(["watch", "job1"]) == 130
    assert "fleetmark cancel job1" in capsys.readouterr().err


def test_text_is_never_taken_for_markup(capsys: pytest.CaptureFixture[str]) -> None:
    hostile = "[red]x[/red] [link=http://evil]y[/link] :boom:"
    show.note(hostile)
    show.grid(("a",), ((hostile,),))
    out, err = capsys.readouterr()
    assert hostile in out
    assert hostile in err


def test_how_long_ago() -> None:
    assert show.ago(None) == "never"
    assert show.ago(NOW).endswith("d ago")
