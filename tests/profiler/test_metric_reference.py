"""``docs/metrics.md`` is what the catalogue says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from profiler.metric_reference import COMMAND, markdown
from profiler.metrics import CATALOGUE

PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"


def test_the_page_is_what_its_command_writes() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert text == markdown(), f"run {COMMAND}"
    program = COMMAND.partition(" > ")[0].split()[1:]
    done = subprocess.run([sys.executable, *program], capture_output=True, check=True)
    assert done.stdout.decode() == text


def test_every_metric_is_on_it_with_all_that_is_to_be_known() -> None:
    rows = [line for line in markdown().splitlines() if line.startswith("| `fleetmark_")]
    assert len(rows) == sum(len(spec.served_by) for spec in CATALOGUE)
    for spec in CATALOGUE:
        found = [row for row in rows if row.startswith(f"| `{spec.name}` |")]
        assert len(found) == len(spec.served_by)
        for row in found:
            assert f"| {spec.type.value} | {spec.unit or '–'} |" in row
            assert spec.help in row
