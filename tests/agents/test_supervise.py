"""A supervised ``ray start``: known again for sure, and ended with all that it started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from agents import supervise
from agents.supervise import (
    ProcessMark,
    RayProcess,
    log_tail,
    mark_of,
    parse_stat,
    ray_command,
    ray_environment,
    short_runtime_dir,
)
from profiler.errors import FleetmarkError

# Starts helpers as Ray does: in process groups of their own, but in its session. One of them does
# not listen to SIGTERM, one has a child of its own. What several of them say at a time is one write
# each: print sends a line in pieces, and another's would come between.
STAND_IN = f"""#!{sys.executable}
import os, signal, sys, time
print("arguments", *sys.argv[1:], flush=True)
print("token at", os.environ.get("RAY_AUTH_TOKEN_PATH"), flush=True)
for stubborn in (False, True):
    if os.fork() == 0:
        os.setpgid(0, 0)
        if stubborn:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        elif os.fork() == 0:
            os.setpgid(0, 0)
        os.write(1, b"helper %d\\n" % os.getpid())
        time.sleep(600)
        os._exit(0)
os.write(1, b"Ray runtime started\\n")
time.sleep(600)
"""


def wait_until(condition: object, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.01)


class StandIn:
    def __init__(self, root: Path) -> None:
        self.log = root / "ray.log"
        self.started: list[RayProcess] = []

    def start(self, *arguments: str) -> RayProcess:
        environment = ray_environment(os.environ, Path("/the/token"))
        process = RayProcess.start(arguments, environment, self.log)
        self.started.append(process)
        wait_until(lambda: len(self.helpers()) == 3)
        return process

    def helpers(self) -> list[int]:
        # A line is whole once its end is there; the stand-in may be in the middle of one.
        lines = self.log.read_text(encoding="utf-8").splitlines(keepends=True)
        whole = [line for line in lines if line.startswith("helper") and line.endswith("\n")]
        return [int(line.split()[1]) for line in whole]


@pytest.fixture
def ray(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    script = tmp_path / "ray"
    script.write_text(STAND_IN, encoding="utf-8")
    script.chmod(0o755)
    monkeypatch.setattr(supervise, "ray_command", lambda: str(script))
    monkeypatch.setattr(supervise, "TERM_SECONDS", 0.3)
    found = StandIn(tmp_path)
    yield found
    for process in found.started:
        process.stop()


def alive(pids: list[int]) -> list[int]:
    return [pid for pid in pids if mark_of(pid) is not None]


def test_it_runs_in_a_session_of_its_own_with_its_output_in_the_log(ray: StandIn) -> None:
    process = ray.start("--head", "--port=1")
    assert process.running()
    assert os.getsid(process.mark.pid) == process.mark.pid != os.getsid(0)
    text = ray.log.read_text(encoding="utf-8")
    assert "arguments start --block --disable-usage-stats --head --port=1" in text
    assert "token at /the/token" in text


def test_stop_ends_everyone_in_the_session(ray: StandIn) -> None:
    process = ray.start()
    members = [process.mark.pid, *ray.helpers()]
    assert alive(members) == members
    bystander = subprocess.Popen(["sleep", "600"], start_new_session=True)
    try:
        process.stop()
        assert alive(members) == []
        assert not process.running()
        assert bystander.poll() is None
        process.stop()
    finally:
        bystander.kill()
        bystander.wait()


def test_helpers_whose_leader_was_killed_are_ended_too(ray: StandIn) -> None:
    process = ray.start()
    os.kill(process.mark.pid, signal.SIGKILL)
    wait_until(lambda: not process.running())
    assert alive(ray.helpers())
    process.stop()
    assert alive(ray.helpers()) == []


def test_one_that_outlived_its_supervisor_is_adopted(ray: StandIn) -> None:
    mark = ray.start().mark
    # What the next supervisor has is what the last one wrote down.
    found = RayProcess.adopt(ProcessMark.model_validate_json(mark.model_dump_json()))
    assert found is not None
    assert found.running()
    found.stop()
    assert alive([mark.pid, *ray.helpers()]) == []


def test_a_dead_one_is_not_adopted(ray: StandIn) -> None:
    process = ray.start()
    process.stop()
    assert RayProcess.adopt(process.mark) is None


def test_a_zombie_is_dead() -> None:
    with subprocess.Popen(["true"]) as child:
        wait_until(lambda: psutil.Process(child.pid).status() == psutil.STATUS_ZOMBIE)
        assert mark_of(child.pid) is None


def test_one_that_ended_before_it_was_looked_at_is_one_that_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script, log = tmp_path / "ray", tmp_path / "ray.log"
    script.write_text("#!/bin/sh\necho no room\n", encoding="ascii")
    script.chmod(0o755)
    monkeypatch.setattr(supervise, "ray_command", lambda: str(script))
    start = subprocess.Popen

    def looked_at_late(*arguments: object, **options: object) -> subprocess.Popen[bytes]:
        child = start(*arguments, **options)  # type: ignore[call-overload]
        wait_until(lambda: psutil.Process(child.pid).status() == psutil.STATUS_ZOMBIE)
        return child  # type: ignore[no-any-return]

    monkeypatch.setattr(subprocess, "Popen", looked_at_late)
    process = RayProcess.start([], {}, log)
    assert not process.running()
    assert log_tail(log) == "no room"
    process.stop()
    assert mark_of(process.mark.pid) is None


@pytest.mark.parametrize("change", [{"start_ticks": 1}, {"boot_id": "the boot before"}])
def test_another_process_with_the_same_pid_is_left_alone(change: dict[str, object]) -> None:
    with subprocess.Popen(["sleep", "600"], start_new_session=True) as child:
        mark = mark_of(child.pid)
        assert mark is not None
        recycled = mark.model_copy(update=change)
        assert RayProcess.adopt(recycled) is None
        RayProcess(recycled, None).stop()
        assert child.poll() is None
        assert RayProcess.adopt(mark) is not None
        child.kill()


def test_a_process_is_known_however_the_clock_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    before = mark_of(os.getpid())
    monkeypatch.setattr(time, "time", lambda: 0.0)
    monkeypatch.setattr(psutil, "boot_time", lambda: 1e9)
    assert mark_of(os.getpid()) == before
    assert RayProcess(before, None).running()  # type: ignore[arg-type]


STAT = "4711 ({name}) {state} 1 4711 4711 0 -1 4194560 1 0 0 0 2 1 0 0 20 0 1 0 {ticks} 1000 100"


@pytest.mark.parametrize("name", ["ray", "ray start", "a) Z 1 (b", ")", "(", "ü"])
def test_the_name_of_a_program_does_not_confuse(name: str) -> None:
    assert parse_stat(STAT.format(name=name, state="S", ticks=987)) == ("S", 987)


def test_our_own_stat_is_understood() -> None:
    mark = mark_of(os.getpid())
    assert mark is not None
    hertz = os.sysconf("SC_CLK_TCK")
    uptime = float(Path("/proc/uptime").read_text(encoding="ascii").split()[0])
    assert 0 < mark.start_ticks / hertz <= uptime


def test_nothing_runs_under_a_pid_that_is_not_there() -> None:
    assert mark_of(2**22 + 1) is None


def test_ray_that_is_missing_is_said_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FleetmarkError, match=r"fleetmark\[agent\]"):
        ray_command()


def test_the_environment_is_the_callers_with_rays_settings() -> None:
    found = ray_environment({"A": "b", "RAY_USAGE_STATS_ENABLED": "1"}, Path("/t"))
    assert found["A"] == "b"
    assert found["RAY_AUTH_MODE"] == "token"
    assert found["RAY_AUTH_TOKEN_PATH"] == "/t"
    assert found["RAY_USAGE_STATS_ENABLED"] == "0"


def test_the_runtime_directory_is_short_private_and_the_owners(tmp_path: Path) -> None:
    found = short_runtime_dir(tmp_path / "a")
    try:
        assert len(str(found)) < 40
        assert found.stat().st_mode & 0o077 == 0
        assert short_runtime_dir(tmp_path / "a") == found
        other = short_runtime_dir(tmp_path / "b")
        assert other != found
        other.rmdir()
        found.chmod(0o755)
        with pytest.raises(FleetmarkError, match="not a private directory"):
            short_runtime_dir(tmp_path / "a")
    finally:
        found.rmdir()


def test_a_link_laid_in_the_way_is_refused(tmp_path: Path) -> None:
    found = short_runtime_dir(tmp_path / "a")
    found.rmdir()
    target = tmp_path / "target"
    target.mkdir(mode=0o700)
    found.symlink_to(target)
    try:
        with pytest.raises(FleetmarkError, match="not a private directory"):
            short_runtime_dir(tmp_path / "a")
    finally:
        found.unlink()


def test_a_file_laid_in_the_way_is_refused(tmp_path: Path) -> None:
    found = short_runtime_dir(tmp_path / "a")
    found.rmdir()
    found.write_text("x", encoding="ascii")
    try:
        with pytest.raises(FleetmarkError, match="not a private directory"):
            short_runtime_dir(tmp_path / "a")
    finally:
        found.unlink()


def test_the_end_of_a_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert log_tail(log) == ""
    log.write_text("\n".join(str(n) for n in range(100)), encoding="ascii")
    assert log_tail(log).splitlines() == [str(n) for n in range(85, 100)]
