"""Conversions to ONNX: right, made once, and never half made."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from profiler.conversion import convert
from profiler.conversion.convert import Converted, convert_to_onnx, needs_conversion
from profiler.errors import ModelError, Unsupported
from profiler.forked import call_in_child
from profiler.modelfile.onnx_file import onnx_inputs
from profiler.spec import (
    ArchitectureRef,
    ArtifactRef,
    InputSpec,
    Library,
    ModelFormat,
    Precision,
    Runtime,
)
from tests.tiny import SHAPE, TinyModel

pytestmark = pytest.mark.usefixtures("engines")

Child = Callable[[Callable[[], Any]], Any]

SQUEEZENET = ArchitectureRef(library=Library.TORCHVISION, name="squeezenet1_1")
RESNET = ArchitectureRef(library=Library.TORCHVISION, name="resnet18")
SMALL_IMAGE = (InputSpec(name="x", dtype="float32", shape=(1, 3, 64, 64)),)


def artifact(path: Path, digest: str = "0" * 64) -> ArtifactRef:
    found = ModelFormat.TORCHSCRIPT if path.suffix == ".pt" else ModelFormat.EXPORTED_PROGRAM
    return ArtifactRef(digest=digest, format=found, name=path.name, size_bytes=1)


def made(
    model: ArchitectureRef | ArtifactRef,
    cache: Path,
    path: Path | None = None,
    batch_size: int = 1,
    **options: Any,
) -> Converted:
    def work() -> Converted:
        return convert_to_onnx(model, path, cache, batch_size=batch_size, **options)

    return call_in_child(work, Converted, "the conversion")


def without_exporting(*_: object, **__: object) -> None:
    raise AssertionError("it was exported again")


def run_onnx(path: Path, feed: dict[str, Any]) -> Any:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(None, feed)[0]


@pytest.mark.parametrize(
    ("runtime", "suffix", "expected"),
    [
        (Runtime.ONNXRUNTIME, ".pt", True),
        (Runtime.ONNXRUNTIME, ".pt2", True),
        (Runtime.TORCHSCRIPT, ".pt", False),
    ],
)
def test_needs_conversion(runtime: Runtime, suffix: str, expected: bool) -> None:
    assert needs_conversion(artifact(Path(f"m{suffix}")), runtime) is expected


def test_architectures_and_onnx_files() -> None:
    assert needs_conversion(RESNET, Runtime.ONNXRUNTIME)
    assert not needs_conversion(RESNET, Runtime.TORCH)
    ref = ArtifactRef(digest="0" * 64, format=ModelFormat.ONNX, name="m", size_bytes=1)
    assert not needs_conversion(ref, Runtime.ONNXRUNTIME)
    with pytest.raises(ModelError, match="already"):
        convert_to_onnx(ref, None, Path("unused"), batch_size=1)


@pytest.mark.parametrize("ref", [SQUEEZENET, RESNET], ids=lambda ref: ref.name)
def test_outputs_are_those_of_torch(in_child: Child, tmp_path: Path, ref: ArchitectureRef) -> None:
    found = made(ref, tmp_path, inputs=SMALL_IMAGE)
    assert found.exporter == "torchscript"
    x = np.random.default_rng(0).standard_normal((3, 3, 64, 64)).astype(np.float32)

    def torch_outputs() -> list[Any]:
        import torch

        from profiler.sources import build

        torch.set_num_threads(1)
        with torch.no_grad():
            return [build(ref).module(torch.from_numpy(x)).tolist()]

    (expected,) = in_child(torch_outputs)
    (actual,) = in_child(lambda: [run_onnx(found.path, {"x": x}).tolist()])
    np.testing.assert_allclose(actual, expected, rtol=1e-3, atol=1e-4)


def test_one_file_for_every_batch_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    first = made(SQUEEZENET, tmp_path, batch_size=1)
    assert capfd.readouterr().out == ""
    assert not first.cached
    assert first.batch_size is None
    assert first.parameters == 1_235_496
    assert first.size_bytes == first.path.stat().st_size
    assert onnx_inputs(first.path)[0].dims == ("batch", 3, 224, 224)
    monkeypatch.setattr(convert, "_convert", without_exporting)
    again = convert_to_onnx(SQUEEZENET, None, tmp_path, batch_size=8)
    assert again == first.model_copy(update={"cached": True})


def test_exported_program(in_child: Child, tiny: TinyModel, tmp_path: Path) -> None:
    found = made(artifact(tiny.exported), tmp_path, tiny.exported, batch_size=2)
    assert found.exporter == "dynamo"
    assert found.batch_size is None
    assert found.parameters == tiny.parameters
    assert [i.name for i in onnx_inputs(found.path)] == ["input"]
    values = in_child(lambda: run_tiny(found.path))
    np.testing.assert_allclose(values, tiny.outputs, rtol=1e-4, atol=1e-6)


def test_torchscript_file(in_child: Child, tiny: TinyModel, tmp_path: Path) -> None:
    inputs = (InputSpec(name="input", dtype="float32", shape=SHAPE),)
    ref = artifact(tiny.torchscript)
    found = made(ref, tmp_path, tiny.torchscript, batch_size=2, inputs=inputs)
    assert found.batch_size is None
    values = in_child(lambda: run_tiny(found.path))
    np.testing.assert_allclose(values, tiny.outputs, rtol=1e-4, atol=1e-6)


def run_tiny(path: Path) -> list[float]:
    from profiler.inputs import synthesize

    spec = InputSpec(name="input", dtype="float32", shape=SHAPE)
    values: list[float] = run_onnx(path, {"input": synthesize([spec], 0)[0]}).ravel().tolist()
    return values


def test_torchscript_file_without_inputs(tiny: TinyModel, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="--input"):
        made(artifact(tiny.torchscript), tmp_path, tiny.torchscript)


def test_a_batch_size_that_is_built_in(in_child: Child, tmp_path: Path) -> None:
    """Traced with a batch of 2 and good for no other: the file is kept for that batch alone."""

    def save() -> None:
        import warnings

        import torch

        class Fixed(torch.nn.Module):
            def forward(self, x: torch.Tensor) -> torch.Tensor:
                return x.reshape(2, 12).sum(1)

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            traced = torch.jit.trace(Fixed(), torch.zeros(2, 3, 4))
            torch.jit.save(traced, str(tmp_path / "fixed.pt"))

    in_child(save)
    ref, inputs = artifact(tmp_path / "fixed.pt"), (spec_of((2, 3, 4)),)
    found = made(ref, tmp_path, tmp_path / "fixed.pt", batch_size=2, inputs=inputs)
    assert found.batch_size == 2
    assert made(ref, tmp_path, tmp_path / "fixed.pt", batch_size=2, inputs=inputs).cached
    with pytest.raises(ModelError, match="batch 3"):
        made(ref, tmp_path, tmp_path / "fixed.pt", batch_size=3, inputs=(spec_of((3, 3, 4)),))
    assert len(list((tmp_path / "onnx").glob("*.onnx"))) == 1
    assert not list((tmp_path / "onnx").glob("*.tmp"))


def spec_of(shape: tuple[int, ...]) -> InputSpec:
    return InputSpec(name="x", dtype="float32", shape=shape)


def test_half_precision(tmp_path: Path) -> None:
    found = made(SQUEEZENET, tmp_path, inputs=SMALL_IMAGE, precision=Precision.FP16)
    assert onnx_inputs(found.path)[0].dtype == "float16"


def test_a_precision_without_kernels(tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match=r"precision: .*bf16.*--precision fp32"):
        made(SQUEEZENET, tmp_path, inputs=SMALL_IMAGE, precision=Precision.BF16)


def test_weights_that_no_onnx_file_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convert, "MAX_WEIGHT_BYTES", 1_000_000)
    with pytest.raises(Unsupported, match="more than an ONNX file holds"):
        made(SQUEEZENET, tmp_path)


def key(model: ArchitectureRef | ArtifactRef = SQUEEZENET, **changes: Any) -> str:
    options = {"inputs": None, "batch_size": 1, "precision": Precision.FP32, **changes}
    return convert._key(model, **{"resolution": None} | options)


def test_what_the_key_depends_on() -> None:
    image = InputSpec(name="x", dtype="float32", shape=(1, 3, 64, 64))
    distinct = [
        key(),
        key(SQUEEZENET.model_copy(update={"seed": 1})),
        key(RESNET),
        key(precision=Precision.FP16),
        key(resolution=(160, 160)),
        key(resolution=(160, 128)),
        key(inputs=(image,)),
        key(inputs=(image.model_copy(update={"shape": (1, 3, 64, 32)}),)),
        key(artifact(Path("m.pt2"))),
        key(artifact(Path("m.pt2"), digest="1" * 64)),
    ]
    assert len(set(distinct)) == len(distinct)


def test_what_the_key_does_not_depend_on() -> None:
    assert key() == key(batch_size=8)
    one, eight = (InputSpec(name="x", dtype="float32", shape=(n, 3, 64, 64)) for n in (1, 8))
    assert key(inputs=(one,)) == key(inputs=(eight,), batch_size=8)
    assert key(artifact(Path("a.pt2"))) == key(artifact(Path("b.pt2")))


def test_a_new_version_of_torch_converts_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    before = key()
    monkeypatch.setattr(convert, "installed_version", lambda name: f"{name} next")
    assert key() != before


@pytest.mark.parametrize("damage", ["no note", "half a note", "half a file"])
def test_what_was_interrupted_is_made_anew(tmp_path: Path, damage: str) -> None:
    first = made(SQUEEZENET, tmp_path, inputs=SMALL_IMAGE)
    note = first.path.with_suffix(".json")
    if damage == "no note":
        note.unlink()
    elif damage == "half a note":
        note.write_bytes(note.read_bytes()[:50])
    else:
        first.path.write_bytes(first.path.read_bytes()[:1000])
    again = made(SQUEEZENET, tmp_path, inputs=SMALL_IMAGE)
    assert not again.cached
    assert again.digest == first.digest


def test_two_at_once_export_once(tmp_path: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        both = list(pool.map(lambda _: made(SQUEEZENET, tmp_path, inputs=SMALL_IMAGE), range(2)))
    assert sorted(each.cached for each in both) == [False, True]
    assert both[0].digest == both[1].digest


def test_other_outputs_are_never_taken(in_child: Child, tiny: TinyModel) -> None:
    def compare(change: float) -> bool:
        from profiler.conversion.check import same_outputs
        from tests.tiny import tiny_module

        module = tiny_module()
        spec = InputSpec(name="input", dtype="float32", shape=SHAPE)
        same_outputs(tiny.onnx, lambda x: module(x) + change, (spec,), Precision.FP32)
        return True

    assert in_child(lambda: compare(0.0))
    with pytest.raises(ModelError, match="output 0 differs"):
        in_child(lambda: compare(0.1))


def test_every_exporters_failure_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_source: object, exporter: str, batch_size: int | None, _path: Path) -> None:
        raise ValueError(f"no {exporter}")

    monkeypatch.setattr(convert, "export_checked", fail)
    message = r"torchscript, any batch: no torchscript; .*; dynamo, batch 1: no dynamo\); use"
    with pytest.raises(ModelError, match=message):
        made(SQUEEZENET, tmp_path)
