"""The daemon: one per state directory, patient with the network, and never two raylets."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import httpx
import pytest

from agents import supervise
from agents.client import ApiError, Client
from agents.device import daemon
from agents.device.config import CONFIG_VARIABLE, AgentConfig
from agents.device.daemon import (
    BACK_OFF_SECONDS,
    Daemon,
    DaemonSettings,
    StopSign,
    back_off,
    device_key,
    only_one,
)
from agents.messages import Admission, HeartbeatAnswer, Problem, Registration
from agents.secretfile import read_secret
from agents.supervise import RayProcess, mark_of
from profiler.errors import FleetmarkError
from tests.builders import VERSIONS, make_inventory

ADMISSION = Admission(
    device_id="d1",
    cluster_id="c1",
    ray_address="192.0.2.1:6390",
    ray_token="the-ray-token",
    metrics_token_sha256="0" * 64,
    heartbeat_seconds=0.01,
)

# Stands for ``ray``: notes its arguments and what it was given, and stays.
STAND_IN = f"""#!{sys.executable}
import json, os, sys, time
path = os.path.join(os.path.dirname(sys.argv[0]), "seen.json")
with open(path + ".partial", "w") as file:
    json.dump({{"arguments": sys.argv[1:], "environment": dict(os.environ)}}, file)
os.replace(path + ".partial", path)
print("raylet says hello", flush=True)
time.sleep(float(os.environ.get("STAND_IN_SECONDS", "600")))
"""


class Coordinator:
    """Answers of a coordinator; each list gives its last one for ever."""

    def __init__(self) -> None:
        self.registrations: list[Registration] = []
        self.beats = 0
        self.register: list[httpx.Response | Exception] = [accepted()]
        self.heartbeat: list[httpx.Response | Exception] = [beating(rejoin=False)]

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/heartbeat"):
            self.beats += 1
            answers = self.heartbeat
        else:
            self.registrations.append(Registration.model_validate_json(request.read()))
            answers = self.register
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


def accepted() -> httpx.Response:
    return httpx.Response(201, content=ADMISSION.model_dump_json())


def beating(*, rejoin: bool) -> httpx.Response:
    return httpx.Response(200, content=HeartbeatAnswer(rejoin=rejoin).model_dump_json())


def refusing(status: int) -> httpx.Response:
    problem = Problem(field="name", value="pi5-a", problem="is refused", remedy="Do")
    return httpx.Response(status, content=problem.model_dump_json())


class World:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.state = root / "state"
        self.coordinator = Coordinator()
        self.said: list[str] = []

    def daemon(self, **changes: object) -> Daemon:
        settings = DaemonSettings.model_validate(
            {
                "coordinator": "http://127.0.0.1:8470",
                "token": "the-agent-token",
                "name": "pi5-a",
                "labels": {"room": "lab"},
                "state_dir": self.state,
                "cache_dir": self.root / "cache",
                "address": "127.0.0.1",
                "metrics_port": 9400,
            }
            | changes
        )
        found = Daemon(settings, self.said.append)
        transport = httpx.MockTransport(self.coordinator)
        found._client = Client(settings.coordinator, settings.token, transport)
        return found

    def run(self, found: Daemon, until: Callable[[], bool]) -> None:
        """The daemon in a thread, until the condition; then it is stopped."""
        failures: list[BaseException] = []

        def body() -> None:
            try:
                found.run()
            except BaseException as error:  # noqa: BLE001 - raised again below
                failures.append(error)

        thread = threading.Thread(target=body)
        thread.start()
        deadline = time.monotonic() + 20
        while not until() and thread.is_alive() and time.monotonic() < deadline:
            time.sleep(0.005)
        came_about = until()
        found.stop()
        thread.join(20)
        assert not thread.is_alive()
        if failures:
            raise failures[0]
        assert came_about, self.said

    def seen(self) -> dict[str, dict[str, str]]:
        found: dict[str, dict[str, str]] = json.loads((self.root / "seen.json").read_bytes())
        return found


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    script = tmp_path / "ray"
    script.write_text(STAND_IN, encoding="utf-8")
    script.chmod(0o755)
    monkeypatch.setattr(supervise, "ray_command", lambda: str(script))
    monkeypatch.setattr(supervise, "TERM_SECONDS", 0.5)
    runtime = tmp_path / "runtime"
    monkeypatch.setattr(supervise, "short_runtime_dir", lambda _: runtime)
    monkeypatch.setattr(daemon, "BACK_OFF_SECONDS", (0.01, 0.02))
    monkeypatch.setattr(daemon, "POLL_SECONDS", 0.005)
    monkeypatch.setattr(daemon, "read_inventory", lambda _, sensors: make_inventory())
    monkeypatch.setattr(daemon, "read_versions", lambda: VERSIONS)
    return World(tmp_path)


# --- small parts -----------------------------------------------------------------------------


def test_pauses_double_up_to_the_limit_and_differ_between_devices() -> None:
    start, limit = BACK_OFF_SECONDS
    pauses = list(islice(back_off(), 12))
    for step, pause in enumerate(pauses):
        middle = min(limit, start * 2**step)
        assert 0.75 * middle <= pause <= 1.25 * middle
    assert list(islice(back_off(), 12)) != pauses


def test_the_devices_key_stays_and_is_private(tmp_path: Path) -> None:
    key = device_key(tmp_path)
    assert len(key) >= 32
    assert device_key(tmp_path) == key
    assert (tmp_path / "device.key").stat().st_mode & 0o777 == 0o600
    (tmp_path / "other").mkdir()
    assert device_key(tmp_path / "other") != key


def test_a_key_that_a_power_cut_left_empty_is_made_again(tmp_path: Path) -> None:
    (tmp_path / "device.key").touch()
    assert len(device_key(tmp_path)) >= 32


def test_a_second_agent_with_the_same_state_is_refused(tmp_path: Path) -> None:
    with only_one(tmp_path / "state"):
        with pytest.raises(FleetmarkError, match="--state-dir"), only_one(tmp_path / "state"):
            pass
        with only_one(tmp_path / "other"):
            pass
    with only_one(tmp_path / "state"):
        pass


def test_the_lock_is_the_kernels_and_ends_with_its_process(tmp_path: Path) -> None:
    code = (
        "import os\nfrom pathlib import Path\nfrom agents.device.daemon import only_one\n"
        f"with only_one(Path({str(tmp_path)!r})):\n    os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False)
    assert done.returncode == -signal.SIGKILL
    with only_one(tmp_path):
        pass


def test_a_stop_sign_can_be_set_in_a_signal_handler() -> None:
    sign = StopSign()
    assert not sign.is_set()
    assert not sign.wait(0.001)
    before = signal.signal(signal.SIGUSR1, lambda *_: sign.set())
    timer = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGUSR1))
    timer.start()
    try:
        assert sign.wait(20)
        assert sign.is_set()
        sign.set()
        assert sign.wait(0)
    finally:
        timer.join()
        signal.signal(signal.SIGUSR1, before)
        sign.close()


# --- the life of a daemon --------------------------------------------------------------------


def test_it_registers_what_the_device_is(world: World) -> None:
    world.run(world.daemon(), lambda: world.coordinator.beats > 1)
    (asked,) = world.coordinator.registrations
    assert asked.name == "pi5-a"
    assert asked.labels == {"room": "lab"}
    assert asked.device_key == device_key(world.state)
    assert asked.inventory == make_inventory()
    assert (asked.address, asked.metrics_port) == ("127.0.0.1", 9400)
    assert "registered as pi5-a at http://127.0.0.1:8470" in world.said


def test_the_raylet_joins_the_cluster_that_was_named(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLEETMARK_TOKEN", "the-agent-token")
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.setenv("HOME", "/home/someone")
    sensors = {"only": ["rapl"], "meters": [{"name": "plug", "kind": "shelly", "url": "http://p"}]}
    world.run(world.daemon(sensors=sensors), (world.root / "seen.json").exists)
    seen = world.seen()
    assert "--address=192.0.2.1:6390" in seen["arguments"]
    assert '--resources={"device:d1": 1}' in seen["arguments"]
    environment = seen["environment"]
    assert "FLEETMARK_TOKEN" not in environment
    assert "the-ray-token" not in str(seen)
    token = Path(environment["RAY_AUTH_TOKEN_PATH"])
    assert read_secret(token) == "the-ray-token"
    path = Path(environment[CONFIG_VARIABLE])
    assert path.stat().st_mode & 0o077 == 0
    config = AgentConfig.model_validate_json(path.read_bytes())
    assert config.device_id == "d1"
    assert config.metrics_port == 9400
    assert config.sensors.only == ("rapl",)
    assert [meter.name for meter in config.sensors.meters] == ["plug"]
    assert config.inventory is not None
    assert config.inventory.hostname
    # Of its own environment the measured process gets what is chosen, not what Ray makes of it.
    assert config.environment["HOME"] == "/home/someone"
    assert "OMP_NUM_THREADS" not in config.environment
    assert "the-agent-token" not in config.model_dump_json()


def raylet_of(world: World) -> int:
    return int(supervise.ProcessMark.model_validate_json(
        (world.state / "raylet.json").read_bytes()
    ).pid)  # fmt: skip


def test_the_raylet_ends_with_the_daemon(world: World) -> None:
    pids: list[int] = []

    def up() -> bool:
        if world.coordinator.beats > 1 and not pids:
            pids.append(raylet_of(world))
            assert mark_of(pids[0]) is not None
        return bool(pids)

    world.run(world.daemon(), up)
    assert mark_of(pids[0]) is None
    assert not (world.state / "raylet.json").exists()


def test_the_raylet_of_a_killed_daemon_is_ended_first(world: World) -> None:
    with subprocess.Popen(["sleep", "600"], start_new_session=True) as leftover:
        mark = mark_of(leftover.pid)
        assert mark is not None
        world.state.mkdir()
        (world.state / "raylet.json").write_text(mark.model_dump_json(), encoding="ascii")
        world.run(world.daemon(), lambda: world.coordinator.beats > 0)
        assert leftover.wait(20) == -signal.SIGTERM


@pytest.mark.parametrize("content", ["", "{}", '{"pid": 1, "boot_id": "x", "start_ticks": 1}'])
def test_a_mark_that_is_damaged_or_old_harms_nobody(world: World, content: str) -> None:
    world.state.mkdir()
    (world.state / "raylet.json").write_text(content, encoding="ascii")
    world.run(world.daemon(), lambda: world.coordinator.beats > 0)


def test_a_coordinator_that_cannot_be_reached_is_tried_again(world: World) -> None:
    refused = httpx.ConnectError("Connection refused")
    world.coordinator.register = [refused, refused, refusing(503), refusing(507), accepted()]
    world.run(world.daemon(), lambda: world.coordinator.beats > 0)
    assert len(world.coordinator.registrations) == 5
    assert sum("trying again in" in line for line in world.said) == 4


def test_stopping_while_nobody_answers(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(daemon, "BACK_OFF_SECONDS", (3600.0, 3600.0))
    world.coordinator.register = [httpx.ConnectError("Connection refused")]
    world.run(world.daemon(), lambda: any("trying again" in line for line in world.said))


@pytest.mark.parametrize("status", [401, 403, 422])
def test_a_refusal_ends_the_daemon_with_its_reason(world: World, status: int) -> None:
    world.coordinator.register = [refusing(status)]
    with pytest.raises(ApiError, match=r"is refused\. Do"):
        world.daemon().run()
    assert len(world.coordinator.registrations) == 1


def test_a_network_that_comes_up_late_is_waited_for(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers: list[str | OSError] = [
        socket.gaierror(-3, "Temporary failure in name resolution"),
        OSError(101, "Network is unreachable"),
        "127.0.0.1",
    ]

    def address(_: str) -> str:
        found = answers.pop(0)
        if isinstance(found, OSError):
            raise found
        return found

    monkeypatch.setattr(daemon, "own_address_towards", address)
    world.run(world.daemon(address=None), lambda: world.coordinator.beats > 0)
    assert world.coordinator.registrations[0].address == "127.0.0.1"
    assert any("Network is unreachable" in line for line in world.said)


def test_an_address_that_is_not_this_hosts_is_taken_as_given(world: World) -> None:
    # Behind an address translation; the port is looked for here all the same.
    found = world.daemon(address="203.0.113.7", metrics_port=None)
    world.run(found, lambda: world.coordinator.beats > 0)
    assert world.coordinator.registrations[0].address == "203.0.113.7"


def test_a_coordinator_that_is_away_for_a_while_leaves_the_raylet_alone(world: World) -> None:
    away = httpx.ConnectError("Connection refused")
    html = httpx.Response(200, content="<html>log in to this network</html>")
    answers = [beating(rejoin=False), away, away, html, refusing(500), beating(rejoin=False)]
    world.coordinator.heartbeat = list(answers)
    world.run(world.daemon(), lambda: world.coordinator.beats > len(answers))
    assert len(world.coordinator.registrations) == 1
    assert sum("the device goes on" in line for line in world.said) == 1


def test_it_joins_again_when_the_cluster_is_a_new_one(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(daemon, "SHORT_LIFE_SECONDS", 0.0)
    world.coordinator.heartbeat = [beating(rejoin=True), beating(rejoin=False)]
    world.run(world.daemon(), lambda: len(world.coordinator.registrations) > 1)
    assert "the coordinator has a new Ray cluster; joining again" in world.said


def test_it_joins_again_when_the_coordinator_lost_its_store(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(daemon, "SHORT_LIFE_SECONDS", 0.0)
    world.coordinator.heartbeat = [refusing(404), beating(rejoin=False)]
    world.run(world.daemon(), lambda: len(world.coordinator.registrations) > 1)


def test_a_device_that_a_user_removed_does_not_come_back(world: World) -> None:
    world.coordinator.heartbeat = [refusing(410)]
    with pytest.raises(ApiError):
        world.daemon().run()
    assert len(world.coordinator.registrations) == 1
    assert not (world.state / "raylet.json").exists()


def test_a_raylet_that_ends_at_once_says_what_it_wrote(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STAND_IN_SECONDS", "0")
    world.run(world.daemon(), lambda: "raylet says hello" in world.said)
    assert any("the raylet ended" in line for line in world.said)


def test_a_disk_without_room_for_the_mark_leaves_no_raylet(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[RayProcess] = []
    start = RayProcess.start

    def noted(*args: object) -> RayProcess:
        (world.state / "raylet.json").mkdir()
        started.append(start(*args))  # type: ignore[arg-type]
        return started[0]

    monkeypatch.setattr(RayProcess, "start", noted)
    with pytest.raises(IsADirectoryError):
        world.daemon().run()
    assert not started[0].running()
