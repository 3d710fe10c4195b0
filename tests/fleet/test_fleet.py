"""The whole product on real Ray: two devices with addresses of their own."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from agents.messages import DeviceState, JobRequest, JobState, Run, RunState
from dashboards.queries import check
from dashboards.shipped import boards
from profiler.result import FailureKind, RunResult, RunStatus
from profiler.spec import ArchitectureRef, ArtifactRef, Library
from tests.fleet.hosts import FleetUnderTest, Host, until
from tests.model_files import FATAL_MODELS, save_torchscript
from tests.prometheus import asking, running, shipped_config

pytestmark = [pytest.mark.fleet, pytest.mark.timeout(400)]


def request_for(
    model: ArchitectureRef | ArtifactRef, devices: str, seconds: float = 1.0, **more: object
) -> JobRequest:
    values = {"repetitions": 1, "max_time_seconds": seconds, "devices": devices, "model": model}
    return JobRequest.model_validate(values | more)


# What a virtual machine without a meter cannot serve.
NOT_HERE = frozenset(
    {
        "fleetmark_run_energy_joules_per_item",
        "fleetmark_device_power_watts",
        "fleetmark_device_energy_joules_total",
        "fleetmark_device_throttled_seconds_total",
        "fleetmark_device_temperature_celsius",
        "fleetmark_device_clock_hertz",
        # The ratio of two runs of one short repetition each has no interval.
        "fleetmark_run_baseline_bound_ratio",
    }
)
SQUEEZENET = ArchitectureRef(library=Library.TORCHVISION, name="squeezenet1_1")


def until_measuring(fleet: FleetUnderTest, job_id: str) -> Run:
    """The job's first run, once its worker measures."""

    def measuring() -> Run | None:
        run = fleet.client().job(job_id).runs[0]
        assert not run.state.final, run
        return run if run.progress and run.progress.phase == "measuring" else None

    return until("the run to be measured", measuring)


def until_over(fleet: FleetUnderTest, job_id: str, seconds: float = 180) -> list[RunResult]:
    until("the job to be over", lambda: fleet.client().job(job_id).job.state.final, seconds)
    found = fleet.client().runs(job_id=job_id)
    assert not found.pending
    return list(found.runs)


def test_results_from_both_devices(fleet: FleetUnderTest) -> None:
    done = fleet.cli(
        "submit", "torchvision:squeezenet1_1", "--devices", "all",
        "--runtime", "torch,onnxruntime", "--batch-size", "1,2",
        "--max-time", "1.5", "--repetitions", "1", "--wait", "--json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    runs = json.loads(done.stdout)["runs"]
    assert len(runs) == 8
    seen = {(run["device"], run["runtime"], run["batch_size"]) for run in runs}
    assert len(seen) == 8
    for run in runs:
        assert run["status"] == "succeeded"
        p50 = run["latency"]["p50"]
        # On a busy machine half a second may be too few iterations; then it says so.
        assert run["latency"]["p50_reason"] or p50["low"] <= p50["value"] <= p50["high"]
        assert run["threads"] == os.cpu_count()
        assert run["precision"] == "fp32"
        # Ray would have set 1.
        assert run["environment"]["worker_environment"]["OMP_NUM_THREADS"] == str(os.cpu_count())
    # Exported once per device; the other batch size takes the same file.
    assert (
        len({run["model_info"]["converted_digest"] for run in runs if run["runtime"] != "torch"})
        == 1
    )
    assert "measuring" in done.stderr


def test_the_runs_of_a_job_take_turns_on_a_device(fleet: FleetUnderTest) -> None:
    """As those of one ``fleetmark run`` do: interleaved, in one random order."""
    axes = {"runtime": ["torch", "onnxruntime"], "batch_size": [1, 2]}
    job = (
        fleet.client().submit(request_for(SQUEEZENET, "board-a", 1.5, repetitions=3, axes=axes)).job
    )
    results = until_over(fleet, job.id)
    assert {result.status for result in results} == {RunStatus.SUCCEEDED}
    assert len({(result.runtime, result.batch_size) for result in results}) == 4
    assert len({result.order_seed for result in results}) == 1
    position = {
        (result.run_id, repetition.index): repetition.position
        for result in results
        for repetition in result.repetitions
    }
    assert sorted(position.values()) == list(range(12))  # type: ignore[type-var]
    # In rounds: each has had its n-th repetition before any has its next.
    for index in range(3):
        of_round = {place for (_, each), place in position.items() if each == index}
        assert of_round == set(range(4 * index, 4 * index + 4))
    # The repetitions of one are not next to each other, as they were one run after the other.
    began = sorted(result.started_at for result in results)
    assert began[-1] < min(result.finished_at for result in results)


def test_labels_choose_devices(fleet: FleetUnderTest, tmp_path: Path) -> None:
    model = save_torchscript(tmp_path / "tiny.pt")
    done = fleet.cli(
        "submit", str(model), "--devices", "kind=cpu-board,room=lab", "--max-time", "0.2",
        "--repetitions", "1", "--input", "x:float32:1x8", "--wait", "--json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert [run["device"] for run in json.loads(done.stdout)["runs"]] == ["board-a"]


def test_a_second_device_of_the_same_name_is_refused(fleet: FleetUnderTest) -> None:
    done = fleet.network.hub.run(
        "agent", "--coordinator", fleet.url, "--name", "board-a",
        "--token-file", str(fleet.data_dir / "tokens" / "agent.token"),
        "--state-dir", str(fleet.network.directory / "impostor"),
    )  # fmt: skip
    assert done.returncode == 2
    assert "belongs to another device" in done.stderr
    assert "--name" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_wrong_token_is_refused(fleet: FleetUnderTest, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.token"
    wrong.write_text("nonsense")
    wrong.chmod(0o600)
    done = fleet.network.hub.run(
        "agent", "--coordinator", fleet.url, "--name", "board-x", "--token-file", str(wrong),
        "--state-dir", str(fleet.network.directory / "stranger"),
    )  # fmt: skip
    assert done.returncode == 2
    assert "the token is wrong" in done.stderr


@pytest.mark.parametrize("fault", sorted(FATAL_MODELS))
def test_a_fatal_model_ends_its_run_and_nothing_else(
    fleet: FleetUnderTest, tmp_path: Path, fault: str
) -> None:
    """It raises, loops for ever, crashes, or eats the memory: typed, and the next run works."""
    kind, make = FATAL_MODELS[fault]
    ref = fleet.client().upload(make(tmp_path / f"{fault}.pt"))
    job = fleet.client().submit(
        request_for(
            ref,
            "board-b",
            timeout_seconds=25 if kind is FailureKind.TIMEOUT else 120,
            memory_limit_bytes=1500 * 2**20,
            inputs=[{"name": "x", "dtype": "float32", "shape": [1, 8]}],
        )
    )
    after = fleet.client().submit(request_for(SQUEEZENET, "board-b", 0.2))
    (result,) = until_over(fleet, job.job.id)
    assert result.status is RunStatus.FAILED
    assert result.error is not None
    assert result.error.kind is kind, result.error
    assert result.latency is None
    (next_result,) = until_over(fleet, after.job.id)
    assert next_result.status is RunStatus.SUCCEEDED, next_result.error


TWO = {"batch_size": [1, 2]}


def test_kill_9_of_the_worker(fleet: FleetUnderTest) -> None:
    """Ends the run that has its turn, and not the one that it takes turns with."""
    job = fleet.client().submit(request_for(SQUEEZENET, "board-a", 10, repetitions=2, axes=TWO)).job
    measured = until_measuring(fleet, job.id)
    for pid in fleet.devices["board-a"].find("profiler.worker"):
        # A child ends with the worker.
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    # Told at once: the other still has its turn.
    until("the failure to be told", lambda: _first(fleet, job.id).state.final, 20)
    assert [run.state for run in fleet.client().job(job.id).runs[1:]] == [RunState.RUNNING]
    results = {result.run_id: result for result in until_over(fleet, job.id)}
    failed = results.pop(measured.id)
    assert failed.status is RunStatus.FAILED
    assert failed.error is not None
    assert "SIGKILL" in failed.error.message
    (other,) = results.values()
    assert other.status is RunStatus.SUCCEEDED, other.error
    (after,) = until_over(
        fleet, fleet.client().submit(request_for(SQUEEZENET, "board-a", 0.2)).job.id
    )
    assert after.status is RunStatus.SUCCEEDED


def test_cancel_ends_the_worker(fleet: FleetUnderTest) -> None:
    job = fleet.client().submit(request_for(SQUEEZENET, "board-a", 120, axes=TWO)).job
    until_measuring(fleet, job.id)
    done = fleet.cli("cancel", job.id)
    assert done.returncode == 0, done.stderr
    results = until_over(fleet, job.id)
    assert [result.status for result in results] == [RunStatus.CANCELLED] * 2
    until("the worker to end", lambda: not fleet.devices["board-a"].find("profiler.worker"), 20)
    until("the device to be idle", lambda: _state(fleet, "board-a") is DeviceState.ONLINE, 20)


def _state(fleet: FleetUnderTest, name: str) -> DeviceState | None:
    device = fleet.device(name)
    return device.state if device else None


def _raylet(host: Host) -> int:
    (pid,) = host.find("raylet/raylet ")
    return pid


def test_a_killed_raylet_costs_an_attempt_and_no_run(fleet: FleetUnderTest) -> None:
    before = len(fleet.client().runs(limit=1000).runs)
    job = fleet.client().submit(request_for(SQUEEZENET, "board-b", 10, axes=TWO)).job
    until_measuring(fleet, job.id)
    os.kill(_raylet(fleet.devices["board-b"]), signal.SIGKILL)
    until("the attempt to be given up", lambda: _first(fleet, job.id).attempt == 2, 120)
    results = until_over(fleet, job.id, 240)
    assert len(results) == 2
    for result in results:
        assert result.status is RunStatus.SUCCEEDED, result.error
        assert result.attempt == 2
    # The second time each was measured alone: one of them may be why the device was lost.
    first, second = sorted(results, key=lambda each: each.started_at)
    assert first.finished_at <= second.started_at
    assert len(fleet.client().runs(limit=1000).runs) == before + 2


def _first(fleet: FleetUnderTest, job_id: str) -> Run:
    return fleet.client().job(job_id).runs[0]


def test_a_cut_link_costs_no_run(fleet: FleetUnderTest) -> None:
    """The device measures on, unseen; when the link is back, the run ends well either way."""
    job = fleet.client().submit(request_for(SQUEEZENET, "board-a", 12)).job
    until_measuring(fleet, job.id)
    fleet.devices["board-a"].link("down")
    until("the device to be missed", lambda: _state(fleet, "board-a") is DeviceState.OFFLINE, 60)
    fleet.devices["board-a"].link("up")
    (result,) = until_over(fleet, job.id, 240)
    assert result.status is RunStatus.SUCCEEDED, result.error
    assert len([r for r in fleet.client().runs(limit=1000).runs if r.job_id == job.id]) == 1


def test_kill_9_of_the_coordinator_in_mid_run(fleet: FleetUnderTest) -> None:
    job = fleet.client().submit(request_for(SQUEEZENET, "board-a", 12, axes=TWO)).job
    waiting = fleet.client().submit(request_for(SQUEEZENET, "board-a", 0.2)).job
    until_measuring(fleet, job.id)
    fleet.network.hub.kill()
    time.sleep(2)
    fleet.start_coordinator()
    results = until_over(fleet, job.id)
    assert [result.status for result in results] == [RunStatus.SUCCEEDED] * 2
    # The head and the device went on: it is the same attempt, not another one.
    assert [result.attempt for result in results] == [1, 1]
    assert len({result.order_seed for result in results}) == 1
    (after,) = until_over(fleet, waiting.id)
    assert after.status is RunStatus.SUCCEEDED


def test_prometheus_finds_the_devices_and_the_stored_p50(
    fleet: FleetUnderTest, tmp_path: Path
) -> None:
    (result,) = until_over(
        fleet, fleet.client().submit(request_for(SQUEEZENET, "board-a", 1)).job.id
    )
    assert result.latency is not None
    assert result.latency.p50 is not None
    token = fleet.data_dir / "tokens" / "metrics.token"
    config = shipped_config(tmp_path, f"{fleet.network.hub.address}:8470", token)
    with running(config, tmp_path) as url:

        def query(text: str) -> list[dict[str, object]]:
            try:
                answer = httpx.get(f"{url}/api/v1/query", params={"query": text})
            except httpx.TransportError:
                return []
            # While it starts it answers 503, in words.
            return list(answer.json()["data"]["result"]) if answer.is_success else []

        labels = 'device="board-a",model="squeezenet1_1",runtime="torch",batch_size="1",stat="p50"'
        (found,) = until(
            "the p50 in Prometheus",
            lambda: query(f"fleetmark_run_latency_seconds{{{labels}}}"),
            60,
        )
        assert float(found["value"][1]) == pytest.approx(result.latency.p50.value)  # type: ignore[index]
        up = until(
            "both agents to be scraped",
            lambda: len(q := query('up{job="fleetmark-agents"} == 1')) == 2 and q,
            60,
        )
        assert {series["metric"]["device"] for series in up} == {"board-a", "board-b"}  # type: ignore[index]
        assert len(query("fleetmark_agent_up == 1")) == 2
        for name in ("fleetmark_device_memory_total_bytes", "fleetmark_sensor_success"):
            found = until(f"{name} of both", lambda n=name: query(f"count by (device) ({n})"), 30)
            assert {series["metric"]["device"] for series in found} == {"board-a", "board-b"}  # type: ignore[index]
        # What has just been measured is still in the device's own histogram.
        (count,) = until(
            "the histogram",
            lambda: query(
                f"sum(fleetmark_inference_latency_seconds_count{{{labels.rpartition(',')[0]}}})"
            ),
            30,
        )
        assert float(count["value"][1]) >= result.latency.n  # type: ignore[index]
        exemplars = until("the run behind a bucket", lambda: exemplars_of(url), 30)
        assert result.run_id in exemplars
        # Of calls of microseconds there are enough for a p99, which the boards show too, unless
        # something else had the CPU meanwhile.
        tiny = fleet.client().upload(save_torchscript(tmp_path / "tiny.pt"))
        small = request_for(
            tiny, "board-a", 2, inputs=[{"name": "x", "dtype": "float32", "shape": (1, 8)}]
        )
        assert any(has_p99(fleet, small) for _ in range(5)), "five runs, none has a p99"
        again = request_for(SQUEEZENET, "board-a", 1)
        (second,) = until_over(fleet, fleet.client().submit(again).job.id)
        # A run has no hole in the device's readings: its sampler's are served meanwhile.
        during_runs = (
            "max_over_time((fleetmark_device_utilization_ratio and on (device) "
            "(fleetmark_agent_busy == 1))[5m:1s])"
        )
        assert until("readings during runs", lambda: query(during_runs), 30)
        # Judged after it is stored; until then the one before it has the word in Prometheus too.
        verdict = until("a verdict on the second run", lambda: verdict_on(fleet, second), 30)
        until(
            "that verdict in Prometheus",
            lambda: query(
                f'fleetmark_run_verdict{{{labels.rpartition(",")[0]},verdict="{verdict}"}} == 1'
            ),
            30,
        )
        # Every panel, variable and annotation of every board, of this very fleet.
        for board in boards().values():
            answered_by(url, board)


def has_p99(fleet: FleetUnderTest, request: JobRequest) -> bool:
    """Whether a run of the request, made now, has a p99."""
    (result,) = until_over(fleet, fleet.client().submit(request).job.id)
    return result.latency is not None and result.latency.p99 is not None


def verdict_on(fleet: FleetUnderTest, run: RunResult) -> str | None:
    """The verdict on a run that is the latest of its configuration, once there is one."""
    (standing,) = fleet.client().standings(run.device, run.model).standings[:1]
    if standing.run_id != run.run_id or standing.verdict is None:
        return None
    return standing.verdict.verdict.value


def exemplars_of(url: str) -> set[str]:
    """Runs that exemplars of the live histogram name."""
    now = time.time()
    asked = {
        "query": "fleetmark_inference_latency_seconds_bucket",
        "start": str(now - 600),
        "end": str(now),
    }
    found = asking(url)("query_exemplars", asked)
    return {each["labels"]["run_id"] for series in found for each in series["exemplars"]}


def answered_by(url: str, board: dict[str, Any]) -> None:
    """Wait until Prometheus answers all that a board asks of it."""
    findings: list[object] = []

    def look() -> bool:
        findings[:] = check(board, asking(url), time.time(), NOT_HERE)
        return not findings

    try:
        until(f"every query of {board['title']}", look, 60)
    except AssertionError as error:
        raise AssertionError(f"{error}: {findings}") from error


def test_no_secret_in_argv_or_logs(fleet: FleetUnderTest) -> None:
    secrets = [path.read_text().strip() for path in (fleet.data_dir / "tokens").iterdir()]
    assert len(secrets) == 4
    for host in fleet.network.hosts:
        for pid in host.pids():
            try:
                line = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
            except OSError:  # it has ended since
                continue
            assert not any(secret in line for secret in secrets)
        text = host.log.read_text()
        assert not any(secret in text for secret in secrets), host.name
    results = fleet.client().runs(limit=1000).model_dump_json()
    assert not any(secret in results for secret in secrets)


def test_job_states_in_listings(fleet: FleetUnderTest) -> None:
    done = fleet.cli("jobs", "--json", "--limit", "100")
    jobs = json.loads(done.stdout)["jobs"]
    assert {job["state"] for job in jobs} <= {state.value for state in JobState}
    assert len(jobs) >= 2
    table = fleet.cli("devices")
    assert "board-a" in table.stdout
    assert "\x1b[" not in table.stdout


def test_the_api_describes_itself_to_those_who_have_a_token(fleet: FleetUnderTest) -> None:
    url = f"{fleet.url}/api/v1/openapi.json"
    assert httpx.get(url).status_code == 401
    answer = httpx.get(url, headers={"Authorization": f"Bearer {fleet.token()}"})
    assert "/api/v1/jobs" in answer.json()["paths"]
    assert httpx.get(f"{fleet.url}/healthz").json() == {"status": "ok"}
