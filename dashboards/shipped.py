"""The boards as they are shipped: generated JSON, read without anything that Grafana needs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

DIRECTORY = Path(__file__).parent / "json"
# Of the datasource that deploy/grafana provisions; boards take whichever one is chosen.
DATASOURCE_UID = "fleetmark-prometheus"


def boards() -> dict[str, dict[str, Any]]:
    """Every board, by its uid."""
    found = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(DIRECTORY.iterdir())]
    return {board["uid"]: board for board in found}


def as_text(board: dict[str, Any]) -> str:
    """A board as its file."""
    return json.dumps(board, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def with_choices(
    board: dict[str, Any], datasource_uid: str | None, coordinator_url: str | None
) -> dict[str, Any]:
    """The board that opens with this datasource, and leads to this coordinator's page."""
    chosen = {"datasource": datasource_uid, "coordinator": coordinator_url}
    variables = []
    for variable in board["templating"]["list"]:
        value = chosen.get(variable["name"])
        if value is not None:
            current = {"selected": True, "text": value, "value": value}
            variable = variable | {"current": current}  # noqa: PLW2901 - ours, changed
            if variable["name"] == "coordinator":
                variable = variable | {"query": value}  # noqa: PLW2901
        variables.append(variable)
    return board | {"templating": {"list": variables}}
