"""``fleetmark compare``: files, runs and jobs; pairs, verdicts, refusals and their exit status."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from agents.cli import connection
from agents.cli.compare import Report
from agents.cli.main import run
from agents.cli.pairing import pair, what_differs
from agents.client import Client
from agents.coordinator.samples import SampleStore
from agents.messages import Job, JobState, JobWithRuns, Problem, RunList, RunState
from profiler import flags
from profiler.comparing.comparison import Method, Verdict
from profiler.device.environment import read_environment
from profiler.result import FailureKind, RepetitionFigures, RunError, RunResult
from profiler.samples import Iterations
from tests.builders import NOW, make_failed, make_latency, make_request, make_result, make_run

ENVIRONMENT = read_environment()
MEDIANS = (0.0100, 0.0101, 0.0099, 0.0100, 0.0102)


@pytest.fixture(autouse=True)
def _a_home_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLEETMARK_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))
    for name in ("FLEETMARK_TOKEN", "FLEETMARK_COORDINATOR"):
        monkeypatch.delenv(name, raising=False)
    # No coordinator is asked for what is in a file.
    monkeypatch.setattr(connection, "connect", lambda *_: pytest.fail("a coordinator was asked"))


def measured(factor: float = 1.0, medians: Sequence[float] = MEDIANS, **changes: Any) -> RunResult:
    values: dict[str, Any] = {
        "repetitions": tuple(
            RepetitionFigures(
                index=index,
                load_seconds=0.1,
                first_inference_seconds=0.02,
                warmup_iterations=10,
                warmup_seconds=0.1,
                iterations=500,
                median_seconds=factor * median,
            )
            for index, median in enumerate(medians)
        ),
        "latency": make_latency(p50=factor * 0.01),
        "environment": ENVIRONMENT,
    }
    return make_result(**(values | changes))


@pytest.fixture
def file(tmp_path: Path) -> Any:
    def write(name: str, *results: RunResult) -> str:
        path = tmp_path / f"{name}.json"
        path.write_text(RunList(runs=results).model_dump_json(indent=2), encoding="utf-8")
        return str(path)

    return write


Output = pytest.CaptureFixture[str]


# --- files ------------------------------------------------------------------------------------


def test_two_files_give_a_verdict_in_words(file: Any, capsys: Output) -> None:
    old, new = file("before", measured()), file("after", measured(1.032))
    assert run(["compare", old, new]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert "resnet18 is 3.2 % slower than before: ratio 1.032 [" in out
    assert "(5 and 5 processes)." in out
    assert "10.0 ms" in out
    assert "10.3 ms" in out
    assert re.search(r"slower +│", out)
    assert "not compared" not in out


def test_json_is_what_the_report_says(file: Any, capsys: Output) -> None:
    old, new = file("before", measured()), file("after", measured(0.9, run_id="run2"))
    assert run(["compare", old, new, "--json"]) == 0
    report = Report.model_validate_json(capsys.readouterr().out)
    assert len(report.comparisons) == 1
    only = report.comparisons[0]
    assert (only.baseline_run_id, only.candidate_run_id) == ("run1", "run2")
    assert only.comparison.verdict is Verdict.FASTER
    assert only.comparison.ratio.value == pytest.approx(0.9)


def test_a_single_result_is_a_file_too(tmp_path: Path, capsys: Output) -> None:
    paths = [tmp_path / "a.json", tmp_path / "b"]
    for path, factor in zip(paths, (1.0, 2.0), strict=True):
        path.write_text(measured(factor).model_dump_json(), encoding="utf-8")
    assert run(["compare", *map(str, paths)]) == 0
    assert "takes 2.00 times as long as before" in capsys.readouterr().out


def test_what_else_differs_is_refused_until_it_is_meant(file: Any, capsys: Output) -> None:
    doubt = flags.single_repetition()
    old, new = file("a", measured()), file("b", measured(2.0, threads=2, flags=(doubt,)))
    assert run(["compare", old, new]) == 1
    out = capsys.readouterr().out
    assert "refused" in out
    assert "threads (4, 2), flags.single_repetition (no, yes)" in out
    assert "If that is meant: --across threads,flags.single_repetition" in out
    assert run(["compare", old, new, "--across", "threads"]) == 1
    assert run(["compare", old, new, "--across", "threads, flags"]) == 0
    assert "takes 2.00 times as long" in capsys.readouterr().out
    assert run(["compare", old, new, "--force", "--json"]) == 0
    only = json.loads(capsys.readouterr().out)["comparisons"][0]["comparison"]
    assert only["verdict"] == "slower"
    assert [each["field"] for each in only["differences"]] == ["threads", "flags.single_repetition"]


def test_too_wide_an_interval_is_a_verdict(file: Any, capsys: Output) -> None:
    wide = measured(1.0, (0.01, 0.013, 0.008))
    assert run(["compare", file("a", wide), file("b", wide)]) == 0
    assert "It cannot be told whether resnet18 is faster or slower" in capsys.readouterr().out


def test_the_margin_is_the_users(file: Any, capsys: Output) -> None:
    old, new = file("a", measured()), file("b", measured(1.03))
    for text, verdict in (("10%", "same"), ("10 %", "same"), ("0.1", "same"), ("0.5%", "slower")):
        assert run(["compare", old, new, "--margin", text, "--json"]) == 0
        only = json.loads(capsys.readouterr().out)["comparisons"][0]["comparison"]
        assert only["verdict"] == verdict


def test_figures_that_a_file_lacks_are_not_guessed(file: Any, capsys: Output) -> None:
    old, new = file("a", measured(medians=())), file("b", measured())
    assert run(["compare", old, new]) == 0
    assert (
        "the baseline does not say what each of its processes measured" in capsys.readouterr().out
    )


def test_a_failed_run_is_refused_even_by_force(file: Any, capsys: Output) -> None:
    failed = make_failed(RunError(kind=FailureKind.OUT_OF_MEMORY, message="killed"))
    assert run(["compare", file("a", measured()), file("b", failed), "--force"]) == 1
    out = capsys.readouterr().out
    assert "candidate failed, out_of_memory: killed" in out
    assert "--across" not in out


def test_several_results_are_paired_and_read_together(file: Any, capsys: Output) -> None:
    steady = (0.01, 0.010001)
    old = [measured(1, steady, runtime=name) for name in ("torch", "onnxruntime")]
    lone = measured(device="pi5-b")
    new = [measured(1.2, steady, runtime="onnxruntime"), measured(1, steady, runtime="torch")]
    assert run(["compare", file("a", *old), file("b", *new)]) == 0
    out = capsys.readouterr().out
    assert "\ntorch: resnet18 is as fast as before" in out
    assert "onnxruntime: resnet18 is 20 % slower than before" in out
    assert run(["compare", file("a", *old, lone), file("b", *new), "--json"]) == 1
    report = Report.model_validate_json(capsys.readouterr().out)
    assert all(each.comparison.adjusted_p_value is not None for each in report.comparisons)
    assert [each.reason for each in report.unpaired] == ["only the baseline has it"]
    assert report.unpaired[0].configuration.startswith("pi5-b, resnet18, torch")


def test_two_runtimes_are_compared_over_a_fleet(file: Any, capsys: Output) -> None:
    devices = ("pi5-a", "pi5-b")
    old = [measured(device=name) for name in devices]
    new = [measured(0.5, device=name, runtime="onnxruntime") for name in devices]
    command = ["compare", file("a", *old), file("b", *new)]
    assert run(command) == 2
    assert "--across runtime" in capsys.readouterr().err
    assert run([*command, "--across", "runtime"]) == 0
    out = capsys.readouterr().out
    assert "torch → onnxruntime" in out
    for name in devices:
        assert f"{name}: resnet18 in onnxruntime is 2.00 times as fast as in torch" in out


# --- pairs ------------------------------------------------------------------------------------


def test_one_of_each_is_a_pair_whatever_it_is() -> None:
    found = pair([measured()], [measured(device="x", batch_size=8)])
    assert len(found.pairs) == 1
    assert found.unpaired == ()


def test_two_of_one_configuration_are_not_chosen_from() -> None:
    found = pair([measured(), measured()], [measured()])
    assert found.pairs == ()
    assert "2 results of the baseline and 1 of the candidate" in found.unpaired[0].reason


def test_a_run_that_failed_is_told_with_its_error() -> None:
    failed = make_failed(RunError(kind=FailureKind.TIMEOUT, message="not finished"), device="b")
    found = pair([measured(), measured(device="b")], [measured(), failed])
    assert len(found.pairs) == 1
    assert {each.reason for each in found.unpaired} == {
        "only the baseline has it",
        "the candidate has no figures (timeout: not finished)",
    }


def test_what_would_pair_is_found() -> None:
    old = [measured(threads=1), measured(threads=1, batch_size=8)]
    new = [measured(threads=2), measured(threads=2, batch_size=8)]
    assert what_differs(old, new) == ["threads"]
    assert what_differs(old, [measured(threads=2, model="x"), measured(threads=3, model="x")]) == []


# --- a coordinator ----------------------------------------------------------------------------


class Fake:
    """A coordinator with some runs and jobs."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.results: dict[str, RunResult] = {}
        self.raw: dict[str, bytes] = {}
        self.jobs: dict[str, list[RunResult]] = {}
        self.waiting = 0
        self.asked: list[str] = []
        client = Client("http://c", "t", httpx.MockTransport(self._handle))
        monkeypatch.setattr(connection, "connect", lambda *_: client)

    def _handle(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request.url.path)
        parts = request.url.path.removeprefix("/api/v1/").split("/")
        if parts[-1] == "iterations" and parts[1] in self.raw:
            return httpx.Response(200, content=self.raw[parts[1]])
        if parts == ["runs"]:
            found = self.jobs[request.url.params["job"]]
            return httpx.Response(200, content=RunList(runs=tuple(found)).model_dump_json())
        if parts[0] == "runs" and parts[1] in self.results and len(parts) == 2:
            return httpx.Response(200, content=self.results[parts[1]].model_dump_json())
        if parts[0] == "jobs" and parts[1] in self.jobs:
            return httpx.Response(200, content=self._job(parts[1]).model_dump_json())
        problem = Problem(problem=f"there is no {parts[1]}", remedy="Check the id")
        return httpx.Response(404, content=problem.model_dump_json())

    def _job(self, job_id: str) -> JobWithRuns:
        states = [RunState.SUCCEEDED] * len(self.jobs[job_id]) + [RunState.RUNNING] * self.waiting
        return JobWithRuns(
            job=Job(
                id=job_id,
                request=make_request(),
                model="resnet18",
                state=JobState.SUCCEEDED,
                runs={},
                created_at=NOW,
            ),
            runs=tuple(make_run(state=state) for state in states),
        )


def kept(run_id: str, factor: float = 1.0) -> RunResult:
    return measured(factor, run_id=run_id)


def raw(folder: Path, factor: float = 1.0) -> bytes:
    """What the coordinator answers for a run of ``measured(factor)``."""
    rng = np.random.default_rng(1)
    parts = []
    for index, middle in enumerate(MEDIANS):
        ends = np.cumsum(1e9 * factor * middle * rng.lognormal(0.0, 0.01, 500)).astype(int)
        stamps = list(zip([0, *ends[:-1].tolist()], ends.tolist(), strict=True))
        parts.append(Iterations.from_stamps(index, stamps[:10], stamps[10:]))
    Iterations.concatenate(parts).save(folder / "raw.npz")
    store = SampleStore(folder)
    store.put("run", 1, (folder / "raw.npz").read_bytes())
    return store.path("run", 1).read_bytes()


@pytest.fixture
def coordinator(monkeypatch: pytest.MonkeyPatch) -> Fake:
    return Fake(monkeypatch)


def test_runs_are_fetched_by_their_ids(coordinator: Fake, file: Any, capsys: Output) -> None:
    coordinator.results = {"one": kept("one"), "two": kept("two", 1.5)}
    assert run(["compare", "one", "two"]) == 0
    out, err = capsys.readouterr()
    assert "50 % slower" in out
    # The coordinator has lost the raw data, and that is no reason not to compare.
    assert err.splitlines() == [
        "by the processes' medians, without raw iterations: there is no one. Check the id"
    ]
    coordinator.asked.clear()
    assert run(["compare", file("old", measured()), "two"]) == 0
    assert coordinator.asked == ["/api/v1/runs/two"]
    assert capsys.readouterr().err == ""


def method_of(capsys: Output) -> tuple[Method, str]:
    out, err = capsys.readouterr()
    (only,) = Report.model_validate_json(out).comparisons
    return only.comparison.method, err


def test_what_a_coordinator_keeps_is_compared_by_its_iterations(
    coordinator: Fake, tmp_path: Path, capsys: Output
) -> None:
    coordinator.jobs = {"old": [kept("one")], "new": [kept("two", 1.5)]}
    coordinator.raw = {"one": raw(tmp_path), "two": raw(tmp_path, 1.5)}
    assert run(["compare", "old", "new", "--json"]) == 0
    out, err = capsys.readouterr()
    (only,) = Report.model_validate_json(out).comparisons
    assert err == ""
    assert only.comparison.method is Method.BOOTSTRAP
    assert only.comparison.ratio.value == pytest.approx(1.5, rel=1e-3)


@pytest.mark.parametrize("lost", ["one", "two"])
def test_raw_data_of_one_alone_are_no_pair(
    coordinator: Fake, tmp_path: Path, capsys: Output, lost: str
) -> None:
    coordinator.results = {"one": kept("one"), "two": kept("two", 1.5)}
    coordinator.raw = {"one": raw(tmp_path), "two": raw(tmp_path, 1.5)} | {lost: b"nonsense"}
    assert run(["compare", "one", "two", "--json"]) == 0
    method, err = method_of(capsys)
    assert method is Method.MEDIANS
    assert "no raw iterations are in what was sent" in err


def test_without_pyarrow_the_medians_have_to_do(
    coordinator: Fake, tmp_path: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    coordinator.results = {"one": kept("one"), "two": kept("two", 1.5)}
    coordinator.raw = {"one": raw(tmp_path), "two": raw(tmp_path, 1.5)}
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    assert run(["compare", "one", "two", "--json"]) == 0
    method, err = method_of(capsys)
    assert method is Method.MEDIANS
    assert len(err.splitlines()) == 1
    assert "pip install 'fleetmark[coordinator]'" in err
    # What cannot be read is not asked for.
    assert not [path for path in coordinator.asked if path.endswith("iterations")]


def test_a_failed_run_has_no_iterations_to_ask_for(coordinator: Fake, capsys: Output) -> None:
    error = RunError(kind=FailureKind.TIMEOUT, message="not finished")
    coordinator.results = {"one": make_failed(error, run_id="one"), "two": kept("two")}
    assert run(["compare", "one", "two"]) == 1
    assert capsys.readouterr().err == ""
    assert len(coordinator.asked) == 2


def test_jobs_are_compared_device_by_device(coordinator: Fake, capsys: Output) -> None:
    devices = ("pi5-a", "pi5-b", "orin-1")
    coordinator.jobs = {
        "old": [measured(device=name) for name in devices],
        "new": [measured(1.1, device=name) for name in reversed(devices)],
    }
    assert run(["compare", "old", "new"]) == 0
    out = capsys.readouterr().out
    for name in devices:
        assert f"{name}: resnet18 is 10 % slower than before" in out


def test_a_job_that_is_not_over_is_waited_for_by_the_user(
    coordinator: Fake, capsys: Output
) -> None:
    coordinator.jobs = {"old": [measured()]}
    coordinator.waiting = 2
    assert run(["compare", "old", "old"]) == 2
    err = capsys.readouterr().err
    assert "2 run(s) that are not over" in err
    assert "fleetmark watch old" in err


def test_a_job_without_runs_has_nothing_to_compare(coordinator: Fake, capsys: Output) -> None:
    coordinator.jobs = {"old": []}
    assert run(["compare", "old", "old"]) == 2
    assert "'old' is a job without runs" in capsys.readouterr().err


def test_an_id_that_nobody_has_is_said_so(coordinator: Fake, capsys: Output) -> None:
    assert run(["compare", "nobody", "x"]) == 2
    err = capsys.readouterr().err
    assert "baseline: 'nobody' is no file, no job, and no run that is over" in err


# --- bad input --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "Invalid JSON"),
        (b"\xff\xfe", "Invalid JSON"),
        (b"[]", "holds no results"),
        (b"{}", "runs"),
        (b'{"runs": []}', "holds no results"),
        (b'{"runs": [{}]}', "runs.0"),
    ],
)
def test_a_file_without_results_is_refused(
    content: bytes, words: str, file: Any, tmp_path: Path, capsys: Output
) -> None:
    path = tmp_path / "wrong.json"
    path.write_bytes(content)
    assert run(["compare", file("a", measured()), str(path)]) == 2
    err = capsys.readouterr().err
    assert err.startswith("fleetmark: candidate: ")
    assert "wrong.json" in err
    assert words in err
    assert "fleetmark run --json" in err
    assert len(err.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "field", "hint"),
    [
        (["nowhere.json", "x"], "baseline", "Check the path"),
        (["./nowhere", "x"], "baseline", "Check the path"),
        (["", "x"], "baseline", "Check the path"),
        ([".", "x"], "baseline", "cannot be read"),
        (["x" * 400, "x"], "baseline", "cannot be read"),
        (["OLD", "OLD", "--margin", "1"], "margin", "such as 1%"),
        (["OLD", "OLD", "--margin", "0%"], "margin", "such as 1%"),
        (["OLD", "OLD", "--margin", "1%%"], "margin", "such as 1%"),
        (["OLD", "OLD", "--margin", "nan"], "margin", "such as 1%"),
        (["OLD", "OLD", "--margin", "much"], "margin", "such as 1%"),
        (["OLD", "OLD", "--across", "thread"], "across", "Did you mean threads?"),
        (["OLD", "OLD", "--across", ""], "across", ""),
        (["OLD", "OLD", "--across", "status"], "across", "There are:"),
    ],
)
def test_what_makes_no_sense_is_refused(
    arguments: list[str], field: str, hint: str, file: Any, capsys: Output
) -> None:
    old = file("old", measured())
    assert run(["compare", *(old if part == "OLD" else part for part in arguments)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"fleetmark: {field}: ")
    assert hint in err
    assert len(err.strip().splitlines()) == 1


def test_help_has_examples_and_says_what_the_exit_status_means(capsys: Output) -> None:
    assert run(["compare", "--help"]) == 0
    text = capsys.readouterr().out
    assert "fleetmark compare before.json after.json" in text
    assert "Exit status: 0" in text


def test_help_needs_no_numbers() -> None:
    import subprocess

    code = (
        "import sys\nfrom agents.cli.main import run\nrun(['compare', '--help'])\n"
        "assert not {'numpy', 'scipy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
