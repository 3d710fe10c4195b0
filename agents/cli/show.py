"""Tables, JSON and messages. Colour and width follow the terminal; rich respects NO_COLOR."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from datetime import datetime, timezone

from pydantic import BaseModel
from rich.console import Console
from rich.table import Table
from rich.text import Text

from profiler.report import scenario_sentence, table
from profiler.result import Flag, RunResult

# Where nobody watches, a table must not be cut to 80 columns.
WIDE = 220


def console(*, stderr: bool = False) -> Console:
    stream = sys.stderr if stderr else sys.stdout
    return Console(
        file=stream,
        highlight=False,
        width=None if stream.isatty() else WIDE,
        soft_wrap=False,
        # Rich leaves bold and underlined in; who says NO_COLOR wants plain text.
        color_system=None if os.environ.get("NO_COLOR") else "auto",
    )


def json_out(data: BaseModel) -> None:
    sys.stdout.write(data.model_dump_json(indent=2) + "\n")


def note(text: str) -> None:
    """A line for people, on stderr: stdout belongs to the answer."""
    # Terminals wrap by themselves; elsewhere a sentence is one line, for whoever looks for it.
    console(stderr=True).print(Text(text), soft_wrap=True)


def grid(columns: Sequence[str], rows: Sequence[Sequence[str]], title: str | None = None) -> None:
    """A table of plain text; nothing in it is taken for markup."""
    shown = Table(title=title, title_justify="left", header_style="bold", expand=False)
    for column in columns:
        shown.add_column(Text(column), overflow="fold")
    for row in rows:
        shown.add_row(*(Text(cell) for cell in row))
    console().print(shown)


def results(runs: Sequence[RunResult]) -> None:
    """Results as a table with footnotes, and every flag once: its advice, and what it saw if that
    is one thing.
    """
    found = table(runs)
    grid(found.columns, found.rows)
    out = console()
    for number, text in enumerate(found.footnotes, 1):
        out.print(Text(f"({number}) {text}"))
    for run in runs:
        if sentence := scenario_sentence(run):
            out.print(Text(sentence))
    for text in _explained([flag for run in runs for flag in run.flags]):
        out.print(Text(text))
    for run in runs:
        if run.error and run.error.stderr_tail:
            out.print(Text(f"\nlast lines of {run.model} in {run.runtime} on {run.device}:"))
            out.print(Text(run.error.stderr_tail))


def _explained(flags: Sequence[Flag]) -> list[str]:
    found = []
    for name in sorted({flag.name for flag in flags}):
        same = [flag for flag in flags if flag.name == name]
        seen = f"{same[0].detail}; " if len(same) == 1 else ""
        found.append(f"{name}: {seen}{same[-1].advice}")
    return found


def ago(moment: datetime | None) -> str:
    """``12 s ago``."""
    if moment is None:
        return "never"
    passed = max(0.0, (datetime.now(timezone.utc) - moment).total_seconds())
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if passed >= size:
            return f"{passed / size:.0f} {unit} ago"
    return f"{passed:.0f} s ago"
