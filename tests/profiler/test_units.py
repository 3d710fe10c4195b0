"""Three significant digits, in the unit that fits."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiler import units


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0164, "16.4 ms"),
        (1.0, "1.00 s"),
        (0.9996, "1.00 s"),
        (0.9994, "999 ms"),
        (0.009996, "10.0 ms"),
        (0.0999951, "100 ms"),
        (59.95, "60.0 s"),
        (1234.0, "1234 s"),
        (2.5e-6, "2.50 µs"),
        (80e-9, "80.0 ns"),
        (1e-12, "0.00100 ns"),
        (0.0, "0 ns"),
        (None, "—"),
    ],
)
def test_seconds(value: float | None, text: str) -> None:
    assert units.seconds(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (123_000_000, "117 MiB"),
        (1536, "1.50 KiB"),
        (1, "1 B"),
        (1023, "1023 B"),
        (1024, "1.00 KiB"),
        (2**30, "1.00 GiB"),
    ],
)
def test_bytes(value: float, text: str) -> None:
    assert units.bytes_(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.5, "500 mJ"), (12.34, "12.3 J"), (4.5e6, "4500 kJ"), (3e-7, "0.300 µJ"), (None, "—")],
)
def test_joules(value: float | None, text: str) -> None:
    assert units.joules(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (11_689_512, "11.7 M"),
        (999_999, "1.00 M"),
        (5, "5"),
        (999, "999"),
        (1000, "1.00 k"),
        (0, "0"),
        (143.7e9, "144 G"),
    ],
)
def test_count(value: float, text: str) -> None:
    assert units.count(value) == text


def test_rate_and_percent() -> None:
    assert units.rate(1234.5) in ("1234", "1235")
    assert units.rate(61.07) == "61.1"
    assert units.rate(None) == "—"
    assert units.percent(0.031) == "3.1 %"


@pytest.mark.parametrize(
    ("bounds", "text"),
    [
        ((0.0164, 0.0162, 0.0169), "16.4 ms [16.2, 16.9]"),
        ((0.9996, 0.99, 1.01), "1.00 s [0.990, 1.01]"),
        ((0.00104, 0.00099, 0.0012), "1.04 ms [0.990, 1.20]"),
        ((0.0, 0.0, 0.0), "0 ns [0, 0]"),
    ],
)
def test_the_bounds_are_in_the_unit_of_the_value(
    bounds: tuple[float, float, float], text: str
) -> None:
    assert units.interval(*bounds) == text


NUMBER = re.compile(r"^(\d+)(\.\d+)? (s|ms|µs|ns)$")
SIZE = {"s": 1.0, "ms": 1e-3, "µs": 1e-6, "ns": 1e-9}


@given(st.floats(1e-9, 1e5))
def test_three_significant_digits_and_no_exponent(value: float) -> None:
    found = NUMBER.match(units.seconds(value))
    assert found is not None
    whole, decimals, unit = found.groups()
    digits = (whole + (decimals or "")[1:]).lstrip("0")
    shown = float(whole + (decimals or "")) * SIZE[unit]
    if unit == "s" and shown >= 1000:
        # No larger unit: what stands before the point stands.
        assert not decimals
    else:
        assert len(digits) == 3
        assert float(whole) < 1000
    assert shown == pytest.approx(value, rel=0.005001)


@given(st.floats(1e-9, 1e5))
def test_an_interval_starts_with_what_the_value_is_alone(value: float) -> None:
    number, unit = units.seconds(value).split()
    assert units.interval(value, value, value) == f"{number} {unit} [{number}, {number}]"
