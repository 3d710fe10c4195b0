"""Every mistake of a user gives status 2 and one sentence: field, value, what to do instead."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from agents.addresses import free_port
from agents.cli import main, options
from agents.cli.connection import find_token
from agents.cli.main import run
from agents.client import ApiError, Unreachable
from agents.coordinator.auth import Role, Tokens
from agents.device.daemon import Daemon
from agents.messages import Problem
from profiler import local_run
from profiler.errors import DeviceError, FleetmarkError, InputError
from profiler.spec import Runtime

RESNET = "torchvision:resnet18"


@pytest.fixture(autouse=True)
def _a_home_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLEETMARK_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("FLEETMARK_TOKEN", "FLEETMARK_COORDINATOR"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def _nothing_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        local_run, "measure_all_here", lambda *_, **__: pytest.fail("it was not refused")
    )


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The one sentence on stderr."""
    assert run(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "Traceback" not in err
    assert err.startswith("fleetmark: ")
    assert len(err.strip().splitlines()) == 1
    return err


@pytest.mark.parametrize("command", ["run", "submit"])
@pytest.mark.parametrize(
    ("arguments", "field", "hint"),
    [
        (["torchvison:resnet18"], "model", "Did you mean torchvision:resnet18?"),
        (["resnet18"], "model", "torchvision:resnet18"),
        (["torchvision:"], "model", "torchvision:resnet18"),
        (["torchvision:" + "x" * 300], "model", "torchvision:NAME"),
        ([""], "model", ""),
        (["./no-such-file.onnx"], "model", "Check the path"),
        ([RESNET, "--runtime", "onnxruntme"], "runtime", "Did you mean onnxruntime?"),
        ([RESNET, "--runtime", ""], "runtime", ""),
        ([RESNET, "--precision", "int8"], "precision", "fp32, fp16, bf16"),
        ([RESNET, "--precision", ""], "precision", ""),
        ([RESNET, "--batch-size", "0"], "batch-size", "1 or 1,8"),
        ([RESNET, "--batch-size", "-1"], "batch-size", "1 or 1,8"),
        ([RESNET, "--batch-size", "many"], "batch-size", "1 or 1,8"),
        ([RESNET, "--batch-size", "1.5"], "batch-size", "1 or 1,8"),
        ([RESNET, "--batch-size", ""], "batch-size", ""),
        ([RESNET, "--batch-size", ","], "batch-size", ""),
        ([RESNET, "--batch-size", "99999"], "batch-size", ""),
        ([RESNET, "--threads", "0"], "threads", "1 or 1,8"),
        ([RESNET, "--threads", ""], "threads", ""),
        ([RESNET, "--threads", "100000"], "threads", ""),
        ([RESNET, "--repetitions", "0"], "repetitions", "See --help"),
        ([RESNET, "--max-time", "0"], "max-time", "See --help"),
        ([RESNET, "--max-time", "nan"], "max-time", "See --help"),
        ([RESNET, "--timeout", "-5"], "timeout", "See --help"),
        ([RESNET, "--memory-limit", "0"], "memory-limit", "above 0"),
        ([RESNET, "--memory-limit", "-1"], "memory-limit", "above 0"),
        ([RESNET, "--memory-limit", "nan"], "memory-limit", "above 0"),
        ([RESNET, "--memory-limit", "inf"], "memory-limit", "above 0"),
        ([RESNET, "--seed", "-1"], "seed", "See --help"),
        ([RESNET, "--accelerator", "gpu"], "accelerator", "See --help"),
        ([RESNET, "--input", "x"], "input", "name:dtype:shape"),
        ([RESNET, "--input", "x:float33:1"], "input", "float32"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_runs(
    command: str,
    arguments: list[str],
    field: str,
    hint: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    error = refused([command, *arguments], capsys)
    assert field in error.partition(": ")[2].partition(":")[0]
    assert hint in error


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (pickle.dumps({"weights": [1, 2]}), "pickle"),
        (b"\x08\x01 cut", ""),
        (b"#!/bin/sh\n", ""),
    ],
    ids=["empty", "pickle", "truncated", "script"],
)
@pytest.mark.parametrize("command", ["run", "submit"])
def test_a_file_that_is_no_model_is_refused(
    command: str, content: bytes, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(content)
    error = refused([command, str(path)], capsys)
    assert words in error
    assert "net.onnx" in error


def test_a_directory_is_no_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    refused(["run", str(tmp_path)], capsys)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--scenario", "burst"], "There are: single_stream, offline, server, sustained"),
        (["--scenario", "server"], "--rate 100, or --latency-bound 0.05"),
        (["--scenario", "server", "--rate", "5", "--latency-bound", "1"], "takes one of both"),
        (["--rate", "5"], "is about --scenario server"),
        (["--scenario", "offline", "--latency-bound", "1"], "is about --scenario server"),
        (["--scenario", "server", "--rate", "0"], "rate"),
        (["--scenario", "server", "--rate", "0.01"], "none arrives in a repetition of 1.43 s"),
        (["--target", "narrow"], "Write 1% or 0.01"),
        (["--target", "100%"], "not between 0 and 100 %"),
        (["--percentile", "p42"], "p50, p90, p95, p99, p999"),
        (["--resolution", "big"], "Write 224, or 160x120"),
        (["--resolution", "224", "--input", "x:float32:1x3x8x8"], "both set the shapes"),
        (["--quick", "--repetitions", "3"], "contradicts --quick"),
        (["--repetitions", "0"], "repetitions"),
        (["--scenario", "server", "--rate", "nan"], "rate: 'nan'"),
        (["--scenario", "server", "--latency-bound", "0"], "latency-bound: '0.0'"),
        (["--scenario", "server", "--rate", "9", "--target", "1%"], "target: '1%' ends nothing"),
        (["--scenario", "offline", "--percentile", "p99"], "percentile: 'p99' is one of latency"),
        (["--settle-time", "5"], "settle-time: '5.0' is about the scenario sustained"),
        (["--max-time", "20", "--timeout", "5"], "timeout: '5' would end the run within the 20 s"),
        (["--threads", "1,1"], "threads names a value twice"),
    ],
)
@pytest.mark.parametrize("command", ["run", "submit"])
def test_a_measurement_that_contradicts_itself_is_refused(
    command: str, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    error = refused([command, RESNET, *arguments], capsys)
    assert said in error
    # What was given, and not all that was made of it.
    assert len(error) < 300


def test_a_value_twice_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert "twice" in refused(["submit", RESNET, "--batch-size", "1,1"], capsys)


@pytest.mark.parametrize(
    "command", [["devices"], ["jobs"], ["runs"], ["submit", RESNET], ["watch", "x"], ["link"]]
)
def test_no_token_is_said_with_the_way_to_one(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert "--token-file FILE" in refused(command, capsys)


@pytest.mark.parametrize(
    "command",
    [["devices"], ["jobs"], ["runs"], ["submit", RESNET], ["watch", "x"], ["cancel", "x"]],
)
@pytest.mark.parametrize("url", ["nonsense", "host:8470", "ftp://x", "http://", "http://h:port"])
def test_a_wrong_url_is_refused(
    command: list[str],
    url: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FLEETMARK_TOKEN", "t\n")
    error = refused([*command, "--coordinator", url], capsys)
    assert "http://HOST:PORT" in error


@pytest.mark.parametrize(
    "command", [["devices"], ["submit", RESNET, "--wait"], ["watch", "x"], ["cancel", "x"]]
)
def test_nobody_at_the_address_is_told_at_once(
    command: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLEETMARK_TOKEN", "t")
    url = f"http://127.0.0.1:{free_port()}"
    assert url in refused([*command, "--coordinator", url], capsys)


def test_a_token_file_for_all_to_read_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "token"
    path.write_text("t\n", encoding="ascii")
    path.chmod(0o644)
    assert run(["devices", "--token-file", str(path)]) != 0
    assert f"chmod 600 {path}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        (["--name", "Bad_Name"], "name"),
        (["--name", ""], "name"),
        (["--label", "room"], "label"),
        (["--label", "Room=lab"], "label"),
        (["--label", "room=the lab"], "label"),
        (["--metrics-port", "0"], "metrics-port"),
        (["--metrics-port", "70000"], "metrics-port"),
        (["--coordinator", "nonsense"], "coordinator"),
        (["--coordinator", "http://h:port"], "coordinator"),
    ],
)
def test_an_agent_is_refused_before_it_asks_anybody(
    arguments: list[str],
    field: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FLEETMARK_TOKEN", "t")
    monkeypatch.setattr(Daemon, "run", lambda _: pytest.fail("it was not refused"))
    command = ["agent", "--state-dir", str(tmp_path / "state"), *arguments]
    assert field in refused(command, capsys)


@pytest.mark.parametrize("database", ["nonsense", "nosuch://x", "sqlite:///no/such/directory/x.db"])
def test_a_database_that_cannot_be_opened_is_said_so(
    database: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["coordinator", "--database", database, "--host", "127.0.0.1"]
    assert run([*command, "--port", str(free_port()), "--data-dir", str(tmp_path / "d")]) != 0
    error = capsys.readouterr().err
    assert "database" in error
    assert "Traceback" not in error


@pytest.mark.parametrize(
    "arguments", [["--nope"], ["nonsense"], ["run"], ["run", "x", "--seed", "y"]]
)
def test_a_wrong_command_line_shows_the_usage(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == 2
    error = capsys.readouterr().err
    assert "Usage: fleetmark" in error
    assert "Traceback" not in error


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (InputError("f", "v", "p", "r"), 2),
        (Unreachable("nobody"), 2),
        (ApiError(422, Problem(problem="p", remedy="r")), 2),
        (ApiError(401, Problem(problem="p", remedy="r")), 2),
        (ApiError(507, Problem(problem="p", remedy="r")), 1),
        (FleetmarkError("x"), 1),
        (DeviceError("x"), 1),
        (PermissionError(13, "Permission denied", "/x"), 1),
        (KeyboardInterrupt(), 130),
    ],
)
def test_every_kind_of_error_has_its_status(
    error: BaseException,
    status: int,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(main, "app", fail)
    assert run([]) == status
    assert "Traceback" not in capsys.readouterr().err


def test_a_mistake_of_ours_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(main, "app", fail)
    with pytest.raises(ZeroDivisionError):
        run([])


def test_values_by_comma() -> None:
    assert options.choices("runtime", "torch, onnxruntime,", Runtime) == (
        Runtime.TORCH,
        Runtime.ONNXRUNTIME,
    )
    assert options.whole_numbers("batch-size", "1, 8") == (1, 8)
    assert options.mebibytes("memory-limit", 1.5) == 1_572_864
    assert options.mebibytes("memory-limit", None) is None


def test_the_local_coordinators_token_is_found(tmp_path: Path) -> None:
    tokens = Tokens(tmp_path / "data" / "tokens")
    tokens.create()
    assert find_token(None, tmp_path / "data") == tokens.token(Role.ADMIN)
