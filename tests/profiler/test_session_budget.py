"""How a run's time is divided: loading and the memory pass are in it, and each one measures."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from profiler.commands import MemoryMeasured, Prepared, Repeated
from profiler.events import ResultEvent, WorkerRequest
from profiler.one_run import FIRST_SHARE
from profiler.plan import MEMORY_CALLS
from profiler.session import run_worker
from tests.builders import make_repeated, make_result, make_spec


def budgets(
    directory: Path, *, seconds: float = 0.0, beyond: float | None = None, load_seconds: float
) -> list[tuple[float, float]]:
    """(budget, least) of the three repetitions of a run of 3 s.

    Each took ``seconds``, or its budget and so much ``beyond`` it.
    """
    answers = {
        "prepare": Prepared(converted=None, preflight=None, phases_seconds={}),
        "repeat": _repeated(seconds, load_seconds),
        "measure_memory": MemoryMeasured(memory=None, reason="not measured", seconds=0.0),
        "summarise": ResultEvent(result=make_result()),
    }
    for kind, answer in answers.items():
        (directory / kind).write_text(f"{answer.model_dump_json()}\n")
    program = directory / "python"
    program.write_text(
        f"#!{sys.executable}\n"
        "import json, os, sys\n"
        "for line in sys.stdin:\n"
        f"    open({str(directory / 'log')!r}, 'a').write(line)\n"
        "    asked = json.loads(line)\n"
        f"    answer = json.load(open({str(directory)!r} + '/' + asked['kind']))\n"
        f"    if asked['kind'] == 'repeat' and {beyond!r} is not None:\n"
        f"        answer['seconds'] = asked['budget_seconds'] + {beyond!r}\n"
        "    os.write(int(sys.argv[-1]), json.dumps(answer).encode() + b'\\n')\n"
    )
    program.chmod(0o700)
    request = WorkerRequest(
        run_id="run1",
        device="here",
        spec=make_spec(repetitions=3, max_time_seconds=3),
        cache_dir=directory,
        work_dir=directory,
    )
    assert run_worker(request, python=str(program)).error is None
    commands = [json.loads(line) for line in (directory / "log").read_text().splitlines()]
    return [
        (each["budget_seconds"], each["least_seconds"])
        for each in commands
        if each["kind"] == "repeat"
    ]


def _repeated(seconds: float, load_seconds: float) -> Repeated:
    made = make_repeated()
    figures = made.report.figures.model_copy(
        update={"load_seconds": load_seconds, "first_inference_seconds": 0.01}
    )
    report = made.report.model_copy(update={"figures": figures})
    return made.model_copy(update={"report": report, "seconds": seconds})


def test_what_a_repetition_used_and_the_memory_pass_will_is_not_given_again(
    tmp_path: Path,
) -> None:
    found = [budget for budget, _ in budgets(tmp_path, seconds=1.2, load_seconds=0.2)]
    memory = 0.2 + MEMORY_CALLS * 0.01
    first = 1.0 * FIRST_SHARE
    second = (3 - 1.2 - memory) / 2 - (1.2 - first)
    third = 3 - 2.4 - memory - ((1.2 - first) + (1.2 - second)) / 2
    assert found == pytest.approx([first, second, max(third, 0.0)])


def test_what_each_takes_beyond_its_budget_is_no_later_ones_loss(tmp_path: Path) -> None:
    """It was: each measured for less time than the one before it."""
    first, *others = [budget for budget, _ in budgets(tmp_path, beyond=0.1, load_seconds=0.0)]
    assert others == pytest.approx([others[0]] * 2)
    assert first == pytest.approx(others[0], rel=0.05)
    assert first + sum(others) + 3 * 0.1 + MEMORY_CALLS * 0.01 == pytest.approx(3)


def test_what_one_leaves_over_is_the_others(tmp_path: Path) -> None:
    found = [budget for budget, _ in budgets(tmp_path, seconds=0.5, load_seconds=0.0)]
    assert found[1] > 1.0
    assert found[2] > found[1]


def test_where_loading_takes_all_of_the_time_each_still_measures(tmp_path: Path) -> None:
    found = budgets(tmp_path, seconds=7.0, load_seconds=6.5)
    assert [budget for budget, _ in found] == [FIRST_SHARE, 0.0, 0.0]
    assert {least for _, least in found} == {0.5}
