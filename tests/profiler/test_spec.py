"""What can be asked for is bounded, frozen, and free of unknown keys."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from profiler.spec import (
    ArchitectureRef,
    ArtifactRef,
    InputSpec,
    ModelFormat,
    RunSpec,
    Runtime,
    WarmupSpec,
)
from tests.builders import RESNET, make_artifact, make_spec


def test_the_smallest_spec_has_the_protocols_defaults() -> None:
    spec = RunSpec(model=RESNET, runtime=Runtime.TORCH)
    assert spec.repetitions == 7
    assert spec.batch_size == 1
    assert spec.threads is None
    assert spec.warmup.min_iterations == 10
    assert spec.sample_hertz == 10


def test_a_spec_cannot_be_changed() -> None:
    spec = make_spec()
    with pytest.raises(ValidationError, match="frozen"):
        spec.batch_size = 2  # type: ignore[misc]


def test_an_unknown_key_is_an_error_at_every_depth() -> None:
    for data in (
        {"batchsize": 2},
        {"warmup": {"iterations": 3}},
        {"model": RESNET.model_dump() | {"weights": "DEFAULT"}},
    ):
        with pytest.raises(ValidationError, match="Extra inputs"):
            make_spec(**data)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("batch_size", 0),
        ("batch_size", -1),
        ("batch_size", 65_537),
        ("batch_size", 1.5),
        ("threads", 0),
        ("threads", 1025),
        ("repetitions", 0),
        ("repetitions", 101),
        ("max_time_seconds", 0),
        ("max_time_seconds", float("nan")),
        ("max_time_seconds", float("inf")),
        ("timeout_seconds", -1),
        ("memory_limit_bytes", 0),
        ("sample_hertz", 21),
        ("sample_hertz", -1),
        ("idle_seconds", -1),
        ("seed", -1),
        ("seed", 2**63),
        ("accelerator", "gpu"),
        ("accelerator", "cuda:"),
        ("accelerator", "cuda:0\n"),
        ("accelerator", "cuda:0; rm"),
        ("scenario", "burst"),
        ("runtime", "tensorrt"),
        ("precision", "int8"),
    ],
)
def test_what_is_out_of_bounds_is_refused(field: str, value: Any) -> None:
    with pytest.raises(ValidationError, match=field):
        make_spec(**{field: value})


@pytest.mark.parametrize("accelerator", ["auto", "cpu", "cuda", "cuda:0", "cuda:13"])
def test_accelerators(accelerator: str) -> None:
    assert make_spec(accelerator=accelerator).accelerator == accelerator


@pytest.mark.parametrize("name", ["", "a/b", "../x", "a b", "x" * 201, "resnet18\n", "a;b"])
def test_an_architecture_has_a_plain_name(name: str) -> None:
    with pytest.raises(ValidationError):
        ArchitectureRef(library="torchvision", name=name)  # type: ignore[arg-type]


@pytest.mark.parametrize("digest", ["", "a" * 63, "A" * 64, "g" * 64, "../" + "a" * 61, "a" * 65])
def test_an_artifact_has_a_digest(digest: str) -> None:
    with pytest.raises(ValidationError):
        make_artifact(digest=digest)


def test_no_pickle_is_among_the_formats() -> None:
    assert {f.value for f in ModelFormat} == {"torchscript", "exported_program", "onnx"}


def test_a_model_is_told_by_its_kind() -> None:
    artifact = make_artifact()
    assert isinstance(make_spec(model=artifact.model_dump()).model, ArtifactRef)
    assert isinstance(make_spec(model=RESNET.model_dump()).model, ArchitectureRef)
    with pytest.raises(ValidationError, match="kind"):
        make_spec(model={"name": "resnet18", "library": "torchvision"})


@pytest.mark.parametrize(
    ("dtype", "shape"), [("complex64", (1,)), ("object", (1,)), ("float32", (-1,)), ("", (1,))]
)
def test_inputs_are_of_known_kinds_and_sizes(dtype: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValidationError):
        InputSpec(name="x", dtype=dtype, shape=shape)


@given(
    batch_size=st.integers(1, 65_536),
    threads=st.none() | st.integers(1, 1024),
    seconds=st.floats(0.001, 86_400),
    runtime=st.sampled_from(list(Runtime)),
    shape=st.lists(st.integers(0, 2**31), max_size=6),
)
def test_json_and_back_is_the_same(
    batch_size: int, threads: int | None, seconds: float, runtime: Runtime, shape: list[int]
) -> None:
    spec = make_spec(
        batch_size=batch_size,
        threads=threads,
        max_time_seconds=seconds,
        runtime=runtime,
        inputs=(InputSpec(name="x", dtype="float32", shape=tuple(shape)),),
        warmup=WarmupSpec(min_iterations=3),
    )
    assert RunSpec.model_validate_json(spec.model_dump_json()) == spec
