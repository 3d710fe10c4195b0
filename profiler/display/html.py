"""A profile as one piece of HTML for a notebook: no script, no style sheet, nothing fetched.

Colours are the page's own (``currentColor``) and greys that read on white and on black, since a
notebook's theme is not the browser's. Everything that comes from a result is escaped.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from profiler import units
from profiler.api.terms import in_python
from profiler.display.headline import headline
from profiler.display.markup import Html, element, join
from profiler.display.profile import Profile
from profiler.result import (
    Environment,
    Flag,
    RunError,
    RunResult,
    RunStatus,
    StartMethod,
)

_OUTER = (
    "font:13px/1.45 system-ui,sans-serif;max-width:760px;color:inherit;background:transparent;"
    "text-align:left;overflow-wrap:anywhere"
)
_TABLE = "border-collapse:collapse;margin:8px 0;font-size:13px;width:auto;border:0"
# A notebook's own style sheet aligns cells right and stripes rows; all of that is said anew.
_CELL = (
    "padding:3px 14px 3px 0;text-align:left;vertical-align:top;font-weight:normal;"
    "border:0;border-bottom:1px solid rgba(128,128,128,.35);background:transparent;"
    "white-space:normal;max-width:none"
)
_NUMBER = f"{_CELL};font-variant-numeric:tabular-nums;white-space:nowrap;font-weight:600"
_QUIET = f"{_CELL};opacity:.8"
_HEADING = f"{_CELL};font-weight:600"
_BOX = "border-left:4px solid {colour};padding:2px 0 2px 10px;margin:8px 0"
_WARNING, _FAILURE = "#d97706", "#e0443b"
_SUMMARY = "cursor:pointer;margin:6px 0"
_CODE = "white-space:pre-wrap;font:12px/1.4 ui-monospace,monospace;margin:4px 0;padding:0"


def render(profile: Profile) -> Html:
    """The whole display: heading, figures or error, flags, plots, environment."""
    result = profile.result
    parts = [_heading(result)]
    if result.error is not None:
        parts.append(_error(result.error))
    elif result.status is not RunStatus.SUCCEEDED:
        parts.append(_boxed(_FAILURE, f"{result.status.value}: {result.latency_reason or ''}"))
    else:
        parts.append(_figures(result))
    parts += [_flag(flag) for flag in result.flags]
    parts += _plots(profile)
    parts += [_repetitions(result), _environment(result)]
    return element("div", *parts, style=_OUTER)


def _heading(result: RunResult) -> Html:
    """The model, and what it ran in, as read back."""
    threads = f"{result.threads} threads" if result.threads is not None else None
    described = (
        result.runtime,
        result.precision,
        result.accelerator,
        threads,
        f"batch {result.batch_size}",
        result.scenario.replace("_", " "),
        f"on {result.device}",
    )
    rest = " · ".join(part for part in described if part)
    return element("div", element("strong", result.model), f" — {rest}", style="font-size:14px")


def _boxed(colour: str, *parts: str) -> Html:
    return element("div", *parts, style=_BOX.format(colour=colour))


def _error(error: RunError) -> Html:
    message = join(element("strong", f"failed: {error.kind.value}"), " ", error.message)
    if not error.stderr_tail:
        return _boxed(_FAILURE, message)
    return _boxed(_FAILURE, message, element("pre", error.stderr_tail, style=_CODE))


def _flag(flag: Flag) -> Html:
    advice = element("div", in_python(flag.advice), style="opacity:.85")
    return _boxed(_WARNING, element("strong", flag.name), f" — {in_python(flag.detail)}", advice)


def _figures(result: RunResult) -> Html:
    rows = [
        element(
            "tr",
            element("th", row.name, scope="row", style=f"{_CELL};white-space:nowrap"),
            element("td", row.value, style=_NUMBER),
            element("td", in_python(row.note), style=_QUIET),
        )
        for row in headline(result)
    ]
    return _table(("figure", "value", "95 % interval, or why not"), rows)


def _table(columns: Sequence[str], rows: Iterable[Html]) -> Html:
    heads = (element("th", column, scope="col", style=_HEADING) for column in columns)
    head = element("thead", element("tr", *heads, style="background:transparent"))
    return element("table", head, element("tbody", *rows), style=_TABLE)


def _plots(profile: Profile) -> list[Html]:
    iterations, latency = profile.iterations, profile.latency
    if iterations is None or latency is None or not len(iterations.timed_seconds()):
        return []
    from profiler.display.histogram import distribution  # NumPy
    from profiler.display.plots import latency_over_time

    return [latency_over_time(iterations), distribution(iterations, latency)]


def _repetitions(result: RunResult) -> Html:
    if not result.repetitions:
        return Html()
    columns = ("repetition", "load", "first inference", "warm-up", "iterations", "p50")
    rows = []
    for each in result.repetitions:
        loaded_before = each.start_method is StartMethod.IN_PROCESS
        cells = (
            str(each.index + 1),
            units.NOTHING if loaded_before else units.seconds(each.load_seconds),
            units.seconds(each.first_inference_seconds),
            f"{each.warmup_iterations} in {units.seconds(each.warmup_seconds)}",
            str(each.iterations),
            units.seconds(each.median_seconds),
        )
        rows.append(element("tr", *(element("td", cell, style=_CELL) for cell in cells)))
    return _details("Repetitions", _table(columns, rows))


def _details(summary: str, content: Html) -> Html:
    return element("details", element("summary", summary, style=_SUMMARY), content)


def _environment(result: RunResult) -> Html:
    """Device, software, inputs, and what was not measured here."""
    facts = [("run", f"{result.run_id}, {result.started_at:%Y-%m-%d %H:%M:%S %Z}")]
    if result.runtime_version is not None:
        facts.append(("runtime", f"{result.runtime} {result.runtime_version}"))
    facts += [
        (f"input {each.name}", f"{each.dtype} {'×'.join(map(str, each.shape)) or 'scalar'}")
        for each in result.inputs
    ]
    facts += _facts(result.environment) if result.environment else []
    facts += [(f"no {each.source}", each.reason) for each in result.sensors_absent]
    rows = (
        element(
            "tr",
            element("th", name, scope="row", style=f"{_CELL};white-space:nowrap"),
            element("td", text, style=_CELL),
        )
        for name, text in facts
    )
    return _details("Environment", element("table", element("tbody", *rows), style=_TABLE))


def _facts(environment: Environment) -> list[tuple[str, str]]:
    """Every field that is known, in words."""
    found = []
    for name, value in environment:
        if name.endswith("_bytes") and value is not None:
            found.append((name.removesuffix("_bytes").replace("_", " "), units.bytes_(value)))
        elif value not in (None, (), {}):
            found.append((name.replace("_", " "), _said(value)))
    return found


def _said(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {each}" for key, each in value.items())
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    return str(value)
