"""The Ray head: started, adopted by the next coordinator, and never a second one beside it."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agents import supervise
from agents.addresses import free_port
from agents.coordinator import head as module
from agents.coordinator.head import Head, HeadMark
from agents.supervise import mark_of
from profiler.errors import FleetmarkError

# Stands for ``ray``: takes the port as the head does, says so, and stays.
STAND_IN = f"""#!{sys.executable}
import os, socket, sys, time
port = int(next(a for a in sys.argv if a.startswith("--port=")).partition("=")[2])
print(*sys.argv[1:], flush=True)
if os.environ.get("STAND_IN") == "fails":
    sys.exit("the head cannot start: no space left in /dev/shm")
if os.environ.get("STAND_IN") == "hangs":
    time.sleep(600)
with socket.create_server(("", port)):
    print("Ray runtime started.", flush=True)
    time.sleep(600)
"""


class World:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.port = free_port()
        self.heads: list[Head] = []

    def head(self, host: str = "127.0.0.1", port: int | None = None) -> Head:
        found = Head(self.root, self.root / "token", host, port or self.port)
        self.heads.append(found)
        return found

    def mark(self) -> HeadMark:
        return HeadMark.model_validate_json((self.root / "head.json").read_bytes())


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    script = tmp_path / "ray"
    script.write_text(STAND_IN, encoding="utf-8")
    script.chmod(0o755)
    monkeypatch.setattr(supervise, "ray_command", lambda: str(script))
    monkeypatch.setattr(supervise, "TERM_SECONDS", 0.5)
    monkeypatch.setattr(supervise, "short_runtime_dir", lambda _: tmp_path / "runtime")
    found = World(tmp_path)
    yield found
    for head in found.heads:
        head.stop()


def test_a_head_is_started_and_told_of(world: World) -> None:
    head = world.head()
    assert not head.running()
    assert head.start() is False
    assert head.running()
    assert head.address == f"127.0.0.1:{world.port}"
    assert head.cluster_id
    assert world.mark().cluster_id == head.cluster_id
    text = (world.root / "ray-head.log").read_text(encoding="utf-8")
    assert "--head" in text
    assert "--node-ip-address=127.0.0.1" in text
    # The coordinator's machine measures nothing by being one.
    assert "--num-cpus=0" in text


def test_stop_takes_it_along(world: World) -> None:
    head = world.head()
    head.start()
    pid = world.mark().process.pid
    head.stop()
    assert mark_of(pid) is None
    assert not (world.root / "head.json").exists()
    assert not head.running()
    head.stop()


def test_the_next_coordinator_adopts_it(world: World) -> None:
    first = world.head()
    first.start()
    second = world.head()
    assert second.start() is True
    assert second.running()
    assert (second.cluster_id, second.address) == (first.cluster_id, first.address)
    pid = world.mark().process.pid
    second.stop()
    assert mark_of(pid) is None


def test_a_head_that_is_gone_is_replaced_by_a_new_cluster(world: World) -> None:
    first = world.head()
    first.start()
    os.kill(world.mark().process.pid, signal.SIGKILL)
    first._process._child.wait()  # type: ignore[union-attr]
    second = world.head()
    assert second.start() is False
    # Devices of the old cluster must notice, and join again.
    assert second.cluster_id != first.cluster_id


@pytest.mark.parametrize("content", ["", "{}", "nonsense", '{"cluster_id": "x"}'])
def test_a_damaged_mark_is_no_head(world: World, content: str) -> None:
    (world.root / "head.json").write_text(content, encoding="ascii")
    head = world.head()
    assert head.start() is False
    assert head.running()


def test_a_mark_of_another_process_is_no_head(world: World) -> None:
    mine = mark_of(os.getpid())
    assert mine is not None
    mark = HeadMark(
        process=mine.model_copy(update={"start_ticks": 1}),
        cluster_id="old",
        address=f"127.0.0.1:{world.port}",
    )
    (world.root / "head.json").write_text(mark.model_dump_json(), encoding="ascii")
    head = world.head()
    assert head.start() is False
    assert head.cluster_id != "old"


def test_another_address_is_another_head(world: World) -> None:
    first = world.head()
    first.start()
    pid = world.mark().process.pid
    second = world.head(port=free_port())
    assert second.start() is False
    assert mark_of(pid) is None
    assert second.cluster_id != first.cluster_id


def test_a_port_that_is_taken_is_said_so(world: World) -> None:
    with (
        socket.create_server(("", world.port)),
        pytest.raises(FleetmarkError, match=f"port {world.port}.*--ray-port"),
    ):
        world.head().start()
    assert not (world.root / "head.json").exists()


def test_a_head_that_does_not_start_says_what_it_wrote(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STAND_IN", "fails")
    head = world.head()
    with pytest.raises(FleetmarkError, match="no space left in /dev/shm"):
        head.start()
    assert not head.running()
    assert not (world.root / "head.json").exists()


def test_a_head_that_hangs_is_ended(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAND_IN", "hangs")
    monkeypatch.setattr(module, "START_SECONDS", 0.3)
    head = world.head()
    with pytest.raises(FleetmarkError, match="did not start"):
        head.start()
    assert not head.running()


def test_ctrl_c_while_it_starts_leaves_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STAND_IN", "hangs")
    head = world.head()

    def interrupted(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(module.time, "sleep", interrupted)
    with pytest.raises(KeyboardInterrupt):
        head.start()
    monkeypatch.undo()
    assert head.running()
    # What the coordinator does on its way out.
    head.stop()
    assert not head.running()
