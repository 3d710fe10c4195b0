"""Tables with reasons for what is missing, and a sentence that the figures carry."""

from __future__ import annotations

from typing import Any

import pytest

from profiler.flags import busy_device, single_repetition
from profiler.report import COLUMNS, fastest_sentence, scenario_sentence, table
from profiler.result import (
    Energy,
    EnergyFigure,
    EnergyQuality,
    EnergyScope,
    FailureKind,
    Interval,
    Memory,
    ModelInfo,
    Provenance,
    RunError,
    RunResult,
    RunStatus,
    ServerReport,
    ServerTrial,
    SustainedReport,
    Throughput,
)
from tests.builders import make_failed, make_latency, make_result


def cell(result: RunResult, column: str) -> str:
    return table([result]).rows[0][COLUMNS.index(column)]


def test_a_row_has_a_cell_for_every_column() -> None:
    failed = make_failed(RunError(kind=FailureKind.TIMEOUT, message="not finished"))
    cancelled = make_result(status=RunStatus.CANCELLED, latency=None)
    found = table([make_result(), failed, cancelled])
    assert {len(row) for row in found.rows} == {len(found.columns)}


def test_figures_are_in_units_for_people() -> None:
    result = make_result(latency=make_latency(p50=0.0164))
    assert cell(result, "p50 [95 % interval]") == "16.4 ms [16.2, 16.6]"
    assert cell(result, "parameters") == "11.7 M"
    assert cell(result, "peak memory") == "200 MiB"
    assert cell(result, "items/s") == "90.0"


def test_what_is_missing_has_a_numbered_reason() -> None:
    result = make_result()
    found = table([result])
    assert cell(result, "p99") == "— (1)"
    assert cell(result, "J/item") == "— (2)"
    assert found.footnotes == (
        "too few effective iterations for p99",
        "no source of power was found",
    )


def test_the_same_reason_has_the_same_number() -> None:
    other = make_result(memory=None, memory_reason="the memory pass crashed")
    found = table([make_result(), other, make_result()])
    assert len(found.footnotes) == 3
    assert [row[COLUMNS.index("J/item")] for row in found.rows] == ["— (2)"] * 3
    assert found.rows[1][COLUMNS.index("peak memory")] == "— (3)"


def test_every_dash_of_a_success_has_a_reason() -> None:
    result = make_result(
        model_info=ModelInfo(source="net.onnx", parameters_reason="the engine does not tell"),
        memory=Memory(peak_rss_bytes=None, peak_rss_reason="the kernel does not reset VmHWM"),
    )
    found = table([result])
    assert "—" not in found.rows[0]
    assert set(found.footnotes) >= {
        "the engine does not tell",
        "the kernel does not reset VmHWM",
    }


def test_a_failed_run_shows_its_kind_and_points_to_its_message() -> None:
    error = RunError(kind=FailureKind.OUT_OF_MEMORY, message="the worker held 900 MiB")
    found = table([make_result(), make_failed(error)])
    shown = found.rows[1][COLUMNS.index("p50 [95 % interval]")]
    assert shown == "out_of_memory (3)"
    assert found.footnotes[2] == "out_of_memory: the worker held 900 MiB"


def test_a_cancelled_run_says_so() -> None:
    result = make_result(status=RunStatus.CANCELLED, latency=None, latency_reason="cancelled")
    assert cell(result, "p50 [95 % interval]").startswith("cancelled")


def test_flags_are_named() -> None:
    busy = busy_device(0.4)
    assert busy is not None
    result = make_result(flags=(single_repetition(), busy))
    assert cell(result, "flags") == "single_repetition, busy_device"
    assert cell(make_result(), "flags") == "none"


def test_joules_are_the_headlines() -> None:
    figure = EnergyFigure(
        provenance=Provenance(
            source="rapl",
            channel="package-0",
            scope=EnergyScope.PACKAGE,
            quality=EnergyQuality.COUNTER,
            update_period_seconds=0.001,
            uncertainty=0.02,
        ),
        window_seconds=10.0,
        energy_joules=50.0,
        joules_per_item=0.05,
        mean_power_watts=5.0,
    )
    assert cell(make_result(energy=Energy(headline=figure)), "J/item") == "50.0 mJ"


# --- which is fastest ------------------------------------------------------------------------


def model(
    name: str, parameters: int | None, p50: float, runtime: str = "torch", width: float = 0.01
) -> RunResult:
    reason = None if parameters is not None else "the engine does not tell"
    return make_result(
        model=name,
        runtime=runtime,
        model_info=ModelInfo(
            source=f"torchvision:{name}", parameters=parameters, parameters_reason=reason
        ),
        latency=make_latency(p50=p50, width=width),
    )


BIG = ("resnet18", 11_700_000)
SMALL = ("mobilenet_v3_large", 5_500_000)


@pytest.mark.parametrize(
    ("times", "winner", "factor", "foretold"),
    [
        ((0.030, 0.010), "mobilenet_v3_large", "3.0 times", "predicted this order"),
        ((0.010, 0.025), "resnet18", "2.5 times", "did not predict this order"),
    ],
)
def test_the_sentence_follows_the_figures(
    times: tuple[float, float], winner: str, factor: str, foretold: str
) -> None:
    results = [model(*BIG, times[0]), model(*SMALL, times[1])]
    for order in (results, results[::-1]):
        found = fastest_sentence(order)
        assert found.startswith(f"{winner} in torch on pi5-a is fastest: ")
        assert factor in found
        assert foretold in found
        assert "11.7 M" in found
        assert "5.50 M" in found


def test_every_model_counts_with_its_fastest_runtime() -> None:
    results = [
        model(*BIG, 0.030, "torch"),
        model(*BIG, 0.008, "onnxruntime"),
        model(*SMALL, 0.012, "torch"),
        model(*SMALL, 0.020, "onnxruntime"),
    ]
    found = fastest_sentence(results)
    assert found.startswith("resnet18 in onnxruntime")
    assert "mobilenet_v3_large in torch" in found


def test_intervals_that_overlap_are_no_win() -> None:
    found = fastest_sentence([model(*BIG, 0.0105, width=0.05), model(*SMALL, 0.010, width=0.05)])
    assert "does not lie apart" in found
    assert "is fastest" not in found
    # What the figures do not tell apart has no order to be predicted.
    assert "predicted this order" not in found


def test_an_order_needs_every_parameter_count() -> None:
    found = fastest_sentence([model(BIG[0], None, 0.030), model(*SMALL, 0.010)])
    assert "is fastest" in found
    assert "predict this order" not in found
    assert "predicted this order" not in found


def test_one_model_is_no_comparison() -> None:
    failed = make_failed(RunError(kind=FailureKind.TIMEOUT, message="x"), model=SMALL[0])
    only = "There are not two models with figures to compare."
    assert fastest_sentence([]) == only
    assert fastest_sentence([model(*BIG, 0.03), model(*BIG, 0.01, "onnxruntime"), failed]) == only


def test_three_models_are_ranked_by_all() -> None:
    results = [model(*BIG, 0.030), model(*SMALL, 0.020), model("squeezenet1_1", 1_200_000, 0.025)]
    assert "did not predict" in fastest_sentence(results)


def test_a_median_of_zero_divides_nothing() -> None:
    found = fastest_sentence([model(*BIG, 0.01), model(*SMALL, 0.0)])
    assert "mobilenet_v3_large" in found


def trial(**changes: Any) -> ServerTrial:
    values: dict[str, Any] = {
        "rate_per_second": 50, "achieved_per_second": 49.6, "queries": 500, "abandoned": 0,
        "utilization": 0.31, "latency_seconds": None, "latency_reason": "few", "backlog_peak": 2,
        "lateness_seconds": None, "backlog_end": 0, "overloaded": False,
    }  # fmt: skip
    return ServerTrial.model_validate(values | changes)


def server(**changes: Any) -> ServerReport:
    values: dict[str, Any] = {
        "percentile": "p99", "rate_per_second": 50, "latency_bound_seconds": None,
        "highest_rate_per_second": None, "trials": (trial(),),
    }  # fmt: skip
    return ServerReport.model_validate(values | changes)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, None),
        (
            {
                "offline": Throughput(
                    blocks=9, items_per_second=Interval(value=120.4, low=118, high=123)
                )
            },
            "120 [118, 123] items/s in 9 blocks",
        ),
        ({"server": server()}, "49.6 calls/s were served, busy 31 % of the time"),
        (
            {"server": server(trials=(trial(overloaded=True, achieved_per_second=20),))},
            "20.0 calls/s were served, fewer than the 50.0 that came",
        ),
        (
            {
                "server": server(
                    latency_bound_seconds=0.05,
                    highest_rate_per_second=31.2,
                    failing_rate_per_second=35,
                )
            },
            "up to 31.2 calls/s with p99 within 50.0 ms; 35.0 is too many",
        ),
        (
            {"server": server(latency_bound_seconds=0.05, highest_rate_reason="too short")},
            "no rate with p99 within 50.0 ms: too short",
        ),
        (
            {
                "sustained": SustainedReport(
                    windows=(),
                    slowdown=Interval(value=1.2, low=1.1, high=1.3),
                    settled_after_seconds=12,
                )
            },
            "took 1.2 [1.1, 1.3] times as long as the first; settled after 12.0 s",
        ),
        (
            {
                "sustained": SustainedReport(
                    windows=(),
                    slowdown=Interval(value=1.2, low=1.1, high=1.3),
                    settled_after_seconds=12,
                    device_settled=True,
                    device_settled_after_seconds=95,
                )
            },
            "the first; settled after 12.0 s, the device after 95.0 s",
        ),
        (
            {
                "sustained": SustainedReport(
                    windows=(), slowdown=None, slowdown_reason="short", settled_after_seconds=None
                )
            },
            "no slow-down can be told: short",
        ),
    ],
)
def test_what_a_scenario_found_in_words(changes: dict[str, Any], said: str | None) -> None:
    found = scenario_sentence(make_result(**changes))
    if said is None:
        assert found is None
    else:
        assert found is not None
        assert said in found
