"""The plots show what was measured: nothing left out or drawn outside, and said in words."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from profiler.display.axes import Scale, ticks, time_unit
from profiler.display.histogram import MOST_BINS, bin_edges, distribution
from profiler.display.markup import Html, element
from profiler.display.plots import BOX, COLUMNS, latency_over_time, visible_range
from profiler.samples import Iterations
from profiler.stats import summarise
from tests.builders import make_latency

SVG = "{http://www.w3.org/2000/svg}"
MS = 1_000_000


def made(*repetitions: tuple[list[int], list[int]], pause_ns: int = 10**9) -> Iterations:
    """Iterations from (warm-up, timed) latencies in ns, one after the other without a gap."""
    parts, now = [], 5 * 10**9
    for index, (warmup, timed) in enumerate(repetitions):
        stamps = []
        for latency in (*warmup, *timed):
            stamps.append((now, now + latency))
            now += latency
        now += pause_ns
        split = len(warmup)
        parts.append(Iterations.from_stamps(index, stamps[:split], stamps[split:]))
    return Iterations.concatenate(parts)


def parsed(svg: str) -> ET.Element:
    return ET.fromstring(svg)  # noqa: S314 - our own


def texts(root: ET.Element) -> list[str]:
    return [found.text or "" for found in root.iter(f"{SVG}text")]


def shades(root: ET.Element) -> list[tuple[float, float]]:
    """(left, width) of the warm-ups' shades."""
    found = [r for r in root.iter(f"{SVG}rect") if r.get("fill-opacity") == "0.18"]
    return [(float(r.get("x", "")), float(r.get("width", ""))) for r in found]


latencies = st.lists(st.integers(0, 10**11), max_size=400)
repetitions = st.lists(st.tuples(latencies, latencies.filter(bool)), min_size=1, max_size=15)


@settings(deadline=None, max_examples=60)
@given(repetitions)
def test_whatever_was_measured_is_drawn_inside_the_picture(
    found: list[tuple[list[int], list[int]]],
) -> None:
    iterations = made(*found)
    latency = summarise(iterations.timed_groups())
    for svg in (latency_over_time(iterations), distribution(iterations, latency)):
        root = parsed(svg)
        _, _, width, height = map(float, (root.get("viewBox") or "").split())
        for node in root.iter():
            for name, limit in (("x", width), ("cx", width), ("y", height), ("cy", height)):
                assert 0 <= float(node.get(name, 0)) <= limit + 0.01
            assert float(node.get("width", "1").rstrip("%")) >= 0
            assert "nan" not in (node.get("d") or "") + (node.get("points") or "")


@pytest.mark.parametrize("many", [20, 50_000])
def test_a_picture_says_in_words_what_it_shows(many: int) -> None:
    iterations = made(([], [2 * MS] * (many - 1) + [3 * MS]))
    drawn = latency_over_time(iterations), distribution(iterations, make_latency(0.002))
    for svg in drawn:
        root = parsed(svg)
        assert root.get("role") == "img"
        title, description = root.find(f"{SVG}title"), root.find(f"{SVG}desc")
        assert title is not None
        assert description is not None
        assert title.text
        assert f"{many} timed iterations" in (description.text or "")
        assert "2.00 ms" in (root.get("aria-label") or "")


def test_a_picture_stays_small_however_long_the_run() -> None:
    lengths = np.random.default_rng(0).integers(900, 1500, 200_000).tolist()
    iterations = made((lengths[:100_000], lengths[100_000:]))
    assert len(latency_over_time(iterations)) < 60_000
    assert len(distribution(iterations, make_latency(1e-6))) < 30_000


def test_a_single_slow_iteration_among_many_is_seen() -> None:
    lengths = np.random.default_rng(0).integers(1000, 2000, 100_000).tolist()
    lengths[70_000] = 2900
    path = next(
        node.get("d") or ""
        for node in parsed(latency_over_time(made(([], lengths)))).iter(f"{SVG}path")
    )
    bars = {float(x): float(top) for x, top in re.findall(r"M([\d.]+) [\d.]+V([\d.]+)", path)}
    assert len(bars) == COLUMNS
    highest = min(bars, key=lambda x: bars[x])
    share = sum(lengths[:70_000]) / sum(lengths)
    assert highest == pytest.approx(BOX.left + share * COLUMNS, abs=1.5)
    low, high = visible_range(np.array(lengths) / 1e9)
    expected = BOX.bottom - (2900e-9 - low) / (high - low) * (BOX.bottom - BOX.top)
    assert bars[highest] == pytest.approx(expected - 0.5, abs=0.1)


def test_warm_ups_are_shaded_for_as_long_as_they_took() -> None:
    iterations = made(([MS] * 30, [MS] * 70), ([MS] * 10, [MS] * 90))
    drawn = parsed(latency_over_time(iterations))
    width = BOX.right - BOX.left
    (first, long), (second, short) = shades(drawn)
    assert first == pytest.approx(BOX.left, abs=0.02)
    assert long == pytest.approx(0.15 * width, abs=0.02)
    # The pause of a second between the two has no room on an axis of a fifth of one.
    assert second == pytest.approx(BOX.left + 0.5 * width, abs=0.02)
    assert short == pytest.approx(0.05 * width, abs=0.02)
    assert {"1", "2"} <= set(texts(drawn))


def test_without_a_warm_up_nothing_is_said_of_one() -> None:
    assert "warm-up" not in latency_over_time(made(([], [MS] * 10)))


def test_what_is_cut_off_is_counted() -> None:
    iterations = made(([50 * MS], [2 * MS + i * 1000 for i in range(400)] + [90 * MS]))
    over_time = texts(parsed(latency_over_time(iterations)))
    assert "▲ 2 above 2.83 ms, up to 90.0 ms" in over_time
    spread = texts(parsed(distribution(iterations, make_latency(0.0021))))
    assert any(text.startswith("▶ 1 above") for text in spread)


def test_a_histogram_counts_timed_iterations_only() -> None:
    root = parsed(distribution(made(([9 * MS] * 50, [MS, MS, 2 * MS])), make_latency(0.001)))
    assert "3 timed iterations" in (root.get("aria-label") or "")
    bars = [r for r in root.iter(f"{SVG}rect") if r.get("fill-opacity") == "0.6"]
    heights = [float(bar.get("height", "")) for bar in bars]
    assert max(heights) == pytest.approx(2 * min(h for h in heights if h > 0), rel=0.01)


def test_percentiles_without_an_interval_are_not_marked() -> None:
    shown = texts(parsed(distribution(made(([], [11 * MS] * 100)), make_latency(0.011))))
    assert "p50 11.0 ms [10.9, 11.1]" in shown
    assert "p90 13.2 ms" in shown
    assert not any("p99" in text for text in shown)


def test_a_percentile_far_out_widens_the_axis() -> None:
    iterations = made(([], [MS] * 990 + [40 * MS] * 10))
    latency = make_latency(0.001, p99=make_latency(0.04).p50)
    root = parsed(distribution(iterations, latency))
    lines = [float(line.get("x1", "")) for line in root.iter(f"{SVG}line")]
    assert max(x for x in lines if x < BOX.right) > 0.95 * BOX.right


@given(st.floats(1e-9, 1e6), st.floats(1e-6, 10), st.integers(2, 12))
def test_ticks_are_few_and_inside(low: float, share: float, most: int) -> None:
    high = low * (1 + share)
    found = ticks(low, high, most)
    assert len(found) <= most
    assert all(low - 1e-6 * high <= tick <= high + 1e-6 * high for tick in found)


def test_ticks_are_round() -> None:
    assert ticks(0, 10, 6) == [0, 2, 4, 6, 8, 10]
    assert ticks(1.7, 3.66, 5) == [2.0, 2.5, 3.0, 3.5]


@given(st.lists(st.floats(0, 1e3), min_size=1, max_size=300))
def test_the_range_holds_nearly_all(found: list[float]) -> None:
    values = np.array(found)
    low, high = visible_range(values)
    assert 0 <= low < high
    assert low <= values.min()
    assert np.mean(values > high) <= 0.01


@given(st.lists(st.floats(1e-6, 1e3), min_size=1, max_size=300))
def test_bins_cover_the_range(found: list[float]) -> None:
    values = np.array(found)
    low, high = visible_range(values)
    edges = bin_edges(values, low, high)
    assert edges[0] == low
    assert edges[-1] == high
    assert 2 <= len(edges) <= MOST_BINS + 1


def test_scales_and_units() -> None:
    scale = Scale(0.0, 2.0, 10.0, 20.0)
    assert [scale.at(v) for v in (-1, 0, 1, 2, 3)] == [10, 10, 15, 20, 20]
    assert [time_unit(h)[1] for h in (2, 0.002, 2e-6, 2e-9, 2e-12)] == ["s", "ms", "µs", "ns", "ns"]


def test_markup_escapes_what_is_not_markup() -> None:
    inner = element("b", "a < b", title='"x" & y')
    assert inner == '<b title="&quot;x&quot; &amp; y">a &lt; b</b>'
    assert element("p", inner, "<i>") == f"<p>{inner}&lt;i&gt;</p>"
    assert isinstance(inner, Html)
