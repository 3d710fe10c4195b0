"""The agent on a device: one thing at a time, safe to ask twice, and the outbox before all else."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from agents.device import agent as module
from agents.device.agent import DeviceAgent
from agents.device.config import CONFIG_VARIABLE, AgentConfig
from agents.device.outbox import Outbox
from agents.messages import AgentStatus, AssignedRun, Assignment, AttemptKey, StartAnswer
from profiler.errors import DeviceError
from profiler.events import Phase, ProgressEvent, WorkerRequest
from profiler.pool import WorkerPool
from profiler.result import FailureKind, RunResult, RunStatus
from profiler.samples import FILE_NAME
from profiler.sensors.setup import SensorSetup
from tests.agents.test_latencies import block
from tests.builders import make_artifact, make_result, make_spec

KEY = AttemptKey(run_id="run1", attempt=1)
OTHER = AttemptKey(run_id="run2", attempt=1)


THIRD = AttemptKey(run_id="run3", attempt=1)


class Session:
    """Stands for ``session.measure``: ends a run when it is let or cancelled, and then the next."""

    def __init__(self) -> None:
        self.requests: list[WorkerRequest] = []
        self.calls: list[dict[str, Any]] = []
        self.let = threading.Event()
        self.let_one: set[str] = set()
        self.error: Exception | None = None
        self.raw: bytes | None = b"raw"
        self.began = threading.Event()

    @property
    def call(self) -> dict[str, Any]:
        return self.calls[-1]

    def __call__(
        self, requests: Sequence[WorkerRequest], pool: WorkerPool, **kwargs: Any
    ) -> list[RunResult]:
        self.requests += requests
        self.calls.append({"pool": pool, "requests": requests} | kwargs)
        self.began.set()
        results = {}
        while len(results) < len(requests):
            for place, request in enumerate(requests):
                cancelled = kwargs["cancels"][place].is_set()
                ends = cancelled or self.let.is_set() or request.run_id in self.let_one
                if ends and place not in results:
                    results[place] = self._end(request, cancelled=cancelled)
                    kwargs["on_result"](place, results[place])
            time.sleep(0.002)
        return list(results.values())

    def _end(self, request: WorkerRequest, *, cancelled: bool) -> RunResult:
        if self.error is not None:
            raise self.error
        if self.raw is not None:
            (request.work_dir / FILE_NAME).write_bytes(self.raw)
        status = RunStatus.CANCELLED if cancelled else RunStatus.SUCCEEDED
        return make_result(run_id=request.run_id, attempt=request.attempt, status=status)


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> Iterator[Session]:
    found = Session()
    monkeypatch.setattr(module, "measure", found)
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
        sensors=SensorSetup(only=("system",)),
        metrics_address="127.0.0.1",
        metrics_port=9400,
        metrics_token_sha256="0" * 64,
    )
    path = tmp_path / "agent.json"
    path.write_text(config.model_dump_json(), encoding="utf-8")
    monkeypatch.setenv(CONFIG_VARIABLE, str(path))
    return config.state_dir


@pytest.fixture
def agent(session: Session, state: Path) -> DeviceAgent:
    return DeviceAgent("d1")


def assignment(*keys: AttemptKey, **spec: Any) -> str:
    runs = tuple(AssignedRun(key=key, spec=make_spec(**spec)) for key in keys or (KEY,))
    return Assignment(job_id="job1", device="pi5-a", runs=runs).model_dump_json()


def start(agent: DeviceAgent, *keys: AttemptKey) -> str:
    return StartAnswer.model_validate_json(agent.start(assignment(*keys))).outcome


def status(agent: DeviceAgent) -> AgentStatus:
    return AgentStatus.model_validate_json(agent.status(0, -1))


def current(agent: DeviceAgent) -> list[AttemptKey]:
    return [each.key for each in status(agent).current]


def result_of(agent: DeviceAgent, key: AttemptKey) -> RunResult:
    return RunResult.model_validate_json(agent.fetch(key.model_dump_json())[0])


def wait_for(agent: DeviceAgent, key: AttemptKey) -> None:
    """Until a run has ended, whatever the others do."""
    deadline = time.monotonic() + 20
    while key in current(agent):
        assert time.monotonic() < deadline
        time.sleep(0.002)
    assert key in status(agent).finished


def wait_idle(agent: DeviceAgent) -> AgentStatus:
    deadline = time.monotonic() + 20
    while (found := status(agent)).current:
        assert time.monotonic() < deadline
        time.sleep(0.002)
    return found


def test_a_fresh_agent_is_idle(agent: DeviceAgent) -> None:
    found = status(agent)
    assert found.device_id == "d1"
    assert found.current == ()
    assert found.finished == ()
    assert found.cached_models == ()


@pytest.mark.usefixtures("session")
def test_the_configuration_must_be_this_devices(state: Path) -> None:
    with pytest.raises(ValueError, match="is of device d1, not d2"):
        DeviceAgent("d2")


def test_a_run_goes_from_start_to_acknowledgement(agent: DeviceAgent, session: Session) -> None:
    assert start(agent) == "accepted"
    assert current(agent) == [KEY]
    session.let.set()
    assert wait_idle(agent).finished == (KEY,)
    text, raw = agent.fetch(KEY.model_dump_json())
    assert RunResult.model_validate_json(text).run_id == "run1"
    assert raw == b"raw"
    agent.acknowledge(KEY.model_dump_json())
    agent.acknowledge(KEY.model_dump_json())
    assert status(agent).finished == ()


def test_the_worker_is_started_as_configured(
    agent: DeviceAgent, session: Session, tmp_path: Path
) -> None:
    start(agent)
    assert session.began.wait(20)
    (request,) = session.requests
    assert request.sensors.only == ("system",)
    # What its sampler reads is to be seen at a scrape.
    assert request.newest_path is not None
    assert (request.run_id, request.attempt, request.job_id) == ("run1", 1, "job1")
    assert request.device == "pi5-a"
    assert request.cache_dir == tmp_path / "cache"
    assert request.work_dir.is_dir()
    kind = session.call["pool"].kind(request.spec)
    assert kind.python == "/vendor/python"
    assert ("PATH", "/bin") in kind.variables
    assert "HOME" not in dict(kind.variables)


def test_one_run_at_a_time(agent: DeviceAgent, session: Session) -> None:
    assert start(agent) == "accepted"
    assert start(agent, OTHER) == "busy"
    assert start(agent, KEY.model_copy(update={"attempt": 2})) == "busy"
    assert start(agent, KEY, OTHER) == "busy"
    # The answer to the first call was lost: asked again, it is the same run.
    assert start(agent) == "accepted"
    session.let.set()
    wait_idle(agent)
    assert len(session.requests) == 1


def test_what_is_finished_is_not_done_again(agent: DeviceAgent, session: Session) -> None:
    session.let.set()
    start(agent)
    wait_idle(agent)
    assert start(agent) == "already_finished"
    assert len(session.requests) == 1
    assert start(agent, OTHER) == "accepted"
    wait_idle(agent)


def test_abort_ends_the_run_that_it_names_and_no_other(
    agent: DeviceAgent, session: Session
) -> None:
    start(agent)
    agent.abort(OTHER.model_dump_json())
    agent.abort(KEY.model_copy(update={"attempt": 2}).model_dump_json())
    assert session.began.wait(20)
    assert not session.call["cancels"][0].is_set()
    agent.abort(KEY.model_dump_json())
    wait_idle(agent)
    assert result_of(agent, KEY).status is RunStatus.CANCELLED
    # Nothing of the abort stays for the next run.
    assert start(agent, OTHER) == "accepted"
    assert OTHER not in status(agent).finished
    session.let.set()
    wait_idle(agent)
    assert result_of(agent, OTHER).status is RunStatus.SUCCEEDED


def test_the_outbox_is_written_before_the_desk_is_cleared(
    agent: DeviceAgent, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Were it the other way round, a coordinator that asks in between would give the run up."""
    writing, go_on = threading.Event(), threading.Event()
    put = Outbox.put

    def slow(self: Outbox, *args: Any) -> None:
        writing.set()
        assert go_on.wait(20)
        put(self, *args)

    monkeypatch.setattr(Outbox, "put", slow)
    session.let.set()
    start(agent)
    assert writing.wait(20)
    seen = status(agent)
    assert [each.key for each in seen.current] == [KEY]
    assert seen.finished == ()
    go_on.set()
    assert wait_idle(agent).finished == (KEY,)


def test_status_waits_for_news(agent: DeviceAgent, session: Session) -> None:
    version = status(agent).version
    answers: list[AgentStatus] = []

    def ask() -> None:
        answers.append(AgentStatus.model_validate_json(agent.status(20.0, version)))

    thread = threading.Thread(target=ask)
    thread.start()
    start(agent)
    thread.join(20)
    assert [each.key for each in answers[0].current] == [KEY]
    assert answers[0].version > version


def test_status_without_news_comes_back_in_time(agent: DeviceAgent) -> None:
    version = status(agent).version
    assert AgentStatus.model_validate_json(agent.status(0.01, version)).version == version
    # Asked with the version of an agent before, it answers at once.
    assert AgentStatus.model_validate_json(agent.status(600.0, version + 7)).version == version


def event(phase: Phase, fraction: float) -> ProgressEvent:
    return ProgressEvent(phase=phase, fraction=fraction, iterations=3, p50_seconds=0.01)


def test_the_progress_of_each_run_is_told_by_its_place(
    agent: DeviceAgent, session: Session
) -> None:
    start(agent, KEY, OTHER)
    assert session.began.wait(20)
    session.call["on_progress"](1, event(Phase.MEASURING, 0.5))
    first, second = status(agent).current
    assert (first.key, first.progress.phase) == (KEY, Phase.WAITING)
    assert (second.key, second.progress.phase) == (OTHER, Phase.MEASURING)
    assert second.progress.p50_seconds == 0.01


def test_what_a_run_measures_goes_to_the_devices_own_histogram(
    agent: DeviceAgent, session: Session
) -> None:
    start(agent, KEY, OTHER)
    assert session.began.wait(20)
    told = event(Phase.MEASURING, 0.5).model_copy(update={"latencies": block(0.010, 0.020)})
    for _ in range(3):
        # Also what comes too soon to be news for people.
        session.call["on_progress"](1, told)
    (found,) = agent._state.latencies.histograms()
    assert sum(found.counts.values()) == 6
    assert {run_id for run_id, _ in found.exemplars.values()} == {OTHER.run_id}
    assert status(agent).current[1].progress.phase is Phase.MEASURING


# --- runs that take turns --------------------------------------------------------------------


def test_an_assignment_is_measured_as_one(agent: DeviceAgent, session: Session) -> None:
    assert start(agent, KEY, OTHER, THIRD) == "accepted"
    assert current(agent) == [KEY, OTHER, THIRD]
    assert start(agent, THIRD) == "busy"
    session.let.set()
    assert set(wait_idle(agent).finished) == {KEY, OTHER, THIRD}
    (call,) = session.calls
    assert [request.run_id for request in call["requests"]] == ["run1", "run2", "run3"]
    assert len({request.work_dir for request in call["requests"]}) == 3


def test_a_result_is_in_the_outbox_as_soon_as_it_is_there(
    agent: DeviceAgent, session: Session, state: Path
) -> None:
    start(agent, KEY, OTHER)
    session.let_one.add("run2")
    wait_for(agent, OTHER)
    assert current(agent) == [KEY]
    assert result_of(agent, OTHER).status is RunStatus.SUCCEEDED
    # Its files make room; the device is not free, and asked again it is at the same assignment.
    assert [path.name for path in (state / "work").iterdir()] == ["run1-1"]
    assert start(agent, THIRD) == "busy"
    assert start(agent, KEY, OTHER) == "accepted"
    session.let.set()
    assert set(wait_idle(agent).finished) == {KEY, OTHER}
    assert len(session.calls) == 1


def test_abort_ends_one_of_several(agent: DeviceAgent, session: Session) -> None:
    start(agent, KEY, OTHER)
    agent.abort(OTHER.model_dump_json())
    wait_for(agent, OTHER)
    assert result_of(agent, OTHER).status is RunStatus.CANCELLED
    assert current(agent) == [KEY]
    session.let.set()
    wait_idle(agent)
    assert result_of(agent, KEY).status is RunStatus.SUCCEEDED


def test_what_was_finished_before_the_agent_restarted_is_not_done_again(
    agent: DeviceAgent, session: Session
) -> None:
    """The call to start was on its way for so long."""
    session.let.set()
    start(agent, KEY)
    wait_idle(agent)
    assert start(agent, KEY, OTHER) == "accepted"
    wait_idle(agent)
    assert [request.run_id for request in session.requests] == ["run1", "run2"]


def test_what_goes_wrong_is_the_result_of_those_that_had_none(
    agent: DeviceAgent, session: Session, caplog: pytest.LogCaptureFixture
) -> None:
    start(agent, KEY, OTHER, THIRD)
    session.let_one.add("run1")
    wait_for(agent, KEY)
    session.error = PermissionError(13, "Permission denied", "/vendor")
    session.let.set()
    assert set(wait_idle(agent).finished) == {KEY, OTHER, THIRD}
    assert result_of(agent, KEY).status is RunStatus.SUCCEEDED
    for key in (OTHER, THIRD):
        error = result_of(agent, key).error
        assert error is not None
        assert "Permission denied" in error.message


def test_a_result_that_cannot_be_kept_costs_the_others_nothing(
    agent: DeviceAgent,
    session: Session,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    put = Outbox.put

    def full(self: Outbox, key: AttemptKey, result: RunResult, raw: bytes | None) -> None:
        if key == KEY:
            raise OSError(28, "No space left on device")
        put(self, key, result, raw)

    monkeypatch.setattr(Outbox, "put", full)
    session.let.set()
    start(agent, KEY, OTHER)
    # Neither here nor there: the coordinator will give it up.
    assert wait_idle(agent).finished == (OTHER,)
    assert "cannot be kept" in caplog.text


def test_every_assignment_has_an_order_of_its_own_that_the_seed_gives_again(
    agent: DeviceAgent, session: Session
) -> None:
    session.let.set()
    for number, spec in enumerate(({}, {}, {"batch_size": 2}, {"seed": 1})):
        agent.start(assignment(AttemptKey(run_id=f"run{number}", attempt=1), **spec))
        wait_idle(agent)
    first, again, *others = [call["seed"] for call in session.calls]
    assert first == again
    assert len({first, *others}) == 3


def test_what_the_agent_cannot_carry_out_is_a_result_too(
    agent: DeviceAgent, session: Session, caplog: pytest.LogCaptureFixture
) -> None:
    session.error = PermissionError(13, "Permission denied", "/vendor")
    session.let.set()
    start(agent)
    assert wait_idle(agent).finished == (KEY,)
    result = result_of(agent, KEY)
    assert result.error is not None
    assert result.error.kind is FailureKind.DEVICE_ERROR
    assert "Permission denied" in result.error.message
    assert start(agent, OTHER) == "accepted"


def test_a_disk_with_room_for_the_figures_only_keeps_the_figures(
    agent: DeviceAgent,
    session: Session,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    put = Outbox.put

    def full(self: Outbox, key: AttemptKey, result: RunResult, raw: bytes | None) -> None:
        if raw is not None:
            raise OSError(28, "No space left on device")
        put(self, key, result, raw)

    monkeypatch.setattr(Outbox, "put", full)
    session.let.set()
    start(agent)
    assert wait_idle(agent).finished == (KEY,)
    text, raw = agent.fetch(KEY.model_dump_json())
    assert RunResult.model_validate_json(text).status is RunStatus.SUCCEEDED
    assert raw is None


def test_a_run_without_raw_iterations(agent: DeviceAgent, session: Session) -> None:
    session.raw = None
    session.let.set()
    start(agent)
    wait_idle(agent)
    assert agent.fetch(KEY.model_dump_json())[1] is None


def test_the_work_directory_goes_with_the_run(
    agent: DeviceAgent, session: Session, state: Path
) -> None:
    session.let.set()
    start(agent)
    wait_idle(agent)
    assert not list((state / "work").iterdir())


def test_a_new_agent_clears_the_work_and_keeps_the_results(
    agent: DeviceAgent, session: Session, state: Path
) -> None:
    session.let.set()
    start(agent)
    wait_idle(agent)
    (state / "work" / "left-by-a-killed-agent").mkdir()
    again = DeviceAgent("d1")
    assert not (state / "work" / "left-by-a-killed-agent").exists()
    assert status(again).finished == (KEY,)
    assert status(again).current == ()


def test_models_are_taken_in_chunks_and_found_by_the_run(
    agent: DeviceAgent, session: Session, tmp_path: Path
) -> None:
    data = b"weights"
    digest = hashlib.sha256(data).hexdigest()
    assert agent.model_offset(digest) == 0
    agent.model_chunk(digest, 7, 0, data[:4])
    assert agent.model_offset(digest) == 4
    agent.model_chunk(digest, 7, 4, data[4:])
    assert agent.model_offset(digest) == -1
    assert status(agent).cached_models == (digest,)
    agent.start(assignment(KEY, model=make_artifact(digest=digest), runtime="onnxruntime"))
    assert session.began.wait(20)
    path = session.requests[0].model_path
    assert path is not None
    assert path.read_bytes() == data
    with pytest.raises(DeviceError):
        agent.model_offset("../x")


def test_nonsense_is_refused(agent: DeviceAgent) -> None:
    for call in (agent.start, agent.abort, agent.fetch, agent.acknowledge):
        with pytest.raises(ValueError, match="validation error"):
            call('{"run_id": 1}')
