"""The generated JSON has Grafana's types: what it would silently ignore is seen here."""

from __future__ import annotations

import copy
import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dashboards import shipped
from tests.tools import need_npm_packages, need_program

HERE = Path(__file__).parent
SETTINGS = {
    "compilerOptions": {
        "strict": True,
        "noEmit": True,
        "skipLibCheck": True,
        "module": "esnext",
        "moduleResolution": "bundler",
        "target": "es2022",
        "types": [],
    },
    "include": ["*.ts"],
}

Board = dict[str, Any]
Check = Callable[[dict[str, Board]], dict[str, list[str]]]


@pytest.fixture(scope="module")
def compiled(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Check:
    """Boards by a name → what the compiler says of each that it has something to say of."""
    node = need_program("node")
    assert pytestconfig.cache is not None
    packages = need_npm_packages(HERE / "package.json", pytestconfig.cache.mkdir("grafana-schema"))

    def check(boards: dict[str, Board]) -> dict[str, list[str]]:
        directory = tmp_path_factory.mktemp("types")
        (directory / "node_modules").symlink_to(packages / "node_modules")
        (directory / "tsconfig.json").write_text(json.dumps(SETTINGS))
        (directory / "check.ts").write_text((HERE / "check.ts").read_text())
        for name, board in boards.items():
            (directory / f"{name}.ts").write_text(
                "import type { Board } from './check';\n"
                f"export const board = {json.dumps(board, indent=1)} satisfies Board;\n"
            )
        compiler = packages / "node_modules" / "typescript" / "bin" / "tsc"
        done = subprocess.run(
            [node, str(compiler), "-p", str(directory), "--pretty", "false"],
            cwd=directory,
            capture_output=True,
            text=True,
            check=False,
            timeout=240,
        )
        found: dict[str, list[str]] = {}
        for line in done.stdout.splitlines():
            if name := re.match(r"([\w-]+)\.ts\(", line):
                found.setdefault(name[1], []).append(line)
        assert bool(found) == bool(done.returncode), done.stdout + done.stderr
        return found

    return check


def _first(board: Board, kind: str) -> Board:
    return next(panel for panel in board["panels"] if panel["type"] == kind)


def _wrong_enum(board: Board) -> None:
    _first(board, "timeseries")["options"]["legend"]["displayMode"] = "tabel"


def _wrong_option(board: Board) -> None:
    _first(board, "stat")["options"]["colourMode"] = "value"


def _wrong_custom_field(board: Board) -> None:
    _first(board, "timeseries")["fieldConfig"]["defaults"]["custom"]["lineWidht"] = 2


def _number_as_text(board: Board) -> None:
    _first(board, "table")["gridPos"]["w"] = "24"


def _unknown_kind(board: Board) -> None:
    _first(board, "stat")["type"] = "stats"


def _query_without_its_letter(board: Board) -> None:
    del _first(board, "stat")["targets"][0]["refId"]


def _wrong_refresh_of_a_variable(board: Board) -> None:
    board["templating"]["list"][1]["refresh"] = 7


def _wrong_key_of_the_board(board: Board) -> None:
    board["graphToolTip"] = 1


FAULTS = (
    _wrong_enum, _wrong_option, _wrong_custom_field, _number_as_text, _unknown_kind,
    _query_without_its_letter, _wrong_refresh_of_a_variable, _wrong_key_of_the_board,
)  # fmt: skip


def test_boards_have_the_types_of_grafana_and_faults_are_seen(compiled: Check) -> None:
    """Together, for the compiler takes seconds to start."""
    boards = shipped.boards()
    faulty = {}
    for fault in FAULTS:
        board = copy.deepcopy(boards["fleetmark-fleet"])
        fault(board)
        faulty[fault.__name__] = board
    found = compiled(boards | faulty)
    assert {name: found[name] for name in boards if name in found} == {}
    assert set(found) == set(faulty)
