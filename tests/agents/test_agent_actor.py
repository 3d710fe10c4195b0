"""The agent on a device: one run at a time, safe to ask twice, and the outbox before all else."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agents.device import agent as module
from agents.device.agent import DeviceAgent
from agents.device.config import CONFIG_VARIABLE, AgentConfig
from agents.device.outbox import Outbox
from agents.messages import AgentStatus, Assignment, AttemptKey, StartAnswer
from profiler.errors import DeviceError
from profiler.events import Phase, ProgressEvent, WorkerRequest
from profiler.result import FailureKind, RunResult, RunStatus
from profiler.samples import FILE_NAME
from tests.builders import make_artifact, make_result, make_spec

KEY = AttemptKey(run_id="run1", attempt=1)
OTHER = AttemptKey(run_id="run2", attempt=1)


class Worker:
    """Stands for ``run_worker``: reports, and ends when it is let or cancelled."""

    def __init__(self) -> None:
        self.requests: list[WorkerRequest] = []
        self.kwargs: dict[str, Any] = {}
        self.let = threading.Event()
        self.error: Exception | None = None
        self.raw: bytes | None = b"raw"
        self.began = threading.Event()

    def __call__(self, request: WorkerRequest, **kwargs: Any) -> RunResult:
        self.requests.append(request)
        self.kwargs = kwargs
        self.began.set()
        cancel: threading.Event = kwargs["cancel"]
        while not self.let.is_set() and not cancel.is_set():
            time.sleep(0.002)
        if self.error is not None:
            raise self.error
        if self.raw is not None:
            (request.work_dir / FILE_NAME).write_bytes(self.raw)
        status = RunStatus.CANCELLED if cancel.is_set() else RunStatus.SUCCEEDED
        return make_result(run_id=request.run_id, attempt=request.attempt, status=status)


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> Iterator[Worker]:
    found = Worker()
    monkeypatch.setattr(module, "run_worker", found)
    monkeypatch.setattr(module, "start_metrics", lambda *_: None)
    yield found
    found.let.set()


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    config = AgentConfig(
        device_id="d1",
        name="pi5-a",
        state_dir=tmp_path / "state",
        cache_dir=tmp_path / "cache",
        worker_python="/vendor/python",
        environment={"PATH": "/bin"},
        metrics_address="127.0.0.1",
        metrics_port=9400,
        metrics_token_sha256="0" * 64,
    )
    path = tmp_path / "agent.json"
    path.write_text(config.model_dump_json(), encoding="utf-8")
    monkeypatch.setenv(CONFIG_VARIABLE, str(path))
    return config.state_dir


@pytest.fixture
def agent(worker: Worker, state: Path) -> DeviceAgent:
    return DeviceAgent("d1")


def assignment(key: AttemptKey = KEY, **spec: Any) -> str:
    return Assignment(
        run_id=key.run_id,
        attempt=key.attempt,
        job_id="job1",
        device="pi5-a",
        spec=make_spec(**spec),
    ).model_dump_json()


def start(agent: DeviceAgent, key: AttemptKey = KEY) -> str:
    return StartAnswer.model_validate_json(agent.start(assignment(key))).outcome


def status(agent: DeviceAgent) -> AgentStatus:
    return AgentStatus.model_validate_json(agent.status(0, -1))


def wait_idle(agent: DeviceAgent) -> AgentStatus:
    deadline = time.monotonic() + 20
    while (found := status(agent)).current is not None:
        assert time.monotonic() < deadline
        time.sleep(0.002)
    return found


def test_a_fresh_agent_is_idle(agent: DeviceAgent) -> None:
    found = status(agent)
    assert found.device_id == "d1"
    assert found.current is None
    assert found.finished == ()
    assert found.cached_models == ()


@pytest.mark.usefixtures("worker")
def test_the_configuration_must_be_this_devices(state: Path) -> None:
    with pytest.raises(ValueError, match="is of device d1, not d2"):
        DeviceAgent("d2")


def test_a_run_goes_from_start_to_acknowledgement(agent: DeviceAgent, worker: Worker) -> None:
    assert start(agent) == "accepted"
    assert status(agent).current == KEY
    worker.let.set()
    assert wait_idle(agent).finished == (KEY,)
    text, raw = agent.fetch(KEY.model_dump_json())
    assert RunResult.model_validate_json(text).run_id == "run1"
    assert raw == b"raw"
    agent.acknowledge(KEY.model_dump_json())
    agent.acknowledge(KEY.model_dump_json())
    assert status(agent).finished == ()


def test_the_worker_is_started_as_configured(
    agent: DeviceAgent, worker: Worker, tmp_path: Path
) -> None:
    start(agent)
    assert worker.began.wait(20)
    (request,) = worker.requests
    assert (request.run_id, request.attempt, request.job_id) == ("run1", 1, "job1")
    assert request.device == "pi5-a"
    assert request.cache_dir == tmp_path / "cache"
    assert request.work_dir.is_dir()
    kind = worker.kwargs["pool"].kind(request.spec)
    assert kind.python == "/vendor/python"
    assert ("PATH", "/bin") in kind.variables
    assert "HOME" not in dict(kind.variables)


def test_one_run_at_a_time(agent: DeviceAgent, worker: Worker) -> None:
    assert start(agent) == "accepted"
    assert start(agent, OTHER) == "busy"
    assert start(agent, KEY.model_copy(update={"attempt": 2})) == "busy"
    # The answer to the first call was lost: asked again, it is the same run.
    assert start(agent) == "accepted"
    worker.let.set()
    wait_idle(agent)
    assert len(worker.requests) == 1


def test_what_is_finished_is_not_done_again(agent: DeviceAgent, worker: Worker) -> None:
    worker.let.set()
    start(agent)
    wait_idle(agent)
    assert start(agent) == "already_finished"
    assert len(worker.requests) == 1
    assert start(agent, OTHER) == "accepted"
    wait_idle(agent)


def test_abort_ends_the_run_that_it_names_and_no_other(agent: DeviceAgent, worker: Worker) -> None:
    start(agent)
    agent.abort(OTHER.model_dump_json())
    agent.abort(KEY.model_copy(update={"attempt": 2}).model_dump_json())
    assert worker.began.wait(20)
    assert not worker.kwargs["cancel"].is_set()
    agent.abort(KEY.model_dump_json())
    wait_idle(agent)
    result = RunResult.model_validate_json(agent.fetch(KEY.model_dump_json())[0])
    assert result.status is RunStatus.CANCELLED
    # Nothing of the abort stays for the next run.
    assert start(agent, OTHER) == "accepted"
    assert OTHER not in status(agent).finished
    worker.let.set()
    wait_idle(agent)
    result = RunResult.model_validate_json(agent.fetch(OTHER.model_dump_json())[0])
    assert result.status is RunStatus.SUCCEEDED


def test_the_outbox_is_written_before_the_desk_is_cleared(
    agent: DeviceAgent, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Were it the other way round, a coordinator that asks in between would give the run up."""
    writing, go_on = threading.Event(), threading.Event()
    put = Outbox.put

    def slow(self: Outbox, *args: Any) -> None:
        writing.set()
        assert go_on.wait(20)
        put(self, *args)

    monkeypatch.setattr(Outbox, "put", slow)
    worker.let.set()
    start(agent)
    assert writing.wait(20)
    seen = status(agent)
    assert seen.current == KEY
    assert seen.finished == ()
    go_on.set()
    assert wait_idle(agent).finished == (KEY,)


def test_status_waits_for_news(agent: DeviceAgent, worker: Worker) -> None:
    version = status(agent).version
    answers: list[AgentStatus] = []

    def ask() -> None:
        answers.append(AgentStatus.model_validate_json(agent.status(20.0, version)))

    thread = threading.Thread(target=ask)
    thread.start()
    start(agent)
    thread.join(20)
    assert answers[0].current == KEY
    assert answers[0].version > version


def test_status_without_news_comes_back_in_time(agent: DeviceAgent) -> None:
    version = status(agent).version
    assert AgentStatus.model_validate_json(agent.status(0.01, version)).version == version
    # Asked with the version of an agent before, it answers at once.
    assert AgentStatus.model_validate_json(agent.status(600.0, version + 7)).version == version


def event(phase: Phase, fraction: float) -> ProgressEvent:
    return ProgressEvent(phase=phase, fraction=fraction, iterations=3, p50_seconds=0.01)


def test_progress_is_told_at_every_phase_and_seldom_in_between(
    agent: DeviceAgent, worker: Worker
) -> None:
    start(agent)
    assert worker.began.wait(20)
    tell = worker.kwargs["on_progress"]
    tell(event(Phase.WARMUP, 0.1))
    version = status(agent).version
    for step in range(50):
        tell(event(Phase.WARMUP, 0.1 + step / 1000))
    assert status(agent).version - version <= 1
    tell(event(Phase.MEASURING, 0.5))
    found = status(agent)
    assert found.version > version
    assert found.progress is not None
    assert found.progress.phase is Phase.MEASURING
    assert found.progress.p50_seconds == 0.01


def test_what_the_agent_cannot_carry_out_is_a_result_too(
    agent: DeviceAgent, worker: Worker, caplog: pytest.LogCaptureFixture
) -> None:
    worker.error = PermissionError(13, "Permission denied", "/vendor")
    worker.let.set()
    start(agent)
    assert wait_idle(agent).finished == (KEY,)
    result = RunResult.model_validate_json(agent.fetch(KEY.model_dump_json())[0])
    assert result.error is not None
    assert result.error.kind is FailureKind.DEVICE_ERROR
    assert "Permission denied" in result.error.message
    assert start(agent, OTHER) == "accepted"


def test_a_disk_with_room_for_the_figures_only_keeps_the_figures(
    agent: DeviceAgent,
    worker: Worker,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    put = Outbox.put

    def full(self: Outbox, key: AttemptKey, result: RunResult, raw: bytes | None) -> None:
        if raw is not None:
            raise OSError(28, "No space left on device")
        put(self, key, result, raw)

    monkeypatch.setattr(Outbox, "put", full)
    worker.let.set()
    start(agent)
    assert wait_idle(agent).finished == (KEY,)
    text, raw = agent.fetch(KEY.model_dump_json())
    assert RunResult.model_validate_json(text).status is RunStatus.SUCCEEDED
    assert raw is None


def test_a_run_without_raw_iterations(agent: DeviceAgent, worker: Worker) -> None:
    worker.raw = None
    worker.let.set()
    start(agent)
    wait_idle(agent)
    assert agent.fetch(KEY.model_dump_json())[1] is None


def test_the_work_directory_goes_with_the_run(
    agent: DeviceAgent, worker: Worker, state: Path
) -> None:
    worker.let.set()
    start(agent)
    wait_idle(agent)
    assert not list((state / "work").iterdir())


def test_a_new_agent_clears_the_work_and_keeps_the_results(
    agent: DeviceAgent, worker: Worker, state: Path
) -> None:
    worker.let.set()
    start(agent)
    wait_idle(agent)
    (state / "work" / "left-by-a-killed-agent").mkdir()
    again = DeviceAgent("d1")
    assert not (state / "work" / "left-by-a-killed-agent").exists()
    assert status(again).finished == (KEY,)
    assert status(again).current is None


def test_models_are_taken_in_chunks_and_found_by_the_run(
    agent: DeviceAgent, worker: Worker, tmp_path: Path
) -> None:
    data = b"weights"
    digest = hashlib.sha256(data).hexdigest()
    assert agent.model_offset(digest) == 0
    agent.model_chunk(digest, 7, 0, data[:4])
    assert agent.model_offset(digest) == 4
    agent.model_chunk(digest, 7, 4, data[4:])
    assert agent.model_offset(digest) == -1
    assert status(agent).cached_models == (digest,)
    agent.start(assignment(model=make_artifact(digest=digest), runtime="onnxruntime"))
    assert worker.began.wait(20)
    path = worker.requests[0].model_path
    assert path is not None
    assert path.read_bytes() == data
    with pytest.raises(DeviceError):
        agent.model_offset("../x")


def test_nonsense_is_refused(agent: DeviceAgent) -> None:
    for call in (agent.start, agent.abort, agent.fetch, agent.acknowledge):
        with pytest.raises(ValueError, match="validation error"):
            call('{"run_id": 1}')
