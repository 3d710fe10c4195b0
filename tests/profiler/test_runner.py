"""What the worker does for a command; its engine is a stand-in, its processes are real."""

from __future__ import annotations

import gc
import os
import time
from pathlib import Path
from typing import Any

import pytest

from profiler.base import Frozen
from profiler.commands import MeasureMemory, MemoryMeasured, Preload, Prepared, Repeat, Repeated
from profiler.errors import OutOfMemory
from profiler.events import WorkerRequest
from profiler.forked import call_in_child
from profiler.result import StartMethod
from profiler.runner import Runner, _sampler
from profiler.samples import Recording
from profiler.sensors.meter_config import Meter, MeterKind
from profiler.sensors.setup import SensorSetup
from profiler.spec import Runtime
from profiler.summary import samples_path
from tests.builders import make_spec
from tests.fake_model import FakeAdapter

PREPARED = Prepared(converted=None, preflight=None, phases_seconds={})


class _Imported(Frozen):
    """Of the garbage collector: on while importing, on afterwards, objects that it looks at."""

    meanwhile: bool
    afterwards: bool
    looked_at: int


class _Seen(Frozen):
    repeated: Repeated
    spent: bool
    worker: int
    model: int


def request(work: Path) -> WorkerRequest:
    spec = make_spec(
        runtime=Runtime.ONNXRUNTIME, repetitions=2, sample_hertz=0, stop={"min_seconds": 0.05}
    )
    return WorkerRequest(run_id="run1", device="here", spec=spec, cache_dir=work, work_dir=work)


def runner(adapter: Any) -> Runner:
    found = Runner(lambda _: None)
    found._engines[Runtime.ONNXRUNTIME] = adapter
    return found


def repeated(work: Path, *, forkable: bool) -> _Seen:
    """One repetition by a worker, which is a child of the test: an unforkable engine runs in it."""
    pids = work / "pid"

    def call() -> None:
        pids.write_text(str(os.getpid()))
        time.sleep(0.001)

    adapter = FakeAdapter(call)
    adapter.forkable = forkable

    def worker() -> _Seen:
        subject = runner(adapter)
        answer = subject.carry_out(
            Repeat(
                request=request(work),
                prepared=PREPARED,
                index=1,
                position=3,
                budget_seconds=0.3,
                least_seconds=0.1,
            )
        )
        assert isinstance(answer, Repeated)
        return _Seen(
            repeated=answer,
            spent=subject.spent,
            worker=os.getpid(),
            model=int(pids.read_text()),
        )

    return call_in_child(worker, _Seen, "the worker")


def test_a_repetition_is_forked_from_a_worker_that_stays(tmp_path: Path) -> None:
    found = repeated(tmp_path, forkable=True)
    assert found.repeated.report.figures.start_method is StartMethod.FORK
    assert found.model != found.worker
    assert not found.spent
    assert not found.repeated.spent
    assert found.repeated.report.figures.position == 3
    assert len(Recording.load(samples_path(tmp_path, 1)).iterations) > 0


def test_an_engine_that_cannot_be_forked_uses_its_worker_up(tmp_path: Path) -> None:
    found = repeated(tmp_path, forkable=False)
    assert found.repeated.report.figures.start_method is StartMethod.SPAWN
    assert found.model == found.worker
    assert found.spent
    assert found.repeated.spent


def memory_pass(work: Path, error: Exception) -> MemoryMeasured:
    def call() -> None:
        raise error

    answer = runner(FakeAdapter(call)).carry_out(
        MeasureMemory(request=request(work), prepared=PREPARED)
    )
    assert isinstance(answer, MemoryMeasured)
    return answer


def test_what_an_engine_s_import_leaves_is_never_collected(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Importing(FakeAdapter):
        def preload(self) -> None:
            self.collects = gc.isenabled()
            self.kept = [[] for _ in range(100_000)]  # type: ignore[var-annotated]

    adapter = Importing(lambda: None)
    monkeypatch.setattr("profiler.runner.adapter_for", lambda _: adapter)

    def preload() -> _Imported:
        Runner(lambda _: None).carry_out(Preload(runtime=Runtime.ONNXRUNTIME))
        return _Imported(
            meanwhile=adapter.collects, afterwards=gc.isenabled(), looked_at=len(gc.get_objects())
        )

    found = call_in_child(preload, _Imported, "importing")
    assert not found.meanwhile
    assert found.afterwards
    assert found.looked_at < 10_000


def test_a_memory_pass_that_fails_costs_the_memory_only(tmp_path: Path) -> None:
    found = memory_pass(tmp_path, RuntimeError("no more"))
    assert found.memory is None
    assert "RuntimeError: no more" in (found.reason or "")


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("CUDA out of memory.")])
def test_a_memory_pass_that_runs_out_of_memory_ends_the_run(
    tmp_path: Path, error: Exception
) -> None:
    with pytest.raises(OutOfMemory, match=type(error).__name__):
        memory_pass(tmp_path, error)


def test_the_sampler_reads_what_the_device_was_set_up_to_read(tmp_path: Path) -> None:
    channel = '{"source": "jetson", "label": "VDD_IN", "quantity": "power_watts"}'
    header = f'{{"kind": "fleetmark-sensors", "version": 1, "channels": [{channel}]}}'
    rows = [f'{{"channel": 0, "seconds": {tick / 100}, "value": 6.5}}' for tick in range(100)]
    recording = tmp_path / "orin.jsonl"
    recording.write_text("\n".join([header, *rows]))
    meter = Meter(name="plug", kind=MeterKind.SHELLY, url="http://127.0.0.1:1")
    setup = SensorSetup(only=(f"replay:{recording}", "meter"), meters=(meter,))
    sampler = _sampler(request(tmp_path).model_copy(update={"sensors": setup}), hertz=50)
    assert sampler.wait_ready(60)
    trace = sampler.stop(60)
    assert trace.lost is None
    keys = {series.channel.key for series in trace.series}
    assert keys == {
        "meter/plug/power_watts", "meter/plug/energy_joules", "jetson/VDD_IN/power_watts"
    }  # fmt: skip
    assert trace.report is not None
    assert trace.report.sources == ("meter", "replay")


@pytest.mark.parametrize(
    ("index", "metered", "when"),
    [
        (0, True, ["before"]),
        (1, True, ["after"]),
        (0, False, []),
    ],
)
def test_the_device_is_quiet_once_before_and_once_after_a_run_where_energy_is_read(
    tmp_path: Path, index: int, metered: bool, when: list[str]
) -> None:
    subject = runner(FakeAdapter(lambda: time.sleep(0.001)))
    asked = request(tmp_path)
    spec = asked.spec.model_copy(update={"max_time_seconds": 0.5, "idle_seconds": 30.0})
    answer = subject.carry_out(
        Repeat(
            request=asked.model_copy(update={"spec": spec}),
            prepared=PREPARED.model_copy(update={"metered": metered}),
            index=index,
            position=0,
            budget_seconds=0.3,
            least_seconds=0.1,
        )
    )
    assert isinstance(answer, Repeated)
    idle = answer.report.idle
    assert [span.when for span in idle] == when
    # No more than a tenth of the run's time, however long was asked for.
    assert all(0.05 <= span.end_seconds - span.start_seconds < 5 for span in idle)
