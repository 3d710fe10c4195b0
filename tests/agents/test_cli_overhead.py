"""``fleetmark overhead``: what is kept as this device's figure, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from agents.cli.overhead import of_this_device, overhead
from profiler.errors import InputError
from profiler.overhead.plan import Subject
from profiler.result import Interval, Overhead, OverheadFigure
from tests.builders import NOW


def figure(subject: Subject) -> OverheadFigure:
    interval = Interval(value=0.001, low=-0.001, high=0.003)
    return OverheadFigure(
        what=subject.value, relative=interval, pairs=24, control=interval, passes=True
    )


def test_what_a_recorded_tree_costs_is_no_figure_of_this_device() -> None:
    subjects = (Subject.SAMPLER, Subject.RECORDED, Subject.FLEET)
    found = Overhead(measured_at=NOW, model="m", runtime="r", figures=tuple(map(figure, subjects)))
    assert [each.what for each in of_this_device(found).figures] == ["sampler", "fleet"]


@pytest.mark.parametrize("threads", ["many", "0", "1,2"])
def test_threads_are_one_number(threads: str) -> None:
    with pytest.raises(InputError) as caught:
        overhead(threads=threads)
    assert (caught.value.field, caught.value.value) == ("threads", threads)


def test_a_root_that_is_no_folder_is_refused_before_anything_runs(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"root: .* is no folder") as caught:
        overhead(root=tmp_path / "gone")
    assert caught.value.field == "root"
