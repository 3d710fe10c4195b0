"""Latency: p50 with its interval and p99 over time, the live heatmap, the latest results."""

from __future__ import annotations

from grafana_foundation_sdk.builders import heatmap, statetimeline, table, timeseries
from grafana_foundation_sdk.models.dashboard import Dashboard
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from dashboards import frame, series, style
from dashboards.series import CONFIGURATION_LEGEND, chosen, select
from dashboards.style import BAD, GOOD, NEUTRAL, NOTHING, UNSURE, WARNING

CHOSEN = chosen("device", "model", "runtime")
VERDICTS = {
    "1": ("slower", BAD), "2": ("faster", GOOD), "3": ("same", NEUTRAL),
    "4": ("inconclusive", UNSURE),
}  # fmt: skip
LATENCY_HELP = (
    "Each point is the latest successful run at that time; its exact statistic over all "
    f"iterations, no estimate. At most the {series.MOST_LINES} highest lines are shown: choose "
    "devices and models above to see others."
)


def latency(stat: str) -> str:
    return select(series.RUN_LATENCY, f'stat="{stat}"', *CHOSEN)


def build() -> Dashboard:
    return frame.board(
        frame.LATENCY,
        "fleetmark: Latency",
        "Latency of every model on every device over time, with intervals and verdicts.",
        (frame.device(series.RUN_COMPLETED), *frame.model_and_runtime()),
        (
            ("Latest results", (_results(), _runs())),
            ("Over time", (_p50(), _p99(), _throughput(), _chosen_run())),
            ("Against the baseline", (_ratio(), _verdicts())),
            ("While a run is measured", (_heatmap(),)),
        ),
    )


# --- tables ------------------------------------------------------------------------------------


def _results() -> table.Panel:
    queries = {
        "A": latency("p50"),
        "B": latency("ci_low"),
        "C": latency("ci_high"),
        "D": latency("p99"),
        "E": select(series.RUN_THROUGHPUT, *CHOSEN),
        "F": select(series.RUN_PEAK_MEMORY, 'kind="rss"', *CHOSEN),
        "G": f"{select(series.RUN_COMPLETED, *CHOSEN)} * 1000",
    }
    panel = style.grid(
        "Latest result of every model on every device",
        "Exact statistics of the latest successful run. The interval of p50 holds with 95 %. "
        "An empty cell was not measured, and the run's page says why.",
    )
    for ref, query in queries.items():
        panel = panel.with_target(style.column(ref, series.by_configuration(query)))
    names = series.around({
        "Value #A": "p50", "Value #B": "p50 from", "Value #C": "p50 to", "Value #D": "p99",
        "Value #E": "Items/s", "Value #F": "Peak memory", "Value #G": "Ended",
    })  # fmt: skip
    units = {
        "p50": "s", "p50 from": "s", "p50 to": "s", "p99": "s", "Items/s": "short",
        "Peak memory": "bytes", "Ended": "dateTimeFromNow",
    }  # fmt: skip
    panel = style.columns(panel, names)
    for name, unit in units.items():
        panel = panel.override_by_name(name, style.properties({"unit": unit}))
    return panel.override_by_name(
        "Device", style.properties({"links": [style.link("Its board", frame.to_device("Device"))]})
    )


def _runs() -> table.Panel:
    info = select(series.RUN_INFO, *CHOSEN)
    panel = style.grid(
        "Runs", "The latest runs. An id leads to the run's page at the coordinator."
    ).with_target(style.column("A", series.by_configuration(info, "run_id", "status")))
    names = {"run_id": "Run"} | series.around({"status": "Status"})
    address = f"{frame.RUN_PAGE}${{__value.text}}"
    return style.columns(panel, names, hidden=("Value", "Value #A")).override_by_name(
        "Run", style.properties({"links": [style.link("The run's page", address, new_tab=True)]})
    )


# --- over time ---------------------------------------------------------------------------------


def _p50() -> timeseries.Panel:
    panel = style.chart(
        "p50 with its 95 % interval",
        f"{LATENCY_HELP} Dashed: the interval that the median lies in with 95 %.",
        "s",
        style.FULL_WIDTH,
        logarithmic=True,
    ).with_target(
        style.line("A", series.highest(latency("p50"), latency("p50")), CONFIGURATION_LEGEND)
    )
    for ref, stat in (("B", "ci_low"), ("C", "ci_high")):
        bound = series.highest(latency(stat), latency("p50"), "ignoring (stat)")
        panel = style.dashed(panel.with_target(style.line(ref, bound, CONFIGURATION_LEGEND)), ref)
    return panel.height(style.HIGH)


def _p99() -> timeseries.Panel:
    return style.chart(
        "p99",
        f"{LATENCY_HELP} Absent where a run had too few iterations.",
        "s",
        logarithmic=True,
    ).with_target(
        style.line("A", series.highest(latency("p99"), latency("p99")), CONFIGURATION_LEGEND)
    )


def _throughput() -> timeseries.Panel:
    items = select(series.RUN_THROUGHPUT, *CHOSEN)
    return style.chart(
        "Throughput",
        "Items a second in the latest successful run.",
        "short",
        logarithmic=True,
    ).with_target(style.line("A", series.highest(items, items), CONFIGURATION_LEGEND))


def _chosen_run() -> timeseries.Panel:
    """Of one run: its configuration before and after it."""
    info = select(series.RUN_INFO, 'run_id="$run"')
    of_run = f"and {series.on_configuration()} last_over_time({info}[$__range] @ end())"
    panel = style.chart(
        "What the chosen run measured, over time",
        "All statistics of the configuration of the run that is chosen above (Run), before and "
        "after it.",
        "s",
        style.FULL_WIDTH,
        logarithmic=True,
    )
    statistics = select(series.RUN_LATENCY, 'stat!="mean"')
    return panel.with_target(style.line("A", f"{statistics} {of_run}", "{{stat}}"))


# --- against the baseline ----------------------------------------------------------------------


def _ratio() -> timeseries.Panel:
    return against_baseline(
        style.chart(
            "Latency against the baseline",
            "Median of the latest run / median of its baseline, above 1 it is slower; dashed: its "
            "95 % interval. Whether the difference means anything, the verdict says.",
            "short",
        ),
        CHOSEN,
    )


def against_baseline(panel: timeseries.Panel, chosen: tuple[str, ...]) -> timeseries.Panel:
    """The ratios with their intervals, and a line at 1."""
    ratio = select(series.RUN_BASELINE_RATIO, *chosen)
    panel = panel.with_target(style.line("A", series.highest(ratio, ratio), CONFIGURATION_LEGEND))
    for ref, name in (("B", "low"), ("C", "high")):
        bound = select(series.RUN_BASELINE_BOUND, f'bound="{name}"', *chosen)
        line = series.highest(bound, ratio, "ignoring (bound)")
        panel = style.dashed(panel.with_target(style.line(ref, line, CONFIGURATION_LEGEND)), ref)
    return style.limits(panel, (None, NOTHING), (1, WARNING)).decimals(3)


def _verdicts() -> statetimeline.Panel:
    """The verdict is one-hot: a number for each, so that one row shows all four."""
    verdicts = {
        number: select(series.RUN_VERDICT, f'verdict="{word}"', *CHOSEN)
        for number, (word, _) in VERDICTS.items()
    }
    numbers = " or ".join(f"{verdict} * {number} > 0" for number, verdict in verdicts.items())
    newest = select(series.RUN_COMPLETED, *CHOSEN)
    rows = series.highest(series.by_configuration(numbers), newest, series.on_configuration())
    return style.states(
        "Verdict",
        "Of the latest run against its baseline, with the statistics of both behind it: slower, "
        "faster, same (within the margin) or inconclusive. The "
        f"{series.MOST_LINES} configurations that were measured last.",
        VERDICTS,
    ).with_target(style.line("A", rows, CONFIGURATION_LEGEND))


# --- live --------------------------------------------------------------------------------------


def _heatmap() -> heatmap.Panel:
    buckets = select(f"{series.INFERENCE_LATENCY}_bucket", *CHOSEN)
    query = style.line("A", f"sum by (le) (increase({buckets}[$__rate_interval]))", "{{le}}")
    return style.density(
        "Iterations by latency",
        "How many iterations took how long, while runs are measured. Choose one model and one "
        "device to see its distribution. The buckets are coarse: percentiles above are not from "
        "them. Points: the slowest iteration of a block, with the id of its run, where Prometheus "
        "keeps exemplars.",
        "s",
    ).with_target(query.format(PromQueryFormat.HEATMAP).exemplar(True))
