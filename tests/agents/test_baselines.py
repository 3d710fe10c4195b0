"""Baselines and verdicts: worked out when a result comes, kept, and told with their reasons."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import Engine, insert, select, update

from agents.coordinator import schema
from agents.coordinator.baselines import FIRST, ITSELF, NOT_YET
from agents.coordinator.database import migrate, open_engine
from agents.coordinator.judge import Judge
from agents.coordinator.rows import DeviceRecord
from agents.coordinator.samples import SampleStore
from agents.coordinator.store import Store
from agents.coordinator.store_errors import NotFoundError
from profiler.comparing.comparison import Method, Verdict
from profiler.errors import InputError
from profiler.result import (
    FailureKind,
    Flag,
    InputInfo,
    RepetitionFigures,
    RunError,
    RunResult,
)
from profiler.samples import UNKNOWN, Blocks, Iterations, Recording, SentinelSlices
from tests.agents.test_store import Clock, submit
from tests.builders import (
    key_of,
    make_failed,
    make_latency,
    make_registration,
    make_result,
)

PROCESSES = 5
# How much the medians of one run's processes differ.
NOISE = np.array([-0.002, -0.001, 0.0, 0.001, 0.002])


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    found = open_engine(f"sqlite:///{tmp_path / 'store.db'}")
    migrate(found)
    yield found
    found.dispose()


class Bench:
    """A store, and a device whose results come at once."""

    def __init__(self, engine: Engine, root: Path) -> None:
        self.root = root
        self.store = Store(engine, Clock())
        self.samples = SampleStore(root / "samples")
        self.judge = Judge(self.store, self.samples)
        self.device = self.store.register(make_registration())

    def run(
        self,
        p50: float = 0.010,
        *,
        on: DeviceRecord | None = None,
        raw: bool = False,
        judge: bool = True,
        **changes: Any,
    ) -> str:
        """A run that has succeeded; its id."""
        device = on or self.device
        submit(self.store, device)
        (run,) = self.store.assign_next(device.id)
        given = {"device": device.name, "run_id": run.id, "job_id": run.job_id} | changes
        result = measured(p50, **given)
        if raw:
            self.samples.put(run.id, 1, raw_of(p50, self.root))
        assert self.store.finish(key_of(run), result)
        if judge:
            self.judge.judge(run.id)
        return run.id

    def failed(self) -> str:
        submit(self.store, self.device)
        (run,) = self.store.assign_next(self.device.id)
        error = RunError(kind=FailureKind.TIMEOUT, message="too long")
        self.store.finish(key_of(run), make_failed(error, run_id=run.id))
        self.judge.judge(run.id)
        return run.id

    def verdict(self, run_id: str) -> Verdict:
        return self.store.baselines.verdict(run_id).verdict.verdict

    def why_none(self, run_id: str) -> str:
        with pytest.raises(NotFoundError) as caught:
            self.store.baselines.verdict(run_id)
        return str(caught.value).partition(": ")[2]


def measured(p50: float, **changes: Any) -> RunResult:
    repetitions = tuple(
        RepetitionFigures(
            index=i,
            load_seconds=0.1,
            first_inference_seconds=0.02,
            warmup_iterations=10,
            warmup_seconds=0.1,
            iterations=200,
            median_seconds=float(p50 * (1 + NOISE[i])),
        )
        for i in range(PROCESSES)
    )
    values = {"latency": make_latency(p50), "repetitions": repetitions}
    return make_result(**values | changes)


def raw_of(p50: float, root: Path) -> bytes:
    """What a device sends: the iterations of every process, uncorrelated."""
    rng = np.random.default_rng(7)
    parts = []
    for index in range(PROCESSES):
        seconds = p50 * (1 + NOISE[index]) * rng.normal(1, 0.01, 400)
        latency = (seconds * 1e9).astype(np.int64)
        starts = np.cumsum(latency) - latency
        parts.append(
            Iterations(
                repetition=np.full(len(latency), index, np.uint16),
                warmup=np.zeros(len(latency), np.bool_),
                start_ns=starts,
                latency_ns=latency,
                device_ns=np.full(len(latency), UNKNOWN, np.int64),
            )
        )
    file = root / "sent.npz"
    Recording(Iterations.concatenate(parts), Blocks.empty(), SentinelSlices.empty()).save(file)
    return file.read_bytes()


@pytest.fixture
def bench(engine: Engine, tmp_path: Path) -> Bench:
    return Bench(engine, tmp_path)


# --- which run is the baseline ---------------------------------------------------------------


def test_the_first_run_has_no_verdict_and_says_why(bench: Bench) -> None:
    assert bench.why_none(bench.run()) == FIRST


@pytest.mark.parametrize(
    ("p50", "verdict"), [(0.011, Verdict.SLOWER), (0.009, Verdict.FASTER), (0.010, Verdict.SAME)]
)
def test_a_run_is_compared_with_the_success_before_it(
    bench: Bench, p50: float, verdict: Verdict
) -> None:
    first = bench.run()
    bench.failed()
    second = bench.run(p50)
    found = bench.store.baselines.verdict(second)
    assert found.verdict.verdict is verdict
    assert (found.verdict.baseline_run_id, found.verdict.pinned) == (first, False)
    assert found.verdict.ratio is not None
    assert found.verdict.ratio.value == pytest.approx(p50 / 0.010, rel=1e-6)
    assert found.verdict.sentence == found.comparison.sentence


def test_raw_iterations_are_used_where_both_have_them(bench: Bench) -> None:
    bench.run(raw=True)
    second = bench.run(0.011, raw=True)
    found = bench.store.baselines.verdict(second)
    assert found.comparison.method is Method.BOOTSTRAP
    assert found.verdict.verdict is Verdict.SLOWER
    third = bench.run(0.011)
    assert bench.store.baselines.verdict(third).comparison.method is Method.MEDIANS


def test_iterations_that_cannot_be_read_cost_the_bootstrap_and_not_the_verdict(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    first = bench.run(raw=True)
    bench.samples.path(first, 1).write_bytes(b"no parquet")
    with caplog.at_level(logging.WARNING):
        second = bench.run(0.011, raw=True)
    assert bench.verdict(second) is Verdict.SLOWER
    assert first in caplog.text


def test_two_runs_that_may_not_be_compared_are_inconclusive_with_the_reason(bench: Bench) -> None:
    bench.run()
    flag = Flag(name="throttled", detail="clocks were lowered", advice="Cool it")
    second = bench.run(0.02, flags=(flag,))
    found = bench.store.baselines.verdict(second)
    assert found.verdict.verdict is Verdict.INCONCLUSIVE
    assert found.verdict.reason is not None
    assert "throttled" in found.verdict.reason
    # What the two have to do with each other is not known, so there is no figure of it either.
    assert found.verdict.ratio is None
    assert found.comparison.refusals


def test_every_configuration_is_compared_with_itself(bench: Bench) -> None:
    shape = (1, 3, 160, 160)
    other = bench.store.register(make_registration("pi5-b"))
    bench.run()
    each_differs: tuple[dict[str, Any], ...] = (
        {"threads": 1},
        {"batch_size": 8},
        {"precision": "bf16"},
        {"runtime": "onnxruntime"},
        {"scenario": "sustained"},
        {"inputs": (InputInfo(name="x", dtype="float32", shape=shape),)},
        {"model": "resnet50"},
        {"on": other},
    )
    for changes in each_differs:
        assert bench.why_none(bench.run(0.02, **changes)) == FIRST, changes


def test_a_chosen_baseline_stays_until_it_is_cleared(bench: Bench) -> None:
    first = bench.run()
    second = bench.run(0.011)
    third = bench.run(0.011)
    assert bench.verdict(third) is Verdict.SAME
    # What has been measured already is judged anew, at once.
    assert bench.store.baselines.pin(first) == third
    bench.judge.judge(third)
    found = bench.store.baselines.verdict(third).verdict
    assert (found.verdict, found.baseline_run_id, found.pinned) == (Verdict.SLOWER, first, True)
    fourth = bench.run(0.010)
    assert bench.verdict(fourth) is Verdict.SAME
    # Another choice takes the place of the first.
    bench.store.baselines.pin(second)
    bench.judge.judge(fourth)
    assert bench.verdict(fourth) is Verdict.FASTER
    assert bench.store.baselines.unpin(third) == fourth
    bench.judge.judge(fourth)
    assert bench.store.baselines.verdict(fourth).verdict.baseline_run_id == third


def test_the_baseline_itself_has_no_verdict(bench: Bench) -> None:
    bench.run()
    second = bench.run(0.011)
    assert bench.store.baselines.pin(second) == second
    bench.judge.judge(second)
    assert bench.why_none(second) == ITSELF
    assert bench.store.baselines.latest() == {}


def test_what_cannot_be_a_baseline_is_refused(bench: Bench) -> None:
    failed = bench.failed()
    with pytest.raises(InputError, match="failed"):
        bench.store.baselines.pin(failed)
    for change in (bench.store.baselines.pin, bench.store.baselines.unpin):
        with pytest.raises(NotFoundError, match="no run 'nonsense'"):
            change("nonsense")
    good = bench.run()
    with pytest.raises(NotFoundError, match="no baseline is pinned"):
        bench.store.baselines.unpin(good)
    assert bench.store.baselines.standing(good).pinned_run_id is None


# --- kept, and made up for -------------------------------------------------------------------


def test_what_was_stored_and_not_judged_is_judged_at_the_next_start(bench: Bench) -> None:
    bench.run(judge=False)
    second = bench.run(0.011, judge=False)
    assert bench.why_none(second) == NOT_YET
    assert bench.store.baselines.unjudged() == (second,)
    bench.judge.catch_up()
    assert bench.verdict(second) is Verdict.SLOWER
    assert bench.store.baselines.unjudged() == ()


def test_a_coordinator_that_ends_leaves_the_rest_for_its_next_start(bench: Bench) -> None:
    bench.run(judge=False)
    second = bench.run(0.011, judge=False)
    bench.judge.close()
    bench.judge.catch_up()
    assert bench.store.baselines.unjudged() == (second,)


def test_a_failed_run_is_not_judged(bench: Bench) -> None:
    bench.run()
    assert bench.why_none(bench.failed()) == "it has failed"


def test_a_verdict_is_read_and_not_worked_out_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.run()
    second = bench.run(0.011)
    monkeypatch.setattr(Judge, "_compare", None)
    assert bench.store.baselines.latest()[second].verdict is Verdict.SLOWER


def test_only_the_latest_of_devices_that_are_here(bench: Bench) -> None:
    other = bench.store.register(make_registration("pi5-b"))
    for device in (bench.device, other):
        for p50 in (0.010, 0.011, 0.012):
            last = bench.run(p50, on=device)
    assert last in bench.store.baselines.latest()
    assert len(bench.store.baselines.latest()) == 2
    bench.store.remove_device("pi5-b")
    assert len(bench.store.baselines.latest()) == 1
    assert last not in bench.store.baselines.latest()


def test_standings_and_history(bench: Bench) -> None:
    first = bench.run()
    second = bench.run(0.011)
    bench.run(model="<script>")
    latest, known = bench.store.baselines.standings(10)
    assert latest.configuration.model == "<script>"
    assert (latest.verdict, latest.reason) == (None, FIRST)
    assert known.run_id == second
    assert known.p50_seconds == 0.011
    assert known.verdict is not None
    assert known.verdict.verdict is Verdict.SLOWER
    assert [s.run_id for s in bench.store.baselines.standings(1)] == [latest.run_id]
    assert bench.store.baselines.standings(10, device="nobody") == ()
    found = bench.store.baselines.history(10, model="resnet18")
    assert [run.run_id for run in found] == [second, first]
    assert [run.verdict is None for run in found] == [False, True]
    assert [run.p50_low_seconds for run in found] == pytest.approx([0.01089, 0.0099])


# --- an older store --------------------------------------------------------------------------


def test_a_store_of_the_first_version_is_taken_up(engine: Engine, tmp_path: Path) -> None:
    bench = Bench(engine, tmp_path)
    shape = (1, 3, 224, 224)
    inputs = (InputInfo(name="x", dtype="float32", shape=shape),)
    old = bench.run(judge=False, inputs=inputs)
    with engine.begin() as db:
        expected = db.execute(select(schema.results.c.series)).scalar_one()
        # As the first version had it.
        db.execute(update(schema.results).values(series="cpu/torch/fp32/1/single_stream"))
        schema.baselines.drop(db)
        schema.verdicts.drop(db)
        schema.summaries.drop(db)
        schema.removed_models.drop(db)
        db.exec_driver_sql("DROP INDEX runs_by_state")
        db.exec_driver_sql("UPDATE alembic_version SET version_num = '0001'")
    migrate(engine)
    with engine.begin() as db:
        assert db.execute(select(schema.results.c.series)).scalar_one() == expected
        # What the page lists is made after it, of the series as they are now.
        assert db.execute(select(schema.summaries.c.series)).scalar_one() == expected
    new = bench.run(0.011, inputs=inputs)
    assert bench.store.baselines.verdict(new).verdict.baseline_run_id == old


def test_the_tables_are_those_that_the_migrations_make(engine: Engine) -> None:
    with engine.begin() as db:
        db.execute(
            insert(schema.baselines).values(
                device_id="d", model="m", series="s", run_id="r", pinned_at=Clock()()
            )
        )
        assert db.execute(select(schema.baselines)).one().run_id == "r"
        assert db.execute(select(schema.verdicts)).all() == []


def test_the_page_shows_the_verdicts_that_are_kept_and_no_others(bench: Bench) -> None:
    first = bench.run(0.010)
    unjudged = bench.run(0.020, judge=False)
    slower = bench.run(0.030)
    points = bench.store.listings.history("pi5-a", "resnet18", 9)
    assert [point.run.run_id for point in points] == [slower, unjudged, first]
    assert [point.verdict for point in points[1:]] == [None, None]
    # The very one that `fleetmark baseline` and the metrics tell of.
    assert points[0].verdict == bench.store.baselines.verdict(slower).verdict
    assert points[0].verdict.verdict is Verdict.SLOWER
    assert points[0].verdict.baseline_run_id == unjudged
