"""The table of sources: what is found, what is absent, and what may be asked for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from profiler.errors import InputError
from profiler.sensors.discover import ENERGY_SOURCES, SOURCES, discover, open_sources

TREES = Path(__file__).parents[1] / "fixtures" / "sysfs"


def open_files() -> list[str]:
    return sorted(entry.name for entry in Path("/proc/self/fd").iterdir())


def test_every_source_is_found_or_absent_with_a_reason() -> None:
    found = discover(TREES / "virtual-machine", only=("rapl", "system", "thermal"))
    assert {c.source for c in found.channels} == {"system"}
    assert {a.source for a in found.absent} == {"rapl", "thermal"}
    assert all(a.reason for a in found.absent)


def test_channels_are_unique_within_a_device() -> None:
    keys = [c.key for c in discover(TREES / "intel-desktop").channels]
    assert len(keys) == len(set(keys))


def test_only_the_sources_asked_for_are_opened_in_the_order_of_the_table() -> None:
    sources, absent = open_sources(TREES / "intel-desktop", only=("system", "rapl"))
    for source in sources:
        source.close()
    assert [s.name for s in sources] == ["rapl", "system"]
    assert absent == []


def test_an_empty_choice_opens_nothing() -> None:
    assert open_sources(TREES / "intel-desktop", only=()) == ([], [])


def test_a_name_that_is_none_is_refused_with_the_names_that_are() -> None:
    with pytest.raises(InputError, match=r"'raple' is no sensor source.*rapl, rapl_perf, nvml"):
        discover(TREES / "intel-desktop", only=("raple",))


def test_discover_leaves_no_file_open() -> None:
    discover(TREES / "intel-desktop")
    before = open_files()
    discover(TREES / "intel-desktop")
    assert open_files() == before


@pytest.mark.parametrize("tree", ["broken", "amd-two-sockets", "virtual-machine"])
def test_no_tree_makes_a_source_raise(tree: str) -> None:
    discover(TREES / tree)


def test_names_are_unique_and_the_energy_sources_are_among_them() -> None:
    names = [entry.name for entry in SOURCES]
    assert len(names) == len(set(names))
    assert set(names) > ENERGY_SOURCES


def test_no_engine_and_no_driver_is_imported_with_the_sampler() -> None:
    code = (
        "import sys, profiler.sensors.sampler, profiler.energy.summary;"
        "heavy = {'torch', 'onnxruntime', 'pynvml', 'ray', 'ssl', 'http.client'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "[]\n"
