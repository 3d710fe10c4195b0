"""What a notebook shows: escaped, self-contained, complete, also of a run that failed."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import pytest

from profiler import flags
from profiler.api.terms import in_python, reworded
from profiler.display.headline import headline
from profiler.display.profile import Profile
from profiler.errors import ArtifactError, InputError
from profiler.result import (
    FailureKind,
    Flag,
    InputInfo,
    Interval,
    RepetitionFigures,
    RunError,
    RunStatus,
    Sentinel,
    ServerReport,
    StartMethod,
    SustainedReport,
    Throughput,
)
from profiler.samples import Iterations
from tests.builders import make_failed, make_latency, make_result

HOSTILE = "<script>alert('x')</script> & \"quoted\" \x1b"
ERROR = RunError(kind=FailureKind.MODEL_ERROR, message=HOSTILE, stderr_tail=f"line\n{HOSTILE}")
REPETITION = RepetitionFigures(
    index=0, load_seconds=0.25, first_inference_seconds=0.05, warmup_iterations=12,
    warmup_seconds=0.4, iterations=88, median_seconds=0.011,
)  # fmt: skip


def iterations(count: int = 300) -> Iterations:
    stamps = [(i * 11_000_000, i * 11_000_000 + 10_000_000 + i) for i in range(count)]
    return Iterations.from_stamps(0, stamps[:12], stamps[12:])


def html_of(result: Any, raw: Iterations | None = None) -> str:
    return Profile(result, raw)._repr_html_()


class _Page(HTMLParser):
    """Tags that are opened and closed in order, their attributes, and the text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.tags: set[str] = set()
        self.text = ""
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open.append(tag)
        self.tags.add(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data + "\n"


def hostile_result(**changes: Any) -> Any:
    """Something hostile in every text that a result takes from outside."""
    result = make_result(
        **{
            "device": HOSTILE,
            "model": HOSTILE,
            "runtime": HOSTILE,
            "runtime_version": HOSTILE,
            "precision": HOSTILE,
            "inputs": (InputInfo(name=HOSTILE, dtype=HOSTILE, shape=(1, 3)),),
            "energy_reason": HOSTILE,
            "flags": (Flag(name=HOSTILE, detail=HOSTILE, advice=HOSTILE),),
            "latency": make_latency(p99_reason=HOSTILE),
        }
        | changes
    )
    software = {"packages": {HOSTILE: HOSTILE}, "cpu_model": HOSTILE}
    assert result.environment is not None
    return result.model_copy(update={"environment": result.environment.model_copy(update=software)})


@pytest.mark.parametrize(
    "result",
    [hostile_result(), make_failed(ERROR, model=HOSTILE), hostile_result(error=ERROR)],
    ids=["succeeded", "failed", "both"],
)
def test_nothing_from_outside_becomes_markup(result: Any) -> None:
    page = _Page(html_of(result, iterations()))
    assert "script" not in page.tags
    assert page.tags <= {
        "div", "strong", "table", "thead", "tbody", "tr", "th", "td", "details", "summary", "pre",
        "svg", "title", "desc", "text", "line", "rect", "path", "polyline", "circle",
    }  # fmt: skip
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    assert HOSTILE in page.text


def test_it_fetches_nothing_and_brings_no_style_sheet() -> None:
    page = _Page(html_of(make_result(), iterations()))
    assert not [n for n, _ in page.attributes if n in {"href", "src", "class", "id", "xlink:href"}]
    assert not [value for name, value in page.attributes if name == "style" and "url(" in value]


def test_text_has_the_colour_of_the_page_and_no_ground_of_its_own() -> None:
    page = _Page(html_of(make_result(flags=(flags.busy_device(0.3),)), iterations()))
    for name, value in page.attributes:
        if name == "style":
            assert not re.search(r"(^|;)color:(?!inherit)", value)
            assert not re.search(r"background:(?!transparent)", value)


def test_figures_with_intervals_or_why_not() -> None:
    text = _Page(html_of(make_result())).text
    assert "resnet18" in text
    for part in ("11.0 ms", "[10.9, 11.1]", "13.2 ms", "too few effective iterations for p99",
                 "no source of power was found", "11.7 M", "200 MiB"):  # fmt: skip
        assert part in text


def test_flags_come_with_advice_in_words_of_python() -> None:
    found = (flags.single_repetition(), flags.not_steady(2, 0.8))
    text = _Page(html_of(make_result(flags=found))).text
    assert "use repetitions=7" in text
    assert "raise max_time; close" in text
    assert "--" not in text


def test_plots_are_there_when_there_are_iterations() -> None:
    assert _Page(html_of(make_result(), iterations())).tags >= {"svg"}
    assert "svg" not in _Page(html_of(make_result())).tags
    assert "svg" not in _Page(html_of(make_failed(ERROR), iterations())).tags


def test_the_environment_can_be_opened() -> None:
    page = html_of(make_result(repetitions=(REPETITION,)))
    opened = re.findall(r"<summary[^>]*>([^<]+)</summary>", page)
    assert opened == ["Repetitions", "Environment"]
    assert "cpu count" in page
    assert "12 in 400 ms" in page


def test_a_failed_run_shows_its_error_and_no_figures() -> None:
    text = _Page(html_of(make_failed(ERROR))).text
    assert "failed: model_error" in text
    assert f"line\n{HOSTILE}" in text
    assert "latency p50" not in text


def test_a_cancelled_run_says_so() -> None:
    result = make_failed(ERROR).model_copy(
        update={"status": RunStatus.CANCELLED, "error": None, "latency_reason": "cancelled"}
    )
    assert "cancelled" in _Page(html_of(result)).text


def test_a_scenario_without_latency_is_no_failure() -> None:
    some = Interval(value=120.4, low=118, high=123)
    result = make_result(
        scenario="offline", latency=None, latency_reason="offline has none",
        offline=Throughput(blocks=9, items_per_second=some),
    )  # fmt: skip
    text = _Page(html_of(result)).text
    assert "items per second, pipelined" in text
    assert "[118, 123]" in text
    assert "offline has none" in text
    assert "succeeded" not in text


def rows(**changes: Any) -> dict[str, tuple[str, str]]:
    return {row.name: (row.value, row.note) for row in headline(make_result(**changes))}


def test_a_median_without_bounds_says_why() -> None:
    unknown = {"p50": Interval(value=0.02, low=None, high=None), "p50_reason": "3 effective"}
    alone = make_latency().model_copy(update=unknown)
    assert rows(latency=alone)["latency p50"] == ("20.0 ms", "3 effective")


def test_cold_figures_are_told_apart_from_a_process_that_was_warm() -> None:
    assert rows(repetitions=(REPETITION,) * 3)["load"] == ("250 ms", "median of 3 processes")
    here = REPETITION.model_copy(update={"start_method": StartMethod.IN_PROCESS})
    found = rows(repetitions=(here,))
    assert "load" not in found
    assert "may have run before" in found["first inference"][1]


def test_every_scenario_has_its_figure() -> None:
    some = Interval(value=120.4, low=118, high=123)
    offline = rows(offline=Throughput(blocks=9, items_per_second=some))
    assert offline["items per second, pipelined"] == ("120", "[118, 123]")
    none = rows(offline=Throughput(blocks=1, items_per_second=None, reason="one block"))
    assert none["items per second, pipelined"] == ("—", "one block")
    server = ServerReport(
        percentile="p99", rate_per_second=50, latency_bound_seconds=0.1,
        highest_rate_per_second=None, highest_rate_reason="no rate met the bound", trials=(),
    )  # fmt: skip
    found = rows(server=server)
    assert found["arrivals per second"] == ("50.0", "")
    assert found["highest arrivals per second"] == ("—", "no rate met the bound")
    sustained = SustainedReport(
        windows=(), slowdown=Interval(value=1.234, low=1.2, high=1.3), settled_after_seconds=None
    )
    assert rows(sustained=sustained)["slow-down, last tenth over first"][0] == "1.23"
    settled = sustained.model_copy(update={"settled_latency": make_latency(0.009)})
    assert rows(sustained=settled)["p50, device settled"][0] == "9.00 ms"
    unknown = sustained.model_copy(update={"settled_latency_reason": "the sampler was off"})
    assert rows(sustained=unknown)["p50, device settled"] == ("—", "the sampler was off")


def test_the_sentinels_unit_and_undisturbed_blocks_are_shown_beside() -> None:
    unit = Interval(value=0.0014, low=0.0013, high=0.0015)
    sentinel = Sentinel(
        kind="conv", slices=9, seconds=unit, drift=0.01, relative_p50=None,
        relative_p50_reason="too few slices",
    )  # fmt: skip
    found = rows(sentinel=sentinel, latency_undisturbed=make_latency(0.009))
    assert found["p50 in units of the sentinel"] == ("—", "too few slices")
    assert found["p50, undisturbed blocks only"][0] == "9.00 ms"


def test_the_text_for_a_terminal() -> None:
    text = repr(Profile(make_result(flags=(flags.single_repetition(),))))
    assert "p50 [95 % interval]  11.0 ms [10.9, 11.1]" in text
    assert ") no source of power was found" in text
    assert "single_repetition: one process only" in text
    assert "use repetitions=7" in text
    failed = repr(Profile(make_failed(ERROR)))
    assert "model_error" in failed
    assert f"line\n{HOSTILE}" in failed


def test_options_are_renamed_and_nothing_else() -> None:
    assert in_python("say --input name:dtype:shape, or --batch-size 8.") == (
        "say inputs name:dtype:shape, or batch_size=8."
    )
    assert in_python("a--b -- c, -x") == "a--b -- c, -x"
    error = reworded(ArtifactError("batch-size", 3, "is bad", "Use --threads 2"))
    assert isinstance(error, ArtifactError)
    assert (error.field, error.remedy) == ("batch_size", "Use threads=2")
    assert type(reworded(InputError("a", 1, "b", "c"))) is InputError
