"""Nothing heavy is loaded on the way to ``--help``, nor by ``import profiler``."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = {
    "torch", "torchvision", "timm", "onnxruntime", "onnx", "onnxscript", "ray", "fastapi",
    "uvicorn", "sqlalchemy", "alembic", "pyarrow", "scipy", "numpy", "prometheus_client",
    "grafana_client", "grafana_foundation_sdk", "requests",
}  # fmt: skip

REPORT = (
    "\nimport json, sys\nprint('\\n' + json.dumps(sorted({m.split('.')[0] for m in sys.modules})))"
)
HELP = "from agents.cli.main import run\nassert run({arguments!r}) == 0"


def loaded_by(code: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", code + REPORT], capture_output=True, check=True, text=True
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_the_check_sees_what_is_loaded() -> None:
    assert "numpy" in loaded_by("import numpy")


@pytest.mark.parametrize(
    "code",
    [
        "import profiler",
        "import profiler.spec, profiler.result, profiler.events, profiler.errors",
        HELP.format(arguments=["--help"]),
        HELP.format(arguments=["--version"]),
        HELP.format(arguments=["run", "--help"]),
        HELP.format(arguments=["coordinator", "--help"]),
        HELP.format(arguments=["agent", "--help"]),
        HELP.format(arguments=["dashboards", "push", "--help"]),
    ],
    ids=["profiler", "types", "help", "version", "run", "coordinator", "agent", "dashboards"],
)
def test_nothing_heavy_is_loaded(code: str) -> None:
    assert not loaded_by(code) & HEAVY


def test_listing_engines_imports_none() -> None:
    code = "from profiler.runtimes.table import available\nassert available()"
    assert not loaded_by(code) & (HEAVY - {"numpy"})
