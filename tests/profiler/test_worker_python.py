"""The measured process under a Python that has no Ray: a Jetson's vendor Python is one."""

from __future__ import annotations

import subprocess
import sysconfig
import venv
from pathlib import Path

import pytest

from profiler.events import Phase, ProgressEvent, WorkerRequest
from profiler.result import RunStatus
from profiler.session import run_worker
from profiler.spec import ArchitectureRef, Library, RunSpec, Runtime

# What the fleet needs and the measured process must do without.
LEFT_OUT = ("ray", "fastapi", "sqlalchemy", "httpx", "typer", "rich", "prometheus_client")


@pytest.fixture(scope="module")
def vendor_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with all that is installed here but for the fleet's packages."""
    directory = tmp_path_factory.mktemp("vendor")
    venv.EnvBuilder(with_pip=False, symlinks=True).create(directory)
    ours = Path(sysconfig.get_paths()["purelib"])
    theirs = Path(
        sysconfig.get_path("purelib", vars={"base": str(directory), "platbase": str(directory)})
    )
    for entry in ours.iterdir():
        if not entry.name.lower().startswith(LEFT_OUT):
            (theirs / entry.name).symlink_to(entry)
    return directory / "bin" / "python"


def test_the_vendor_python_has_no_ray(vendor_python: Path) -> None:
    for name in LEFT_OUT:
        done = subprocess.run(
            [vendor_python, "-c", f"import {name}"], capture_output=True, check=False
        )
        assert b"ModuleNotFoundError" in done.stderr, name


def test_a_run_under_it(vendor_python: Path, tmp_path: Path) -> None:
    spec = RunSpec(
        model=ArchitectureRef(library=Library.TORCHVISION, name="squeezenet1_1"),
        runtime=Runtime.TORCH,
        max_time_seconds=0.5,
        repetitions=2,
        threads=1,
    )
    request = WorkerRequest(
        run_id="vendor", device="here", spec=spec, cache_dir=tmp_path / "cache", work_dir=tmp_path
    )
    seen: list[ProgressEvent] = []
    result = run_worker(request, python=str(vendor_python), on_progress=seen.append)
    assert result.status is RunStatus.SUCCEEDED, result.error
    assert result.threads == 1
    assert len(result.repetitions) == 2
    assert {event.phase for event in seen} >= {Phase.LOADING, Phase.MEASURING, Phase.MEMORY}
    assert [event.fraction for event in seen] == sorted(event.fraction for event in seen)


def test_the_agents_inventory_under_it(vendor_python: Path) -> None:
    done = subprocess.run(
        [vendor_python, "-m", "profiler.device.inventory"],
        capture_output=True,
        check=True,
        text=True,
    )
    assert "resnet18" in done.stdout
