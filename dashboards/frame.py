"""What every board has: template variables, links to the others, runs as annotations."""

from __future__ import annotations

from collections.abc import Iterable

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import common as options
from grafana_foundation_sdk.models import dashboard as model

from dashboards import series
from dashboards.style import DATASOURCE

TAG = "fleetmark"
FLEET, LATENCY, DEVICE, COMPARE = (
    f"fleetmark-{name}" for name in ("fleet", "latency", "device", "compare")
)
# Where the coordinator's page is, until whoever reads the board says otherwise.
COORDINATOR_URL = "http://localhost:8470"
RUN_PAGE = "${coordinator:raw}/#/runs/"
ALL = model.VariableOption(selected=True, text=["All"], value=["$__all"])
# Of runs in a chart, the newest at each point in time.
MOST_MARKS = 100
# All of a variable is everything, and not a pattern that lists thousands of names.
EVERYTHING = ".*"

Row = tuple[str, tuple[Builder[model.Panel], ...]]


def board(
    uid: str,
    title: str,
    description: str,
    variables: Iterable[Builder[model.VariableModel]],
    rows: Iterable[Row],
) -> model.Dashboard:
    """A board of rows of panels. Positions and ids follow from the order."""
    built = (
        dashboard.Dashboard(title)
        .uid(uid).description(description).tags([TAG])
        .editable().timezone("browser").time("now-6h", "now").refresh("30s")
        .tooltip(model.DashboardCursorSync.CROSSHAIR)
        .link(_other_boards()).link(_run_page())
        .annotation(_built_in()).annotation(_runs())
    )  # fmt: skip
    for variable in (_datasource(), *variables, _run(), _coordinator()):
        built = built.with_variable(variable)
    for name, panels in rows:
        built = built.with_row(dashboard.Row(name))
        for panel in panels:
            built = built.with_panel(panel)
    finished = built.build()
    for index, panel in enumerate(finished.panels or (), start=1):
        panel.id_val = index
        if panel.type_val == "table":
            # The SDK's default, which Grafana's tables no longer have.
            panel.options.footer = None
    for shown in (*finished.links, *finished.annotations.list_val):
        # The SDK would hide them in a menu.
        shown.placement = None
    for variable in finished.templating.list_val:
        # Of intervals; the SDK gives them to every variable.
        variable.auto = variable.auto_min = variable.auto_count = None
    return finished


# --- variables ---------------------------------------------------------------------------------


def choice(
    name: str,
    label: str,
    metric: str,
    *matchers: str,
    several: bool = True,
    values_of: str | None = None,
) -> dashboard.QueryVariable:
    """The values of a label, ``name`` if no other is said; all of them at first, or the first."""
    query = f"label_values({series.select(metric, *matchers)}, {values_of or name})"
    built = (
        dashboard.QueryVariable(name)
        .label(label).datasource(DATASOURCE)
        .query({"query": query, "refId": f"variable-{name}", "qryType": 1})
        .definition(query)
        .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(model.VariableSort.NATURAL_ASC)
    )  # fmt: skip
    if several:
        built = built.multi(True).include_all(True).all_value(EVERYTHING).current(ALL)
    return built


def device(metric: str = series.AGENT_UP, *, several: bool = True) -> dashboard.QueryVariable:
    return choice("device", "Device", metric, several=several)


def model_and_runtime() -> tuple[dashboard.QueryVariable, dashboard.QueryVariable]:
    return (
        choice("model", "Model", series.RUN_COMPLETED, *series.chosen("device")),
        choice("runtime", "Runtime", series.RUN_COMPLETED, *series.chosen("device", "model")),
    )


def _datasource() -> dashboard.DatasourceVariable:
    return dashboard.DatasourceVariable("datasource").label("Prometheus").type("prometheus")


def _run() -> dashboard.QueryVariable:
    """One run; the link "The run's page" opens it.

    Of those that succeeded: of another one no chart has anything, and the first that is listed is
    what a board opens with. The table of runs leads to every one.
    """
    of = (*series.chosen("device"), 'status="succeeded"')
    return choice("run", "Run", series.RUN_INFO, *of, several=False, values_of="run_id")


def _coordinator() -> dashboard.TextBoxVariable:
    return (
        dashboard.TextBoxVariable("coordinator")
        .label("Coordinator's page")
        .description("Where links to runs lead.")
        .default_value(COORDINATOR_URL)
        .current(model.VariableOption(selected=True, text=COORDINATOR_URL, value=COORDINATOR_URL))
    )


# --- links and annotations ---------------------------------------------------------------------


def _other_boards() -> dashboard.DashboardLink:
    return (
        dashboard.DashboardLink("fleetmark")
        .type(model.DashboardLinkType.DASHBOARDS).tags([TAG])
        .tooltip("The other boards, with the same time and choice")
        .include_vars(True).keep_time(True).as_dropdown(False)
    )  # fmt: skip


def _run_page() -> dashboard.DashboardLink:
    return (
        dashboard.DashboardLink("The run's page")
        .type(model.DashboardLinkType.LINK).icon("external link")
        .url(f"{RUN_PAGE}${{run:percentencode}}")
        .tooltip("The chosen run, on the coordinator's page").target_blank(True)
    )  # fmt: skip


def to_device(field: str) -> str:
    """The address of a device's board, for a data link in a table."""
    return (
        f"/d/{DEVICE}?var-device=${{__data.fields.{field}}}"
        "&${datasource:queryparam}&${__url_time_range}"
    )


def _built_in() -> dashboard.AnnotationQuery:
    return (
        dashboard.AnnotationQuery()
        .name("Annotations & Alerts").type("dashboard").built_in(1).enable(True).hide(True)
        .datasource(options.DataSourceRef(type_val="grafana", uid="-- Grafana --"))
        .icon_color("blue")
    )  # fmt: skip


def _runs() -> dashboard.AnnotationQuery:
    """A mark where a run ended: the value is the time, which Grafana wants in milliseconds."""
    ended = series.select(series.RUN_COMPLETED, *series.chosen("device", "model", "runtime"))
    return (
        dashboard.AnnotationQuery()
        .name("Runs").enable(True).datasource(DATASOURCE).icon_color("purple")
        .expr(f"topk({MOST_MARKS}, {ended}) * 1000").step("30s").use_value_for_time(True)
        .title_format("{{model}} on {{device}}")
        .text_format("{{runtime}} {{precision}}, batch {{batch_size}}, {{scenario}}")
        .tag_keys("model,device")
    )  # fmt: skip
