"""What a new worker takes until its first word is part of where a run's time went."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from profiler.commands import Event, MemoryMeasured, Prepared
from profiler.events import Phase, ProgressEvent, ResultEvent, WorkerRequest
from profiler.result import RunResult
from profiler.session import run_worker
from tests.builders import make_repeated, make_result, make_spec

SLOW_TO_SPEAK = 0.3


def make_worker(directory: Path, progress: Sequence[ProgressEvent], result: RunResult) -> str:
    """An interpreter that has an answer for every command, the first of them late."""
    answers: list[list[Event]] = [
        [*progress, Prepared(converted=None, preflight=None, phases_seconds={})],
        [make_repeated()],
        [MemoryMeasured(memory=None, reason="not measured", seconds=0.0)],
        [ResultEvent(result=result)],
    ]
    for number, events in enumerate(answers):
        text = "".join(f"{event.model_dump_json()}\n" for event in events)
        (directory / f"answer-{number}").write_text(text)
    program = directory / "python"
    program.write_text(
        f"#!{sys.executable}\n"
        "import os, sys, time\n"
        "for number, line in enumerate(sys.stdin):\n"
        f"    time.sleep({SLOW_TO_SPEAK} if number == 0 else 0)\n"
        f"    answer = open({str(directory)!r} + f'/answer-{{number}}', 'rb').read()\n"
        "    os.write(int(sys.argv[-1]), answer)\n"
    )
    program.chmod(0o700)
    return str(program)


def request_in(directory: Path) -> WorkerRequest:
    return WorkerRequest(
        run_id="run1",
        device="here",
        spec=make_spec(repetitions=1),
        cache_dir=directory,
        work_dir=directory,
    )


def test_start_comes_before_the_workers_own_phases(tmp_path: Path) -> None:
    starting = ProgressEvent(phase=Phase.STARTING, fraction=0)
    result = make_result(phases_seconds={"import": 2.0})
    seen: list[ProgressEvent] = []
    asked = time.perf_counter()
    found = run_worker(
        request_in(tmp_path),
        on_progress=seen.append,
        python=make_worker(tmp_path, [starting], result),
    )
    took = time.perf_counter() - asked
    assert found.error is None
    assert list(found.phases_seconds) == ["start", "import"]
    assert SLOW_TO_SPEAK <= found.phases_seconds["start"] <= took
    assert found.phases_seconds["import"] == pytest.approx(2.0)
    assert seen == [starting]


def test_a_worker_that_says_nothing_has_no_start(tmp_path: Path) -> None:
    result = make_result(phases_seconds={"import": 2.0})
    python = make_worker(tmp_path, [], result)
    assert run_worker(request_in(tmp_path), python=python) == result


def test_an_answer_of_another_version_is_a_failure_and_no_wait(tmp_path: Path) -> None:
    python = make_worker(tmp_path, [], make_result())
    answer = tmp_path / "answer-1"
    answer.write_text(answer.read_text().replace('"spent":false', '"spent":false,"novelty":1'))
    found = run_worker(request_in(tmp_path), python=python)
    assert found.error is not None
    assert "novelty" in found.error.message
    assert "same version of fleetmark" in found.error.message


def test_what_a_model_writes_to_the_channel_is_dropped(tmp_path: Path) -> None:
    python = make_worker(tmp_path, [], make_result())
    answer = tmp_path / "answer-0"
    answer.write_text('garbage\n{"kind":"progress","phase":"?"}\n' + answer.read_text())
    assert run_worker(request_in(tmp_path), python=python).error is None


def test_a_worker_that_was_used_up_is_replaced(tmp_path: Path) -> None:
    """An engine that cannot be forked: each answer is another interpreter's first and last."""
    make_worker(tmp_path, [], make_result())
    for number, answer in ((1, "repeated"), (2, "memory_measured")):
        file = tmp_path / f"answer-{number}"
        text = file.read_text().replace('"spent":false', '"spent":true')
        assert answer in text
        file.write_text(text)
    program = tmp_path / "python"
    names = ["prepare", "repeat", "measure_memory", "summarise"]
    program.write_text(
        f"#!{sys.executable}\n"
        "import json, os, sys\n"
        "for line in sys.stdin:\n"
        "    kind = json.loads(line)['kind']\n"
        f"    number = {names!r}.index(kind)\n"
        f"    open({str(tmp_path / 'log')!r}, 'a').write(f'{{kind}} {{os.getpid()}}\\n')\n"
        f"    answer = open({str(tmp_path)!r} + f'/answer-{{number}}', 'rb').read()\n"
        "    os.write(int(sys.argv[-1]), answer)\n"
        "    if kind in ('repeat', 'measure_memory'): break\n"
    )
    found = run_worker(request_in(tmp_path), python=str(program))
    assert found.error is None
    log = [line.split() for line in (tmp_path / "log").read_text().splitlines()]
    assert [kind for kind, _ in log] == names
    pids = [pid for _, pid in log]
    assert pids[0] == pids[1]
    assert len(set(pids)) == 3


@pytest.mark.parametrize(
    ("changes", "low", "high"),
    [
        ({}, 0, 0),
        ({"scenario": "sustained"}, 400, 480),
        ({"scenario": "sustained", "timeout_seconds": 3600}, 600, 600),
        ({"scenario": "sustained", "settle_seconds": 30}, 30, 30),
        ({"scenario": "sustained", "settle_seconds": 0}, 0, 0),
    ],
)
def test_a_device_is_waited_for_as_long_as_the_deadline_allows(
    tmp_path: Path, changes: dict[str, object], low: float, high: float
) -> None:
    make_worker(tmp_path, [], make_result())
    heard = tmp_path / "heard"
    program = tmp_path / "python"
    program.write_text(
        program.read_text().replace(
            "    answer =",
            f"    open({str(heard)!r}, 'a').write(line)\n    answer =",
        )
    )
    request = request_in(tmp_path)
    spec = make_spec(repetitions=1, **changes)
    run_worker(request.model_copy(update={"spec": spec}), python=str(program))
    (repeat,) = [
        command
        for line in heard.read_text().splitlines()
        if (command := json.loads(line))["kind"] == "repeat"
    ]
    assert low <= repeat["settle_seconds"] <= high
