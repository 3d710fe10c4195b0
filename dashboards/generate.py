"""``python -m dashboards.generate``: writes the boards to ``dashboards/json``.

Needs grafana-foundation-sdk, which only those who change a board have.
"""

from __future__ import annotations

import json
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from dashboards.boards import compare, device, fleet, latency

OUTPUT = Path(__file__).parent / "json"


def generated() -> dict[str, str]:
    """Every board, by the name of its file."""
    boards = [module.build() for module in (fleet, latency, device, compare)]
    return {
        f"{board.uid}.json": json.dumps(
            board, cls=JSONEncoder, indent=2, sort_keys=True, ensure_ascii=False
        )
        + "\n"
        for board in boards
    }


def main() -> None:
    OUTPUT.mkdir(exist_ok=True)
    for name, text in generated().items():
        (OUTPUT / name).write_text(text, encoding="utf-8")
        print(OUTPUT / name)


if __name__ == "__main__":
    main()
