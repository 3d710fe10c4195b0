"""Numbers for people. Inside fleetmark everything is in SI units; this is the edge."""

from __future__ import annotations

import math

NOTHING = "—"


def _three_digits(value: float) -> str:
    """Three significant digits, without an exponent."""
    if value == 0:
        return "0"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    text = f"{value:.{digits}f}"
    # 9.995 rounds up to four digits; once more with the decimals that 10.0 needs.
    return f"{value:.{max(0, digits - 1)}f}" if len(text.replace(".", "").strip("0-")) > 3 else text  # noqa: PLR2004


def _scaled(value: float, steps: tuple[tuple[float, str], ...]) -> str:
    for factor, unit in steps:
        if abs(value) >= factor:
            return f"{_three_digits(value / factor)} {unit}"
    factor, unit = steps[-1]
    return f"{_three_digits(value / factor)} {unit}"


def seconds(value: float | None) -> str:
    """``0.0164`` → ``16.4 ms``."""
    if value is None:
        return NOTHING
    return _scaled(value, ((1, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns")))


def bytes_(value: float | None) -> str:
    """``123_000_000`` → ``117 MiB``."""
    if value is None:
        return NOTHING
    return _scaled(value, ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"), (1, "B")))


def joules(value: float | None) -> str:
    """``0.5`` → ``500 mJ``."""
    if value is None:
        return NOTHING
    return _scaled(value, ((1e3, "kJ"), (1, "J"), (1e-3, "mJ"), (1e-6, "µJ")))


def count(value: float | None) -> str:
    """``11_689_512`` → ``11.7 M``."""
    if value is None:
        return NOTHING
    return _scaled(value, ((1e9, "G"), (1e6, "M"), (1e3, "k"), (1, ""))).strip()


def rate(value: float | None) -> str:
    """Items per second, three digits."""
    return NOTHING if value is None else _three_digits(value)


def percent(value: float) -> str:
    """``0.031`` → ``3.1 %``."""
    return f"{100 * value:.1f} %"


def interval(value: float, low: float, high: float) -> str:
    """``16.4 ms [16.2, 16.9]``: the bounds in the unit of the value."""
    for factor, unit in ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns")):
        if value >= factor or unit == "ns":
            parts = (_three_digits(x / factor) for x in (value, low, high))
            middle, lower, upper = parts
            return f"{middle} {unit} [{lower}, {upper}]"
    raise AssertionError("unreachable")
