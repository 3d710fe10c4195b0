"""What a terminal shows of results."""

from __future__ import annotations

import pytest

from agents.cli import show
from profiler.result import Flag
from tests.builders import make_result


def flag(name: str, detail: str) -> Flag:
    return Flag(name=name, detail=detail, advice=f"do something about {name}")


def test_a_flag_is_explained_once(capsys: pytest.CaptureFixture[str]) -> None:
    """With what was seen where one run has it; a fleet's runs would each say something else."""
    runs = [
        make_result(flags=(flag("drift", "by 4 %"), flag("wanders", "within 9 %"))),
        make_result(flags=(flag("drift", "by 7 %"),)),
    ]
    show.results(runs)
    shown = " ".join(capsys.readouterr().out.split())
    assert shown.count("drift: do something about drift") == 1
    assert "by 4 %" not in shown
    assert "wanders: within 9 %; do something about wanders" in shown
