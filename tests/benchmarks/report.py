"""What a benchmark gives, and how people see it: Markdown."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from profiler import units
from profiler.device.environment import read_environment
from profiler.result import Environment


@dataclass(frozen=True)
class Table:
    """Rows of text under a title; the first column is words, the others are figures."""

    title: str
    headers: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]


@dataclass(frozen=True)
class Section:
    """A benchmark's figures.

    Attributes:
        text: what was done, and what has to be known to read the tables.
        data: all raw figures, for ``--json``.
    """

    name: str
    text: str
    tables: list[Table]
    data: dict[str, Any] = field(default_factory=dict)


def markdown_table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table whose columns line up as plain text too."""
    for row in rows:
        if len(row) != len(headers):
            raise ValueError(f"{len(headers)} columns, but a row of {len(row)}: {row}")
    cells = [[_escaped(cell) for cell in row] for row in (headers, *rows)]
    widths = [max(3, *(len(row[column]) for row in cells)) for column in range(len(headers))]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return "\n".join(_line(row, widths) for row in (cells[0], rule, *cells[1:]))


def _escaped(cell: str) -> str:
    return cell.replace("|", "\\|").replace("\n", " ")


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    padded = [row[0].ljust(widths[0])]
    padded += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
    return f"| {' | '.join(padded)} |"


def markdown(section: Section, command: str) -> str:
    """The section with the command that makes it again."""
    parts = [f"## {section.name}", f"`{command}`", section.text]
    for table in section.tables:
        parts += [f"**{table.title}**", markdown_table(table.headers, table.rows)]
    return "\n\n".join(parts)


def median_and_range(seconds: Sequence[float]) -> str:
    """``3.21 ms (2.90 ms – 4.12 ms)``."""
    shown = [units.seconds(value) for value in (median(seconds), min(seconds), max(seconds))]
    return f"{shown[0]} ({shown[1]} – {shown[2]})"


def machine() -> Environment:
    """The fingerprint that results carry too, with Ray among the packages."""
    found = read_environment()
    return found.model_copy(
        update={"packages": found.packages | {"ray": importlib.metadata.version("ray")}}
    )


def machine_line(found: Environment) -> str:
    """The machine in one line."""
    memory = units.bytes_(found.memory_total_bytes)
    packages = ", ".join(f"{name} {version}" for name, version in sorted(found.packages.items()))
    virtual = " (virtual)" if found.virtualization else ""
    load = "unknown" if found.load_average_1m is None else f"{found.load_average_1m:.2f}"
    pressure = "unknown" if found.cpu_pressure_avg10 is None else f"{found.cpu_pressure_avg10:g} %"
    return (
        f"{found.cpu_model}{virtual}, {len(found.cpu_affinity)} of {found.cpu_count} CPUs, "
        f"{memory}; {found.kernel} {found.architecture}; fleetmark {found.fleetmark}, "
        f"Python {found.python}, {packages}; before the start load {load}, "
        f"CPU pressure {pressure}"
    )
