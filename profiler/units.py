"""Numbers for people. Inside fleetmark everything is in SI units; this is the edge."""

from __future__ import annotations

import math

NOTHING = "—"

Steps = tuple[tuple[float, str], ...]

TIME: Steps = ((1, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns"))


def _rounded(value: float) -> float:
    """To three significant digits; what stands before the point is kept whole."""
    return float(f"{value:.2e}") if abs(value) < 1000 else round(value)  # noqa: PLR2004


def _three_digits(value: float) -> str:
    """Three significant digits, without an exponent."""
    # Rounded first: 9.996 is 10.0, which has one decimal fewer.
    value = _rounded(value)
    if value == 0:
        return "0"
    return f"{value:.{max(0, 2 - math.floor(math.log10(abs(value))))}f}"


def _step(value: float, steps: Steps) -> tuple[float, str]:
    """The largest unit that the value, as it will be shown, reaches; else the smallest."""
    for factor, unit in steps:
        if abs(_rounded(value / factor)) >= 1:
            return factor, unit
    return steps[-1]


def _scaled(value: float, steps: Steps) -> str:
    factor, unit = _step(value, steps)
    return f"{_three_digits(value / factor)} {unit}"


def seconds(value: float | None) -> str:
    """``0.0164`` → ``16.4 ms``."""
    if value is None:
        return NOTHING
    return _scaled(value, TIME)


def bytes_(value: float | None) -> str:
    """``123_000_000`` → ``117 MiB``."""
    if value is None:
        return NOTHING
    if abs(value) < 2**10:
        return f"{value:.0f} B"
    return _scaled(value, ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")))


def joules(value: float | None) -> str:
    """``0.5`` → ``500 mJ``."""
    if value is None:
        return NOTHING
    return _scaled(value, ((1e3, "kJ"), (1, "J"), (1e-3, "mJ"), (1e-6, "µJ")))


def count(value: float | None) -> str:
    """``11_689_512`` → ``11.7 M``."""
    if value is None:
        return NOTHING
    if abs(value) < 1000:  # noqa: PLR2004
        return f"{value:.0f}"
    return _scaled(value, ((1e9, "G"), (1e6, "M"), (1e3, "k")))


def rate(value: float | None) -> str:
    """Items per second, three digits."""
    return NOTHING if value is None else _three_digits(value)


def percent(value: float) -> str:
    """``0.031`` → ``3.1 %``."""
    return f"{100 * value:.1f} %"


def interval(value: float, low: float | None, high: float | None) -> str:
    """``16.4 ms [16.2, 16.9]``: the bounds in the unit of the value; ``16.4 ms [—]`` without."""
    factor, unit = _step(value, TIME)
    middle = f"{_three_digits(value / factor)} {unit}"
    if low is None or high is None:
        return f"{middle} [{NOTHING}]"
    return f"{middle} [{_three_digits(low / factor)}, {_three_digits(high / factor)}]"
