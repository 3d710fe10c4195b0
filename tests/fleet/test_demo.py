"""``fleetmark demo``: its results, and nothing left behind however it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fleet.hosts import until

pytestmark = [pytest.mark.fleet, pytest.mark.timeout(300)]


def start_demo(directory: Path, *options: str) -> subprocess.Popen[bytes]:
    """A demo whose temporary files, and so its processes' arguments, lie under ``directory``.

    By the installed command, as people start it. With ``python -m`` CPython ends by the signal and
    not with our status where the interrupt fell into an exec() of a string, as importing a
    dataclass does it, whoever caught it (_Py_UnhandledKeyboardInterrupt in its pythonrun.c).
    """
    command = Path(sys.executable).with_name("fleetmark")
    with (directory / "demo.log").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, str(command), "demo", *options],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=os.environ | {"TMPDIR": str(directory), "NO_COLOR": "1"},
        )


def processes_of(directory: Path) -> list[str]:
    """Command lines of processes that know the directory by argument or environment."""
    found = []
    mark = str(directory).encode()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            line = (entry / "cmdline").read_bytes()
            if mark in line or mark in (entry / "environ").read_bytes():
                found.append(line.replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue
    return found


def runtime_dirs() -> set[Path]:
    """Where Ray keeps its sockets: in /tmp, since their paths must be short."""
    return set(Path("/tmp").glob(f"fleetmark-{os.getuid()}-*"))


def test_demo_profiles_the_pair_and_says_which_is_fastest(tmp_path: Path) -> None:
    file = tmp_path / "results.json"
    demo = start_demo(tmp_path, "--json", str(file), "--max-time", "1", "--repetitions", "1")
    assert demo.wait(280) == 0, (tmp_path / "demo.log").read_text()
    runs = json.loads(file.read_text())["runs"]
    assert [(run["model"], run["runtime"]) for run in runs] == [
        (model, runtime)
        for model in ("resnet18", "mobilenet_v3_large", "squeezenet1_1")
        for runtime in ("torch", "onnxruntime")
    ]
    assert {run["status"] for run in runs} == {"succeeded"}
    fastest = min(runs, key=lambda run: run["latency"]["p50"]["value"])
    said = (tmp_path / "demo.log").read_text().splitlines()[-1]
    # Computed from the results, not written beforehand.
    assert said.startswith(f"{fastest['model']} in {fastest['runtime']} on this-machine")
    # Whether they foretold it depends on what the intervals tell apart; that is tested on its own.
    assert "The parameter counts (" in said
    assert processes_of(tmp_path) == []


@pytest.mark.parametrize("moment", ["1/3", "2/3", "measuring"])
def test_ctrl_c_leaves_no_process_behind(tmp_path: Path, moment: str) -> None:
    before = runtime_dirs()
    demo = start_demo(tmp_path)
    log = tmp_path / "demo.log"
    until(moment, lambda: moment in log.read_text())
    assert processes_of(tmp_path) != []
    demo.send_signal(signal.SIGINT)
    assert demo.wait(60) == 130, log.read_text()
    assert "Traceback" not in log.read_text()
    assert processes_of(tmp_path) == []
    assert list(tmp_path.glob("fleetmark-demo-*")) == []
    assert runtime_dirs() <= before
