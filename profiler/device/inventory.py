"""``python -m profiler.device.inventory``: what the Python that measures has, as JSON on stdout.

A program of its own, because that Python may be another than the agent's, and because the
catalogues of architectures need the libraries that the agent must not load.
"""

from __future__ import annotations

import os
import sys

from profiler.base import Frozen
from profiler.runtimes.table import RuntimeStatus, available
from profiler.spec import Library


class Catalogs(Frozen):
    """Names of the architectures that can be built here, per library."""

    torchvision: tuple[str, ...] = ()
    timm: tuple[str, ...] = ()

    def names(self, library: Library) -> tuple[str, ...]:
        return self.torchvision if library is Library.TORCHVISION else self.timm


class Software(Frozen):
    """Engines and architectures of one Python."""

    runtimes: tuple[RuntimeStatus, ...]
    catalogs: Catalogs


def read_software() -> Software:
    """Look at this Python. Imports torchvision and timm where they are installed."""
    from profiler.sources import catalog

    names = catalog()
    return Software(
        runtimes=available(),
        catalogs=Catalogs(
            torchvision=names.get(Library.TORCHVISION, ()), timm=names.get(Library.TIMM, ())
        ),
    )


def main() -> int:
    # What a library prints while it is imported must not end up in the JSON.
    answer = os.dup(1)
    os.dup2(2, 1)
    text = read_software().model_dump_json()
    with os.fdopen(answer, "w", encoding="utf-8") as file:
        file.write(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
