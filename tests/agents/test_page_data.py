"""What the page is told: pages of listings, charts in few points, marks in a history."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import event, text

from agents.coordinator import charts
from agents.coordinator.auth import Tokens
from agents.coordinator.database import migrate, open_engine
from agents.coordinator.device_clock import offset_seconds
from agents.coordinator.history import history
from agents.coordinator.queue import key_of
from agents.coordinator.store import Store
from agents.coordinator.summary_rows import summary_of
from agents.coordinator.telemetry import Telemetry, parse
from agents.messages import DeviceState
from agents.views import CHART_SERIES, HistoryPoint
from profiler.errors import InputError
from profiler.result import FailureKind, RunError, RunStatus
from tests.builders import (
    NOW,
    make_failed,
    make_registration,
    make_request,
    make_result,
    make_spec,
)
from tests.web import made_up


@pytest.fixture
def store(tmp_path: Path) -> Store:
    engine = open_engine(f"sqlite:///{tmp_path / 'store.db'}")
    migrate(engine)
    return Store(engine)


def measured(store: Store, device: str = "pi5-a", **changes: object) -> str:
    record = store.register(make_registration(device, device_key=device.ljust(43, "k")))
    store.add_job(make_request(), [(record, make_spec())])
    (run,) = store.assign_next(record.id)
    store.mark_running(key_of(run))
    result = make_result(**({"run_id": run.id, "job_id": run.job_id, "device": device} | changes))
    assert store.finish(key_of(run), result)
    return run.id


# --- listings --------------------------------------------------------------------------------


def test_pages_follow_each_other_without_gap_or_repeat(store: Store) -> None:
    ids = [measured(store) for _ in range(7)]
    seen: list[str] = []
    before = None
    while True:
        page = store.listings.runs(3, before=before)
        seen += [run.run_id for run in page.runs]
        assert page.total == 7
        if page.next_before is None:
            break
        before = page.next_before
    assert seen == ids[::-1]


def test_results_are_found_by_words_and_by_what_they_are(store: Store) -> None:
    measured(store, model="ViT_b_16")
    measured(store, device="orin-1", model="resnet18", runtime="onnxruntime")
    error = RunError(kind=FailureKind.TIMEOUT, message="too slow")
    bad = make_failed(error, device="orin-1")
    failed = measured(store, "orin-1", **{k: getattr(bad, k) for k in type(bad).model_fields
                                          if k not in ("run_id", "job_id", "device")})  # fmt: skip

    def found(**asked: object) -> list[str]:
        return [run.model for run in store.listings.runs(10, **asked).runs]  # type: ignore[arg-type]

    assert found(words="vit_B") == ["ViT_b_16"]
    # What would be a wildcard is looked for as it is.
    assert found(words="vit%16") == []
    assert found(words="onnx orin") == ["resnet18"]
    assert found(words="timeout") == ["resnet18"]
    assert found(device="pi5-a") == ["ViT_b_16"]
    assert [r.run_id for r in store.listings.runs(9, status=RunStatus.FAILED).runs] == [failed]
    summary = store.listings.runs(9, status=RunStatus.FAILED).runs[0]
    assert (summary.error_kind, summary.error, summary.p50) == ("timeout", "too slow", None)


def test_the_number_of_queries_does_not_grow_with_the_store(store: Store) -> None:
    counted: list[str] = []
    event.listen(store._engine, "before_cursor_execute", lambda *a: counted.append(a[2]))

    def queries() -> int:
        counted.clear()
        store.listings.runs(50, words="res")
        store.listings.latest(100)
        store.listings.jobs(30, 0)
        store.listings.history("pi5-a", "resnet18", 100)
        return len([each for each in counted if each.startswith("SELECT")])

    measured(store)
    few = queries()
    for index in range(12):
        measured(store, device=f"board-{index}")
    assert queries() == few


@pytest.mark.parametrize(
    ("query", "index"),
    [
        ("device = 'a' ORDER BY seq DESC", "summaries_by_device"),
        ("job_id = 'a' ORDER BY seq DESC", "summaries_by_job"),
        ("model = 'm' AND device = 'd' AND status = 's'", "summaries_by_series"),
    ],
)
def test_what_is_asked_for_has_an_index(store: Store, query: str, index: str) -> None:
    with store._engine.connect() as db:
        plan = db.execute(text(f"EXPLAIN QUERY PLAN SELECT * FROM summaries WHERE {query}"))  # noqa: S608
        assert index in " ".join(str(row) for row in plan)


def test_more_series_than_a_chart_shows_are_refused_in_words(store: Store) -> None:
    for size in (1, 2, 4):
        measured(store, batch_size=size)
    assert len(store.listings.latest(3).runs) == 3
    with pytest.raises(InputError, match="has 3 series; one chart shows 2 at most"):
        store.listings.latest(2)


def test_the_newest_of_each_configuration(store: Store) -> None:
    measured(store)
    newest = measured(store)
    other = measured(store, batch_size=8)
    assert [run.run_id for run in store.listings.latest(9).runs] == [newest, other]


def test_a_store_of_the_first_version_gets_its_summaries(tmp_path: Path) -> None:
    from alembic import command
    from alembic.config import Config

    engine = open_engine(f"sqlite:///{tmp_path / 'store.db'}")
    migrate(engine)
    store = Store(engine)
    ids = [measured(store) for _ in range(3)]
    with engine.begin() as db:
        config = Config()
        config.set_main_option("script_location", "agents.coordinator:migrations")
        config.attributes["connection"] = db
        command.downgrade(config, "0001")
    migrate(engine)
    assert [run.run_id for run in store.listings.runs(9).runs] == ids[::-1]


# --- history ---------------------------------------------------------------------------------


def test_a_chart_of_too_many_series_says_what_it_leaves_out() -> None:
    run = summary_of(1, make_result())
    points = [
        HistoryPoint(run=run.model_copy(update={"series": f"s{n}"}), verdict=None)
        for n in range(CHART_SERIES + 3)
    ]
    found = history("pi5-a", "resnet18", points, cut=False)
    assert len(found.series) == CHART_SERIES
    assert found.left_out is not None
    assert "15 configurations are more than one chart shows" in found.left_out


# --- a clock that is wrong -------------------------------------------------------------------

SUBMITTED = NOW - timedelta(minutes=10)


@pytest.mark.parametrize(
    ("ended", "off"),
    [
        (NOW - timedelta(seconds=5), None),
        # What was cut off delivers late.
        (SUBMITTED + timedelta(seconds=20), None),
        (NOW + timedelta(seconds=30), None),
        (NOW + timedelta(hours=3), 3 * 3600.0),
        (datetime(1970, 1, 1, 0, 2, tzinfo=timezone.utc), -1.0),
    ],
)
def test_a_clock_is_called_wrong_only_where_it_cannot_be_right(
    ended: datetime, off: float | None
) -> None:
    found = offset_seconds(make_result(finished_at=ended), SUBMITTED, NOW)
    if off is not None and off < 0:
        assert found == (ended - SUBMITTED).total_seconds()
    else:
        assert found == off


def test_the_store_keeps_when_a_result_came(store: Store) -> None:
    behind = datetime(1970, 1, 1, 0, 2, tzinfo=timezone.utc)
    run_id = measured(store, finished_at=behind)
    (line,) = store.listings.runs(1).runs
    run = store.run(run_id)
    assert line.received_at is not None
    assert run.created_at <= line.received_at <= run.finished_at  # type: ignore[operator]
    assert line.clock_offset_seconds == (behind - run.created_at).total_seconds()


# --- charts ----------------------------------------------------------------------------------


def test_a_million_iterations_become_few_buckets_and_no_peak_is_lost() -> None:
    random = np.random.default_rng(3)
    seconds = random.normal(0.01, 0.0002, 1_000_000)
    seconds[123_456] = 0.5
    seconds[654_321] = 0.001
    found = charts.buckets(np.cumsum(seconds), seconds, 2000)
    assert len(found) == 2000
    assert max(bucket.high for bucket in found) == 0.5
    assert min(bucket.low for bucket in found) == 0.001
    assert all(bucket.low <= bucket.median <= bucket.high for bucket in found)


def test_repetitions_stand_side_by_side_with_their_warm_up(tmp_path: Path) -> None:
    rows = made_up.iterations(0.002, 1)
    made_up.write_trace(tmp_path / "trace.parquet", rows)
    found = charts.run_chart(rows, tmp_path / "trace.parquet")
    assert [stretch.index for stretch in found.stretches] == [0, 1, 2, 3, 4]
    for before, after in zip(found.stretches[:-1], found.stretches[1:], strict=True):
        assert after.start == before.end
        assert before.start < before.warmup_end < before.end
    assert found.histogram is not None
    assert sum(found.histogram.counts) + found.histogram.beyond == len(rows.timed_seconds())
    assert {line.quantity for line in found.traces} == {
        "power_watts", "clock_hertz", "temperature_celsius",
    }  # fmt: skip
    end = found.stretches[-1].end
    assert all(0 <= at <= end for line in found.traces for at in line.at)


def test_without_readings_the_chart_says_so(tmp_path: Path) -> None:
    found = charts.run_chart(made_up.iterations(0.002, 1), tmp_path / "none.parquet")
    assert found.traces == ()
    assert found.traces_reason == charts.NO_TRACE


def test_equal_latencies_still_have_a_histogram() -> None:
    found = charts.histogram(np.full(10, 0.25))
    assert found is not None
    assert sum(found.counts) == 10


# --- a device's sensors ----------------------------------------------------------------------

METRICS = """\
# TYPE fleetmark_device_power_watts gauge
fleetmark_device_power_watts{source="rapl",rail="package-0"} 12.5
# TYPE fleetmark_inference_latency_seconds histogram
fleetmark_inference_latency_seconds_sum 3
# TYPE fleetmark_agent_busy gauge
fleetmark_agent_busy 1
"""


def test_the_gauges_of_the_device_and_nothing_else() -> None:
    (reading,) = parse(METRICS)
    assert (reading.quantity, reading.label, reading.value) == (
        "power_watts", "rapl package-0", 12.5,
    )  # fmt: skip


def test_a_device_is_asked_once_a_second_however_many_watch(store: Store, tmp_path: Path) -> None:
    record = store.register(make_registration(address="2001:db8::7"))
    tokens = Tokens(tmp_path / "tokens")
    tokens.create()
    asked: list[str] = []
    now = [0.0]

    def fetch(url: str, token: str) -> str:
        asked.append(url)
        assert token
        return METRICS

    telemetry = Telemetry(tokens, fetch, lambda: now[0])
    for _ in range(5):
        assert len(telemetry.read(record, DeviceState.ONLINE).readings) == 1
    assert asked == ["http://[2001:db8::7]:9400/metrics"]
    now[0] = 1.0
    telemetry.read(record, DeviceState.BUSY)
    assert len(asked) == 2
    assert telemetry.read(record, DeviceState.OFFLINE).reason == "the device is offline"
    assert len(asked) == 2


@pytest.mark.parametrize("error", [OSError("HTTP 401"), ValueError("no metrics")])
def test_a_device_that_cannot_be_read_says_why(
    store: Store, tmp_path: Path, error: Exception
) -> None:
    tokens = Tokens(tmp_path / "tokens")
    tokens.create()

    def fetch(url: str, token: str) -> str:
        raise error

    found = Telemetry(tokens, fetch).read(store.register(make_registration()), DeviceState.ONLINE)
    assert found.readings == ()
    assert str(error) in (found.reason or "")
