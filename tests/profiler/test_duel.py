"""Two models against each other, in turns: what is more work is slower, on a busy device too."""

from __future__ import annotations

from pathlib import Path

import pytest

from profiler.comparing.compare import Names, Verdict
from profiler.comparing.duel import Side, duel
from profiler.device.fingerprint import save_overhead
from profiler.errors import InputError
from profiler.result import Overhead, RunStatus
from profiler.spec import RunSpec, Runtime, Scenario
from tests.builders import NOW
from tests.small_onnx import save_small_onnx


def side(directory: Path, name: str, layers: int, **spec: object) -> Side:
    path = directory / f"{name}.onnx"
    ref = save_small_onnx(path, width=256, layers=layers)
    values = {
        "model": ref,
        "runtime": Runtime.ONNXRUNTIME,
        "threads": 1,
        "max_time_seconds": 1.6,
        "stop": {"relative_half_width": 0},
    }
    return Side(RunSpec.model_validate(values | spec), path)


def test_twice_the_work_is_slower(tmp_path: Path) -> None:
    overhead = Overhead(measured_at=NOW, model="m", runtime="r", figures=())
    save_overhead(tmp_path, overhead)
    found = duel(
        side(tmp_path, "small", 4, batch_size=8),
        side(tmp_path, "large", 12, batch_size=8),
        rounds=4,
        cache_dir=tmp_path,
        names=Names("small", "large"),
        on_progress=lambda _place, _event: None,
    )
    assert [result.status for result in found.results] == [RunStatus.SUCCEEDED] * 2
    assert found.comparison is not None
    assert found.comparison.verdict is Verdict.SLOWER
    assert found.comparison.rounds == 4
    assert found.comparison.sentence.startswith("large takes")
    # What measuring costs on this device is in these results as in all others.
    assert [result.overhead for result in found.results] == [overhead] * 2
    positions = sorted(r.position or 0 for run in found.results for r in run.repetitions)
    assert positions == list(range(16))


def test_one_that_fails_gives_no_verdict_and_its_reason(tmp_path: Path) -> None:
    good, bad = side(tmp_path, "good", 2), side(tmp_path, "bad", 2)
    bad.path.write_bytes(b"damaged")  # type: ignore[union-attr]
    found = duel(
        good, bad, rounds=4, cache_dir=tmp_path, names=Names(),
        on_progress=lambda _place, _event: None,
    )  # fmt: skip
    assert found.comparison is None
    assert found.results[0].status is RunStatus.SUCCEEDED
    assert found.results[1].error is not None


def test_two_scenarios_are_no_match(tmp_path: Path) -> None:
    offline = side(tmp_path, "b", 2, scenario=Scenario.OFFLINE)
    with pytest.raises(InputError, match="within one scenario"):
        duel(
            side(tmp_path, "a", 2), offline, rounds=4, cache_dir=tmp_path, names=Names(),
            on_progress=lambda _place, _event: None,
        )  # fmt: skip
