"""Every engine over the same models. Each load is in a forked child, as in a worker."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from profiler.errors import ModelError, RunFailure, Unsupported
from profiler.runtimes import table
from profiler.runtimes.base import LoadRequest
from profiler.runtimes.table import adapter_for, available, default_runtime
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

Child = Callable[[Callable[[], Any]], Any]

SQUEEZENET = ArchitectureRef(library=Library.TORCHVISION, name="squeezenet1_1")
SMALL_IMAGE = (InputSpec(name="x", dtype="float32", shape=(2, 3, 64, 64)),)
TINY_INPUT = (InputSpec(name="input", dtype="float32", shape=SHAPE),)
TORCH_RUNTIMES = (Runtime.TORCH, Runtime.TORCHSCRIPT, Runtime.TORCH_EXPORT)


def artifact(path: Path) -> ArtifactRef:
    found = {
        ".pt": ModelFormat.TORCHSCRIPT,
        ".pt2": ModelFormat.EXPORTED_PROGRAM,
        ".onnx": ModelFormat.ONNX,
    }[path.suffix]
    return ArtifactRef(digest="0" * 64, format=found, name=path.name, size_bytes=1)


def request(model: ArchitectureRef | Path, **changes: Any) -> LoadRequest:
    base = {
        "model": artifact(model) if isinstance(model, Path) else model,
        "model_path": model if isinstance(model, Path) else None,
        "precision": Precision.FP32,
        "accelerator": "cpu",
        "threads": 1,
        "batch_size": 2,
        "inputs": None,
        "seed": 0,
    }
    return LoadRequest(**{**base, **changes})


def describe(runtime: Runtime, wanted: LoadRequest) -> dict[str, Any]:
    adapter = adapter_for(runtime)
    adapter.preload()
    loaded = adapter.load(wanted)
    outputs = loaded.outputs()
    return {
        "inputs": [(i.name, i.dtype, i.shape) for i in loaded.inputs],
        "precision": loaded.precision,
        "accelerator": loaded.accelerator,
        "threads": loaded.threads,
        "parameters": loaded.parameters,
        "fallback": loaded.fallback,
        "waits": loaded.synchronize is not None,
        "peak": loaded.accelerator_peak_bytes(),
        "types": [type(output).__name__ for output in outputs],
        "shapes": [output.shape for output in outputs],
        "values": [float(v) for output in outputs for v in output.ravel()],
    }


@pytest.fixture
def run(in_child: Child) -> Callable[..., dict[str, Any]]:
    return lambda runtime, wanted: in_child(lambda: describe(runtime, wanted))


def failure(in_child: Child, runtime: Runtime, wanted: LoadRequest) -> RunFailure:
    with pytest.raises(RunFailure) as caught:
        in_child(lambda: describe(runtime, wanted))
    return caught.value


# The table


def test_importing_the_table_imports_no_engine() -> None:
    code = (
        "import sys, profiler.runtimes, profiler.runtimes.table as t\n"
        "t.available(); [t.adapter_for(r).version() for r in t.Runtime]\n"
        "print({'torch', 'onnxruntime', 'numpy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_available_tells_versions() -> None:
    import importlib.metadata

    found = {status.runtime: status for status in available()}
    assert set(found) == set(Runtime)
    assert found[Runtime.ONNXRUNTIME].version == importlib.metadata.version("onnxruntime")
    assert found[Runtime.TORCH].installed


def test_available_tells_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table.importlib.util, "find_spec", lambda _: None)
    for status in available():
        assert not status.installed
        assert "not installed" in str(status.reason)
        assert "pip install" in str(status.remedy)


def test_a_package_without_metadata_is_installed_all_the_same() -> None:
    assert table.installed_version("no-such-distribution") == "unknown"


@pytest.mark.parametrize(
    ("suffix", "expected"),
    [
        (".pt", Runtime.TORCHSCRIPT),
        (".pt2", Runtime.TORCH_EXPORT),
        (".onnx", Runtime.ONNXRUNTIME),
    ],
)
def test_default_runtime(suffix: str, expected: Runtime) -> None:
    assert default_runtime(artifact(Path(f"m{suffix}"))) is expected
    assert default_runtime(SQUEEZENET) is Runtime.TORCH


# What runs


@pytest.mark.parametrize(
    ("runtime", "attribute"),
    [
        (Runtime.TORCHSCRIPT, "torchscript"),
        (Runtime.TORCH_EXPORT, "exported"),
        (Runtime.ONNXRUNTIME, "onnx"),
    ],
)
def test_files(
    run: Callable[..., dict[str, Any]], tiny: TinyModel, runtime: Runtime, attribute: str
) -> None:
    found = run(runtime, request(getattr(tiny, attribute), inputs=TINY_INPUT))
    assert found["inputs"] == [["input", "float32", list(SHAPE)]]
    assert found["precision"] == "fp32"
    assert found["accelerator"] == "cpu"
    assert found["threads"] == 1
    assert found["fallback"] is None
    assert not found["waits"]
    assert found["peak"] is None
    assert found["types"] == ["ndarray"]
    assert found["shapes"] == [[2, 5]]
    np.testing.assert_allclose(found["values"], tiny.outputs, rtol=1e-4, atol=1e-6)


def test_architecture_gives_the_same_in_every_torch_runtime(
    run: Callable[..., dict[str, Any]],
) -> None:
    wanted = request(SQUEEZENET, inputs=SMALL_IMAGE)
    eager, *others = [run(runtime, wanted) for runtime in TORCH_RUNTIMES]
    assert eager["shapes"] == [[2, 1000]]
    assert eager["parameters"] == 1_235_496
    for other in others:
        assert other["parameters"] == eager["parameters"]
        np.testing.assert_allclose(other["values"], eager["values"], rtol=1e-4, atol=1e-5)


def test_the_seed_makes_the_inputs(run: Callable[..., dict[str, Any]], tiny: TinyModel) -> None:
    first, other = (run(Runtime.ONNXRUNTIME, request(tiny.onnx, seed=s)) for s in (0, 1))
    assert first["values"] != other["values"]


@pytest.mark.parametrize("runtime", [Runtime.TORCH, Runtime.ONNXRUNTIME])
def test_threads_are_read_back(
    run: Callable[..., dict[str, Any]], tiny: TinyModel, runtime: Runtime
) -> None:
    model = SQUEEZENET if runtime is Runtime.TORCH else tiny.onnx
    inputs = SMALL_IMAGE if runtime is Runtime.TORCH else None
    found = run(runtime, request(model, threads=2, inputs=inputs))
    assert found["threads"] == 2


@pytest.mark.parametrize("runtime", TORCH_RUNTIMES)
@pytest.mark.parametrize("precision", [Precision.BF16, Precision.FP16])
def test_precision_is_read_back(
    run: Callable[..., dict[str, Any]], runtime: Runtime, precision: Precision
) -> None:
    wanted = request(SQUEEZENET, inputs=SMALL_IMAGE, precision=precision)
    found = run(runtime, wanted)
    assert found["precision"] == precision.value
    exact = run(Runtime.TORCH, request(SQUEEZENET, inputs=SMALL_IMAGE))
    assert found["values"] != exact["values"]
    np.testing.assert_allclose(found["values"], exact["values"], rtol=0.1, atol=0.05)


def test_float32_is_float32(in_child: Child) -> None:
    def settings() -> list[Any]:
        import torch

        # What a user's environment may have left on.
        torch.set_float32_matmul_precision("medium")
        torch.backends.cudnn.allow_tf32 = True
        from profiler.runtimes.torch_common import configure

        configure(1)
        mkldnn = torch.backends.mkldnn
        return [
            torch.get_float32_matmul_precision(),
            torch.backends.cudnn.allow_tf32,
            torch.backends.cuda.matmul.allow_tf32,
            mkldnn.conv.fp32_precision,
            mkldnn.matmul.fp32_precision,
            torch.get_num_interop_threads(),
        ]

    assert in_child(settings) == ["highest", False, False, "ieee", "ieee", 1]


def test_nothing_is_recorded_for_gradients(in_child: Child, tiny: TinyModel) -> None:
    def flags() -> list[bool]:
        adapter = adapter_for(Runtime.TORCHSCRIPT)
        output = adapter.load(request(tiny.torchscript, inputs=TINY_INPUT)).call()
        return [output.is_inference(), output.requires_grad]

    assert in_child(flags) == [True, False]


def test_torchscript_feeds_by_name(in_child: Child, tmp_path: Path) -> None:
    """The inputs may be given in any order; forward's own counts."""

    def difference() -> list[float]:
        import warnings

        import torch

        class Difference(torch.nn.Module):
            def forward(self, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
                return first - second.sum()

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.jit.save(torch.jit.script(Difference()), str(tmp_path / "d.pt"))
        first = InputSpec(name="first", dtype="float32", shape=(1, 2))
        second = InputSpec(name="second", dtype="float32", shape=(1, 7))
        wanted = request(tmp_path / "d.pt", inputs=(second, first), batch_size=1)
        loaded = adapter_for(Runtime.TORCHSCRIPT).load(wanted)
        return [len(loaded.outputs()[0][0]), [i.name for i in loaded.inputs] == ["first", "second"]]

    assert in_child(difference) == [2, True]


def test_answers_that_are_dicts() -> None:
    from profiler.runtimes.torch_common import flatten

    class Leaf:
        def __init__(self, name: str) -> None:
            self.name = name

        def detach(self) -> Leaf:
            return self

    a, b, c = (Leaf(name) for name in "abc")
    assert flatten({"out": a, "more": [b, (c, None)]}) == [a, b, c]


def test_onnx_weights_of_two_types(in_child: Child, tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    make, kinds = onnx.helper, onnx.TensorProto
    nodes = [
        make.make_node("Cast", ["h"], ["f"], to=kinds.FLOAT),
        make.make_node("Add", ["x", "f"], ["s"]),
        make.make_node("Mul", ["s", "w"], ["y"]),
    ]
    graph = make.make_graph(
        nodes, "g",
        [make.make_tensor_value_info("x", kinds.FLOAT, ["n", 2])],
        [make.make_tensor_value_info("y", kinds.FLOAT, ["n", 2])],
        initializer=[
            make.make_tensor("h", kinds.FLOAT16, [2], [1.0, 2.0]),
            make.make_tensor("w", kinds.FLOAT, [2], [1.0, 2.0]),
        ],
    )  # fmt: skip
    model = make.make_model(graph, opset_imports=[make.make_opsetid("", 17)], ir_version=8)
    path = tmp_path / "mixed.onnx"
    path.write_bytes(model.SerializeToString())
    found = in_child(lambda: describe(Runtime.ONNXRUNTIME, request(path)))
    assert found["precision"] == "mixed(fp16,fp32)"
    assert found["parameters"] == 4


# What does not


@pytest.mark.parametrize(
    ("runtime", "attribute", "use"),
    [
        (Runtime.TORCH, "torchscript", "torchscript"),
        (Runtime.TORCH, "onnx", "onnxruntime"),
        (Runtime.TORCHSCRIPT, "exported", "torch_export"),
        (Runtime.TORCHSCRIPT, "onnx", "onnxruntime"),
        (Runtime.TORCH_EXPORT, "torchscript", "torchscript"),
        (Runtime.TORCH_EXPORT, "onnx", "onnxruntime"),
    ],
)
def test_files_of_another_runtime(
    in_child: Child, tiny: TinyModel, runtime: Runtime, attribute: str, use: str
) -> None:
    error = failure(in_child, runtime, request(getattr(tiny, attribute), inputs=TINY_INPUT))
    assert isinstance(error, Unsupported)
    assert use in str(error)


def test_onnxruntime_needs_a_converted_file(in_child: Child) -> None:
    error = failure(in_child, Runtime.ONNXRUNTIME, request(SQUEEZENET))
    assert "no converted file" in str(error)


@pytest.mark.parametrize(
    ("runtime", "attribute"), [(Runtime.ONNXRUNTIME, "onnx"), (Runtime.TORCH_EXPORT, "exported")]
)
def test_a_precision_that_the_file_does_not_have(
    in_child: Child, tiny: TinyModel, runtime: Runtime, attribute: str
) -> None:
    wanted = request(getattr(tiny, attribute), precision=Precision.FP16)
    error = failure(in_child, runtime, wanted)
    assert isinstance(error, Unsupported)
    assert "precision: fp16 asked for" in str(error)
    assert "--precision fp32" in str(error)


def without_gpu(runtime: Runtime, wanted: LoadRequest) -> dict[str, Any]:
    import onnxruntime
    import torch

    torch.cuda.is_available = lambda: False
    onnxruntime.get_available_providers = lambda: ["CPUExecutionProvider"]
    return describe(runtime, wanted)


@pytest.mark.parametrize(
    ("runtime", "attribute"),
    [
        (Runtime.TORCHSCRIPT, "torchscript"),
        (Runtime.TORCH_EXPORT, "exported"),
        (Runtime.ONNXRUNTIME, "onnx"),
    ],
)
def test_a_gpu_that_is_not_there(
    in_child: Child, tiny: TinyModel, runtime: Runtime, attribute: str
) -> None:
    wanted = request(getattr(tiny, attribute), inputs=TINY_INPUT, accelerator="auto")
    assert in_child(lambda: without_gpu(runtime, wanted))["accelerator"] == "cpu"
    explicit = wanted.model_copy(update={"accelerator": "cuda:1"})
    with pytest.raises(Unsupported, match=r"accelerator: cuda:1 .*--accelerator cpu"):
        in_child(lambda: without_gpu(runtime, explicit))


@pytest.mark.parametrize(
    ("runtime", "attribute"), [(Runtime.ONNXRUNTIME, "static_onnx"), (Runtime.TORCH_EXPORT, "")]
)
def test_a_fixed_batch_dimension(
    in_child: Child, tiny: TinyModel, tmp_path: Path, runtime: Runtime, attribute: str
) -> None:
    path = getattr(tiny, attribute) if attribute else tmp_path / "static.pt2"
    if not attribute:
        in_child(lambda: _export_static(path))
    assert in_child(lambda: describe(runtime, request(path)))["shapes"] == [[2, 5]]
    error = failure(in_child, runtime, request(path, batch_size=8))
    assert isinstance(error, Unsupported)
    assert "--batch-size 2" in str(error)


def _export_static(path: Path) -> None:
    import torch

    from tests.tiny import tiny_module

    torch.export.save(torch.export.export(tiny_module(), (torch.zeros(SHAPE),)), str(path))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"inputs": None}, "--input"),
        ({"inputs": (InputSpec(name="y", dtype="float32", shape=SHAPE),)}, "no input 'y'"),
    ],
)
def test_torchscript_inputs_that_do_not_fit(
    in_child: Child, tiny: TinyModel, changes: dict[str, Any], message: str
) -> None:
    error = failure(in_child, Runtime.TORCHSCRIPT, request(tiny.torchscript, **changes))
    assert isinstance(error, ModelError)
    assert message in str(error)


def test_files_that_do_not_load(in_child: Child, tmp_path: Path) -> None:
    for runtime, name in (
        (Runtime.TORCHSCRIPT, "m.pt"),
        (Runtime.TORCH_EXPORT, "m.pt2"),
        (Runtime.ONNXRUNTIME, "m.onnx"),
    ):
        path = tmp_path / name
        path.write_bytes(b"\x08\x08 nothing that any engine reads")
        wanted = request(path, inputs=TINY_INPUT)
        assert isinstance(failure(in_child, runtime, wanted), ModelError)
