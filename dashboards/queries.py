"""Every query of a board, and what a Prometheus answers to each.

Variables are filled in as Grafana would do it. Nothing here is needed to show a board: it is how
boards are tested, against a Prometheus and without a Grafana.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

Board = Mapping[str, Any]
Ask = Callable[[str, Mapping[str, str]], Any]
"""A path below ``/api/v1`` and its parameters → ``data`` of the answer; raises ``QueryError``."""

# What Grafana itself knows, with values of a board that shows an hour.
SPAN_SECONDS = 3600
STEP_SECONDS = 15
BUILT_IN = {
    "__range": f"{SPAN_SECONDS}s",
    "__range_s": str(SPAN_SECONDS),
    "__interval": f"{STEP_SECONDS}s",
    "__rate_interval": "60s",
    "__url_time_range": "from=now-1h&to=now",
}
# Inside of a data link, of the cell that was clicked.
OF_A_CELL = ("__data", "__value", "__field", "__series")
EVERYTHING = "$__all"

_VARIABLE = re.compile(r"\$(?:(?P<plain>\w+)|\{(?P<braced>\w+)[^}]*\})")
_LABEL_VALUES = re.compile(r"label_values\((?:(?P<selector>.+),\s*)?(?P<label>\w+)\)", re.DOTALL)
_METRIC = re.compile(r"\bfleetmark_\w+")


class QueryError(Exception):
    """Prometheus refused a query; its text is what it said."""


class Query(NamedTuple):
    """One query, where it stands, and whether it asks for a stretch of time."""

    board: str
    where: str
    text: str
    over_time: bool


class Finding(NamedTuple):
    """What is wrong with a query. ``metrics`` are the names in it."""

    board: str
    where: str
    text: str
    problem: str
    metrics: frozenset[str]


def check(
    board: Board, ask: Ask, now: float, may_be_absent: frozenset[str] = frozenset()
) -> list[Finding]:
    """Execute every query of panels, variables and annotations.

    Args:
        board: its JSON.
        ask: a Prometheus.
        now: the end of the time that is shown, in seconds since 1970.
        may_be_absent: metrics that the fleet at hand cannot serve, such as power without a meter; a
            query of one of them may find nothing.

    Returns:
        Errors, empty answers and variables that the board does not define.
    """
    title = str(board["title"])
    values = dict(BUILT_IN)
    found: list[Finding] = []
    for variable in board["templating"]["list"]:
        found += _resolve(title, variable, values, ask, may_be_absent)
    found += [
        Finding(title, "somewhere in the board", text, f"${name} is not defined", frozenset())
        for text in _texts(board)
        for name in _names(text)
        if name not in values and name not in OF_A_CELL
    ]
    for query in _queries(board):
        text = fill_in(query.text, values)
        try:
            answer = _execute(ask, text, now, over_time=query.over_time)
        except QueryError as error:
            found.append(Finding(title, query.where, text, str(error), metrics_in(text)))
            continue
        if not answer and not metrics_in(text) & may_be_absent:
            found.append(Finding(title, query.where, text, "finds nothing", metrics_in(text)))
    return found


def metrics_in(text: str) -> frozenset[str]:
    """Names of our metrics in a query; those of a histogram's series without their ending."""
    return frozenset(re.sub(r"_(bucket|count|sum)$", "", name) for name in _METRIC.findall(text))


def queries(board: Board) -> list[Query]:
    """Of panels, annotations and variables, variables not filled in."""
    title = str(board["title"])
    of_variables = [
        Query(title, f"variable {each['name']}", str(each["query"]["query"]), over_time=False)
        for each in board["templating"]["list"]
        if each["type"] == "query"
    ]
    return [*_queries(board), *of_variables]


def fill_in(text: str, values: Mapping[str, str]) -> str:
    def value(found: re.Match[str]) -> str:
        name = found["plain"] or found["braced"]
        return values.get(name, found[0])

    return _VARIABLE.sub(value, text)


def _queries(board: Board) -> Iterator[Query]:
    title = str(board["title"])
    for panel in _panels(board):
        for target in panel.get("targets", ()):
            where = f"panel {panel['title']!r}, query {target['refId']}"
            yield Query(title, where, str(target["expr"]), over_time=not target.get("instant"))
    for annotation in board["annotations"]["list"]:
        if "expr" in annotation:
            where = f"annotation {annotation['name']!r}"
            yield Query(title, where, str(annotation["expr"]), over_time=True)


def _panels(board: Board) -> Iterator[Mapping[str, Any]]:
    for panel in board["panels"]:
        yield panel
        yield from panel.get("panels", ())


# --- variables ---------------------------------------------------------------------------------


def _resolve(
    title: str,
    variable: Mapping[str, Any],
    values: dict[str, str],
    ask: Ask,
    may_be_absent: frozenset[str],
) -> list[Finding]:
    """Set the variable in ``values`` to what it is when the board is opened."""
    name = str(variable["name"])
    if variable["type"] != "query":
        values[name] = str(variable.get("query", ""))
        return []
    text = fill_in(str(variable["query"]["query"]), values)
    where = f"variable {name}"
    try:
        found = _label_values(ask, text)
    except QueryError as error:
        return [Finding(title, where, text, str(error), metrics_in(text))]
    opened = variable.get("current", {}).get("value")
    if opened == [EVERYTHING]:
        values[name] = str(variable.get("allValue") or f"({'|'.join(map(re.escape, found))})")
    else:
        values[name] = found[0] if found else ""
    if found or metrics_in(text) & may_be_absent:
        return []
    return [Finding(title, where, text, "has no values", metrics_in(text))]


def _label_values(ask: Ask, text: str) -> list[str]:
    parts = _LABEL_VALUES.fullmatch(text)
    if parts is None:
        raise QueryError(f"{text} is no label_values(…)")
    parameters = {"match[]": parts["selector"]} if parts["selector"] else {}
    return list(ask(f"label/{parts['label']}/values", parameters))


def _names(text: str) -> list[str]:
    return [found["plain"] or found["braced"] for found in _VARIABLE.finditer(text)]


def _texts(part: object) -> Iterator[str]:
    """Every text in the board but the markers of variables' choices."""
    if isinstance(part, str):
        if part != EVERYTHING:
            yield part
    elif isinstance(part, Mapping):
        for each in part.values():
            yield from _texts(each)
    elif isinstance(part, list):
        for each in part:
            yield from _texts(each)


def _execute(ask: Ask, text: str, now: float, *, over_time: bool) -> list[Any]:
    if over_time:
        # As Grafana asks: a step that the charts' width allows.
        parameters = {"query": text, "start": str(now - SPAN_SECONDS), "end": str(now)}
        found = ask("query_range", parameters | {"step": str(STEP_SECONDS)})["result"]
        return [each for each in found if any(value != "NaN" for _, value in each["values"])]
    found = ask("query", {"query": text, "time": str(now)})["result"]
    return [each for each in found if each["value"][1] != "NaN"]
