"""One request, and every point of its sweep; what `run` measures is what a fleet would."""

from __future__ import annotations

from agents.cli.asked import Asked
from agents.coordinator.expand import expand
from agents.messages import Axes
from agents.points import OF_THE_JOB, number_of_points, points
from profiler.spec import RunSpec, Runtime
from tests.agents.test_expand import record
from tests.builders import make_request


def test_every_combination_is_a_point_of_its_own() -> None:
    axes = Axes(batch_size=(1, 8), threads=(1, 2), resolution=((64, 64), (96, 128), None))
    request = make_request(axes=axes)
    found = points(request)
    assert number_of_points(request) == len(found) == 12
    assert len({(s.batch_size, s.threads, s.resolution) for s in found}) == 12


def test_an_axis_is_a_field_of_the_specification_and_so_is_the_rest() -> None:
    assert set(Axes.model_fields) <= set(RunSpec.model_fields)
    assert set(type(make_request()).model_fields) - OF_THE_JOB <= set(RunSpec.model_fields)


def test_without_a_runtime_it_is_the_models_own() -> None:
    assert {spec.runtime for spec in points(make_request(axes=Axes()))} == {Runtime.TORCH}


def test_here_and_in_a_fleet_the_same_options_measure_the_same() -> None:
    asked = Asked(
        "torchvision:resnet18", batch_size="1,8", threads="2", scenario="sustained",
        settle_time=30, target="0.5%", percentile="p99", memory_limit=512, seed=3,
    )  # fmt: skip
    request, path = asked.request()
    assert path is None
    here = points(request)
    assert {spec.batch_size for spec in here} == {1, 8}
    assert all(spec.settle_seconds == 30 and spec.repetitions == 1 for spec in here)
    assert all(spec.stop.relative_half_width == 0.005 for spec in here)
    there = [spec for _, spec in expand(request, (record(),))]
    assert sorted(here, key=repr) == sorted(there, key=repr)


def test_a_bound_is_on_the_tail_unless_something_else_is_asked_for() -> None:
    for percentile, bound_on in ((None, "p99"), ("p50", "p50"), ("p90", "p90")):
        asked = Asked("torchvision:resnet18", scenario="server", latency_bound=0.1,
                      percentile=percentile)  # fmt: skip
        server = asked.request()[0].server
        assert server is not None
        assert server.percentile == bound_on
