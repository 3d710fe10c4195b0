"""Compare: models by devices, of one batch size and scenario; what is fast, what is frugal."""

from __future__ import annotations

from grafana_foundation_sdk.builders import barchart, table, timeseries, xychart
from grafana_foundation_sdk.builders.dashboard import QueryVariable
from grafana_foundation_sdk.models.dashboard import Dashboard, DynamicConfigValue, FieldColorModeId

from dashboards import frame, series, style
from dashboards.boards.latency import against_baseline
from dashboards.series import chosen, select
from dashboards.style import BAD, GOOD, NEUTRAL, UNSURE

# Figures of different batch sizes or load patterns are not compared: one of each is chosen.
CHOSEN = chosen("device", "model", "runtime", "batch_size", "scenario")
BEST = (
    "The best of the chosen runtimes, precisions and variants; "
    f"of those at most {series.MOST_LINES} bars, the highest"
)


def build() -> Dashboard:
    return frame.board(
        frame.COMPARE,
        "fleetmark: Compare",
        "Every model on every device: latency, energy, memory; and against its baseline.",
        (
            frame.device(series.RUN_COMPLETED),
            *frame.model_and_runtime(),
            _single("batch_size", "Batch size"),
            _single("scenario", "Scenario"),
        ),
        (
            ("Latency", (_latency(), _slower_than_fastest(), _matrix())),
            ("What it costs", (_energy(), _memory(), _against_memory(), _against_energy())),
            ("Against the baseline", (_baseline(), _ratio())),
        ),
    )


def _single(name: str, label: str) -> QueryVariable:
    matchers = chosen("device", "model", "runtime")
    return frame.choice(name, label, series.RUN_COMPLETED, *matchers, several=False)


def _p50() -> str:
    return select(series.RUN_LATENCY, 'stat="p50"', *CHOSEN)


def _lowest(expression: str) -> str:
    return f"topk({series.MOST_LINES}, min by (model, device) ({expression}))"


# --- latency -----------------------------------------------------------------------------------


def _latency() -> barchart.Panel:
    return style.bars(
        "p50, by model and device", f"{BEST}, of the latest successful runs.", "s"
    ).with_target(style.column("A", _lowest(_p50())))


def _slower_than_fastest() -> barchart.Panel:
    relative = f"{_lowest(_p50())} / on (model) group_left () min by (model) ({_p50()})"
    return style.bars(
        "Times slower than the fastest device",
        f"p50 / p50 of the device that runs the model fastest; 1 is the fastest. {BEST}.",
        "short",
    ).with_target(style.column("A", relative))


def _matrix() -> table.Panel:
    return (
        style.grid(
            "p50: models × devices",
            "The best of the chosen runtimes, precisions and variants. The stronger the colour, "
            "the slower.",
        )
        .with_target(style.column("A", f"min by (model, device) ({_p50()})"))
        .unit("s")
        .transformations([style.matrix()])
        .color_scheme(style.color(FieldColorModeId.CONTINUOUS_BLUES))
        .override_by_field_type(
            "number",
            style.properties({"custom.cellOptions": {"type": "color-background", "mode": "basic"}}),
        )
    )  # fmt: skip


# --- what it costs -----------------------------------------------------------------------------


def _energy() -> barchart.Panel:
    return style.bars(
        "Energy of one item",
        f"{BEST}. Scopes differ between devices (a chip, a card, a whole board): each run's page "
        "names its own. Absent where nothing could be measured.",
        "joule",
    ).with_target(style.column("A", _lowest(select(series.RUN_ENERGY, *CHOSEN))))


def _memory() -> barchart.Panel:
    return style.bars(
        "Peak memory of the process", f"Peak resident set. {BEST}.", "bytes"
    ).with_target(style.column("A", _lowest(_peak())))


def _peak() -> str:
    return select(series.RUN_PEAK_MEMORY, 'kind="rss"', *CHOSEN)


def _against_memory() -> xychart.Panel:
    return _pareto(
        "Latency against memory",
        "A point for each configuration. Those with no other to their lower left are the ones to "
        "choose from.",
        _peak(),
        ("Peak memory", "bytes"),
    )


def _against_energy() -> xychart.Panel:
    return _pareto(
        "Latency against energy",
        "A point for each configuration with a measured energy; lower left is better at both.",
        select(series.RUN_ENERGY, *CHOSEN),
        ("Energy of one item", "joule"),
    )


def _pareto(title: str, description: str, cost: str, axis: tuple[str, str]) -> xychart.Panel:
    name, unit = axis
    costs = series.by_configuration(cost)
    # Only what has both: a point needs two coordinates.
    both = f"{series.by_configuration(_p50())} and {costs}"
    settings: dict[str, object] = {
        "excludeByName": {"Time": True},
        "indexByName": {},
        "renameByName": {"Value #A": name, "Value #B": "p50"},
        "includeByName": {},
    }
    return (
        style.scatter(title, description)
        .with_target(style.column("A", costs))
        .with_target(style.column("B", both))
        .transformations(
            [style.transformation("merge", {}), style.transformation("organize", settings)]
        )
        .series([_axes(name, "p50")])
        .override_by_name(name, _axis(unit, name))
        .override_by_name("p50", _axis("s", "p50"))
    )


def _axes(x: str, y: str) -> xychart.XYSeriesConfig:
    def field(name: str) -> xychart.MatcherConfig:
        return xychart.MatcherConfig().id("byName").options(name)

    return (
        xychart.XYSeriesConfig()
        .x(xychart.XychartXYSeriesConfigX().matcher(field(x)))
        .y(xychart.XychartXYSeriesConfigY().matcher(field(y)))
    )


def _axis(unit: str, label: str) -> list[DynamicConfigValue]:
    return style.properties({"unit": unit, "custom.axisLabel": label})


# --- against the baseline ----------------------------------------------------------------------


def _baseline() -> table.Panel:
    ratio = series.by_configuration(select(series.RUN_BASELINE_RATIO, *CHOSEN))
    verdict = series.by_configuration(f"{select(series.RUN_VERDICT, *CHOSEN)} == 1", "verdict")

    def bound(name: str) -> str:
        metric = select(series.RUN_BASELINE_BOUND, f'bound="{name}"', *CHOSEN)
        return series.by_configuration(metric)

    panel = (
        style.grid(
            "Latest runs against their baselines",
            "Ratio of medians, candidate / baseline, its 95 % interval, and what the statistics of "
            "both say of it.",
        )
        .with_target(style.column("A", ratio))
        .with_target(style.column("B", verdict))
        .with_target(style.column("C", bound("low")))
        .with_target(style.column("D", bound("high")))
    )
    names = series.around({
        "verdict": "Verdict", "Value #A": "Ratio", "Value #C": "from", "Value #D": "to",
    })  # fmt: skip
    decimals = style.properties({"decimals": 3})
    return (
        style.columns(panel, names, hidden=("Value #B",))
        .override_by_name("Ratio", decimals)
        .override_by_name("from", decimals)
        .override_by_name("to", decimals)
        .override_by_name(
            "Verdict",
            style.properties({
                "custom.cellOptions": {"type": "color-text"},
                "mappings": style.words({
                    "slower": ("slower", BAD), "faster": ("faster", GOOD),
                    "same": ("same", NEUTRAL), "inconclusive": ("inconclusive", UNSURE),
                }),
            }),
        )
    )  # fmt: skip


def _ratio() -> timeseries.Panel:
    return against_baseline(
        style.chart(
            "Ratio to the baseline, over time",
            "Median / median of the baseline, above 1 it is slower; dashed: its 95 % interval.",
            "short",
            span=style.FULL_WIDTH,
        ),
        CHOSEN,
    )
