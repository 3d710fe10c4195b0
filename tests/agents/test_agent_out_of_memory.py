"""A run that takes too much memory ends as out_of_memory, and its device goes on: real workers."""

from __future__ import annotations

import os
import shlex
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from agents.device import agent as module
from agents.device.agent import DeviceAgent
from agents.device.config import CONFIG_VARIABLE, AgentConfig
from agents.messages import AgentStatus, AssignedRun, Assignment, AttemptKey, StartAnswer
from profiler.result import FailureKind, RunResult, RunStatus
from profiler.spec import ArtifactRef, Runtime
from tests.builders import make_spec
from tests.small_onnx import save_wide_onnx

pytest.importorskip("onnxruntime")

# Kilobytes of address space of a worker: an engine fits, 64 GiB do not, whatever the machine has.
LIMIT_KIB = 16 * 2**20
# 1 MiB each.
TOO_MANY, FEW = 65_536, 2


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DeviceAgent:
    python = tmp_path / "python"
    python.write_text(
        f'#!/bin/sh\nulimit -v {LIMIT_KIB}\nexec {shlex.quote(sys.executable)} "$@"\n',
        encoding="utf-8",
    )
    python.chmod(0o755)
    config = AgentConfig(
        device_id="d1",
        name="pi5-a",
        state_dir=tmp_path / "state",
        cache_dir=tmp_path / "cache",
        worker_python=str(python),
        environment=dict(os.environ),
        metrics_address="127.0.0.1",
        metrics_port=9400,
        metrics_token_sha256="0" * 64,
        # Long enough for the next run of a test, and the worker goes soon after the last.
        keep_warm_seconds=0.5,
    )
    path = tmp_path / "agent.json"
    path.write_text(config.model_dump_json(), encoding="utf-8")
    monkeypatch.setenv(CONFIG_VARIABLE, str(path))
    monkeypatch.setattr(module, "start_metrics", lambda *_: None)
    return DeviceAgent("d1")


@pytest.fixture
def model(agent: DeviceAgent, tmp_path: Path) -> ArtifactRef:
    path = tmp_path / "wide.onnx"
    found = save_wide_onnx(path)
    agent.model_chunk(found.digest, found.size_bytes, 0, path.read_bytes())
    return found


def assigned(name: str, model: ArtifactRef, **spec: Any) -> AssignedRun:
    values = {
        "model": model,
        "runtime": Runtime.ONNXRUNTIME,
        "threads": 1,
        "repetitions": 1,
        "max_time_seconds": 0.2,
        "warmup": {"min_iterations": 1},
        "batch_size": FEW,
    }
    return AssignedRun(key=AttemptKey(run_id=name, attempt=1), spec=make_spec(**(values | spec)))


def results(agent: DeviceAgent, *runs: AssignedRun) -> list[RunResult]:
    """Those of one assignment, once the device is idle again."""
    assignment = Assignment(job_id="job1", device="pi5-a", runs=runs)
    answer = StartAnswer.model_validate_json(agent.start(assignment.model_dump_json()))
    assert answer.outcome == "accepted"
    deadline = time.monotonic() + 120
    while AgentStatus.model_validate_json(agent.status(0, -1)).current:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return [
        RunResult.model_validate_json(agent.fetch(run.key.model_dump_json())[0]) for run in runs
    ]


def failure(result: RunResult) -> str:
    assert result.status is RunStatus.FAILED
    assert result.error is not None
    assert result.error.kind is FailureKind.OUT_OF_MEMORY, result.error
    return result.error.message


def test_the_batch_that_did_not_fit_is_named_and_the_next_one_runs(
    agent: DeviceAgent, model: ArtifactRef
) -> None:
    large, small = results(
        agent, assigned("large", model, batch_size=TOO_MANY), assigned("small", model)
    )
    message = failure(large)
    assert message.startswith(f"at batch size {TOO_MANY}: ")
    assert message.endswith("a smaller batch size may fit")
    assert large.batch_size == TOO_MANY
    # It took turns with the one that failed, and the device had to go on with it.
    assert small.status is RunStatus.SUCCEEDED, small.error
    assert small.memory is not None
    assert small.memory.tree_processes == 1
    (later,) = results(agent, assigned("later", model))
    assert later.status is RunStatus.SUCCEEDED


def test_a_worker_over_its_limit_is_ended_and_the_next_run_gets_another(
    agent: DeviceAgent, model: ArtifactRef
) -> None:
    (over,) = results(agent, assigned("over", model, memory_limit_bytes=2**20))
    assert "over the limit of 1 MiB" in failure(over)
    (later,) = results(agent, assigned("later", model))
    assert later.status is RunStatus.SUCCEEDED
