"""Signatures, overrides and the contents of inputs."""

from __future__ import annotations

import numpy as np
import pytest

from profiler.errors import InputError, ModelError, Unsupported
from profiler.inputs import SignatureInput, parse_input, resolve, synthesize
from profiler.spec import InputSpec

IMAGE = SignatureInput(name="x", dtype="float32", dims=("batch", 3, 8, 8))


def spec(name: str = "x", dtype: str = "float32", *shape: int) -> InputSpec:
    return InputSpec(name=name, dtype=dtype, shape=shape)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x:float32:1x3x224x224", spec("x", "float32", 1, 3, 224, 224)),
        ("serving_default:0:int64:4x128", spec("serving_default:0", "int64", 4, 128)),
        ("flag:bool:scalar", spec("flag", "bool")),
        ("n:uint8:7", spec("n", "uint8", 7)),
    ],
)
def test_parse(text: str, expected: InputSpec) -> None:
    assert parse_input(text) == expected


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "name:dtype:shape"),
        ("x:float32", "name:dtype:shape"),
        (":float32:1", "name:dtype:shape"),
        ("x:float31:1", "dtype 'float31'"),
        ("x:float32:", "shape"),
        ("x:float32:1x", "shape"),
        ("x:float32:-1x3", "shape"),
        ("x:float32:batchx3", "shape"),
        ("x:float32:9999999999", "less than or equal"),
        ("x" * 201 + ":float32:1", "at most 200"),
    ],
)
def test_parse_refuses(text: str, problem: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_input(text)
    assert problem in caught.value.problem
    assert caught.value.field == "input"
    assert caught.value.remedy


@pytest.mark.parametrize("batch_size", [1, 8])
def test_batch_size_takes_the_open_dimension(batch_size: int) -> None:
    (resolved,) = resolve((IMAGE,), batch_size, None)
    assert resolved == spec("x", "float32", batch_size, 3, 8, 8)


def test_a_fixed_batch_dimension_is_kept_or_refused() -> None:
    fixed = SignatureInput(name="x", dtype="float32", dims=(4, 3))
    assert resolve((fixed,), 4, None) == (spec("x", "float32", 4, 3),)
    with pytest.raises(Unsupported, match=r"batch_size: 2 .*'x' to 4"):
        resolve((fixed,), 2, None)


def test_an_open_dimension_that_is_not_the_batch() -> None:
    text = SignatureInput(name="ids", dtype="int64", dims=("batch", "length"))
    with pytest.raises(ModelError, match=r"dimension 1 \(length\)"):
        resolve((text,), 1, None)
    assert resolve((text,), 2, [spec("ids", "int64", 2, 16)])[0].shape == (2, 16)


def test_order_is_the_models_and_the_rest_is_filled() -> None:
    mask = SignatureInput(name="mask", dtype="bool", dims=("batch", 4))
    resolved = resolve((IMAGE, mask), 2, [spec("mask", "bool", 2, 4)])
    assert [each.name for each in resolved] == ["x", "mask"]
    assert resolved[0].shape == (2, 3, 8, 8)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (spec("y", "float32", 1, 3, 8, 8), r"no input 'y'; it expects x:float32:batchx3x8x8"),
        (spec("x", "int64", 1, 3, 8, 8), r"input 'x': dtype int64 given, float32 expected"),
        (spec("x", "float32", 1, 3, 8), r"input 'x': rank 3 given \(1x3x8\), rank 4 expected"),
        (spec("x", "float32", 1, 4, 8, 8), r"input 'x': shape 1x4x8x8 given, .*batchx3x8x8"),
        (spec("x", "float32", 2, 3, 8, 8), r"batch_size: 1 asked for, .* start with 2"),
    ],
)
def test_overrides_that_do_not_fit(override: InputSpec, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        resolve((IMAGE,), 1, [override])


def test_usual_sizes_may_be_overridden_but_not_the_rank() -> None:
    usual = IMAGE.model_copy(update={"fixed": False})
    assert resolve((usual,), 1, [spec("x", "float32", 1, 3, 64, 96)])[0].shape == (1, 3, 64, 96)
    assert resolve((usual,), 1, None)[0].shape == (1, 3, 8, 8)
    with pytest.raises(ModelError, match="rank 3 given"):
        resolve((usual,), 1, [spec("x", "float32", 1, 64, 96)])


def test_without_a_signature_the_inputs_must_be_given() -> None:
    with pytest.raises(ModelError, match="--input"):
        resolve(None, 1, None)
    assert resolve(None, 2, [spec("x", "float32", 2, 5)]) == (spec("x", "float32", 2, 5),)


def test_an_input_of_unknown_rank_must_be_given() -> None:
    unknown = SignatureInput(name="x", dtype="float32", dims=None)
    with pytest.raises(ModelError, match="does not tell its shape"):
        resolve((unknown,), 1, None)
    assert resolve((unknown,), 1, [spec("x", "float32", 1, 9)])[0].shape == (1, 9)


def test_a_type_that_cannot_be_made_up() -> None:
    text = SignatureInput(name="words", dtype="string", dims=("batch",))
    with pytest.raises(Unsupported, match=r"words.*string"):
        resolve((text,), 1, None)


def test_contents_are_reproducible_and_independent() -> None:
    two = [spec("a", "float32", 3, 4), spec("b", "float32", 3, 4)]
    first, second = synthesize(two, 5)
    assert np.array_equal(first, synthesize(two, 5)[0])
    assert np.array_equal(first, synthesize(two[:1], 5)[0])
    assert not np.array_equal(first, second)
    assert not np.array_equal(first, synthesize(two, 6)[0])


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_floats_are_standard_normal(dtype: str) -> None:
    (array,) = synthesize([spec("x", dtype, 100, 100)], 0)
    assert array.dtype == np.dtype(dtype)
    assert abs(float(array.mean())) < 0.05
    assert 0.95 < float(array.std()) < 1.05


@pytest.mark.parametrize("dtype", ["int64", "int32", "int16", "int8", "uint8", "bool"])
def test_whole_numbers_are_zero_and_one(dtype: str) -> None:
    (array,) = synthesize([spec("x", dtype, 100)], 0)
    assert array.dtype == np.dtype(dtype)
    assert set(array.tolist()) == {0, 1}


def test_a_scalar() -> None:
    (array,) = synthesize([spec("x", "float32")], 0)
    assert array.shape == ()


PHOTO = SignatureInput(name="x", dtype="float32", dims=("batch", 3, 224, 224), fixed=False)


def test_a_resolution_replaces_height_and_width_of_images_only() -> None:
    tokens = SignatureInput(name="ids", dtype="int64", dims=("batch", 16))
    found = resolve((PHOTO, tokens), 2, None, (160, 128))
    assert [spec.shape for spec in found] == [(2, 3, 160, 128), (2, 16)]


def test_a_resolution_of_a_video_leaves_its_frames() -> None:
    video = PHOTO.model_copy(update={"dims": ("batch", 3, 16, 112, 112)})
    assert resolve((video,), 1, None, (64, 64))[0].shape == (1, 3, 16, 64, 64)


def test_a_resolution_that_the_model_does_not_take_is_refused() -> None:
    fixed = PHOTO.model_copy(update={"fixed": True})
    assert resolve((fixed,), 1, None, (224, 224))[0].shape == (1, 3, 224, 224)
    with pytest.raises(Unsupported, match="resolution: 160x160 asked for, but the model fixes x"):
        resolve((fixed,), 1, None, (160, 160))
    tokens = SignatureInput(name="ids", dtype="int64", dims=("batch", 16))
    with pytest.raises(Unsupported, match="no input is an image: ids:int64:batchx16"):
        resolve((tokens,), 1, None, (160, 160))
    with pytest.raises(Unsupported, match="does not declare its inputs"):
        resolve(None, 1, None, (160, 160))


def test_open_dimensions_of_an_image_are_filled_by_the_resolution() -> None:
    declared = SignatureInput(name="x", dtype="float32", dims=("batch", 3, None, "width"))
    assert resolve((declared,), 4, None, (32, 48))[0].shape == (4, 3, 32, 48)
