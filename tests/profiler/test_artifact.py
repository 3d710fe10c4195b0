"""Model files: what is taken, what is refused, and that nothing hostile ever runs."""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from profiler.errors import ArtifactError, InputError
from profiler.modelfile.artifact import inspect_artifact, parse_model
from profiler.spec import ArchitectureRef, Library, ModelFormat
from tests.tiny import TinyModel

FUZZ = settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


class Deadly:
    """Unpickling it creates a file."""

    def __init__(self, sentinel: Path) -> None:
        self.sentinel = sentinel

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch {self.sentinel}",)


@pytest.fixture
def sentinel(tmp_path: Path) -> Path:
    return tmp_path / "sentinel"


def refused(path: Path, name: str | None = None) -> ArtifactError:
    with pytest.raises(ArtifactError) as caught:
        inspect_artifact(path, name or path.name)
    error = caught.value
    assert error.field == "model"
    assert error.value == (name or path.name)
    assert error.problem
    assert error.remedy
    return error


@pytest.mark.parametrize(
    ("attribute", "expected"),
    [
        ("torchscript", ModelFormat.TORCHSCRIPT),
        ("exported", ModelFormat.EXPORTED_PROGRAM),
        ("onnx", ModelFormat.ONNX),
    ],
)
def test_good_files(tiny: TinyModel, attribute: str, expected: ModelFormat) -> None:
    path: Path = getattr(tiny, attribute)
    data = path.read_bytes()
    ref = inspect_artifact(path, path.name)
    assert ref.format is expected
    assert ref.digest == hashlib.sha256(data).hexdigest()
    assert ref.size_bytes == len(data)
    assert ref.name == path.name


def test_the_name_on_disk_does_not_matter(tiny: TinyModel, tmp_path: Path) -> None:
    stored = tmp_path / "0a1b2c"
    stored.write_bytes(tiny.onnx.read_bytes())
    assert inspect_artifact(stored, "net.onnx").format is ModelFormat.ONNX


@pytest.mark.parametrize(
    ("attribute", "name", "right"),
    [("onnx", "m.pt", ".onnx"), ("torchscript", "m.pt2", ".pt"), ("exported", "m.PT", ".pt2")],
)
def test_another_format_than_the_name_says(
    tiny: TinyModel, attribute: str, name: str, right: str
) -> None:
    error = refused(getattr(tiny, attribute), name)
    assert "is called" in error.problem
    assert f"Rename it to m{right}" in error.remedy


def test_missing(tmp_path: Path) -> None:
    assert "cannot be read" in refused(tmp_path / "absent.onnx").problem


def test_directory(tmp_path: Path) -> None:
    assert "directory" in refused(tmp_path).problem


def test_empty(tmp_path: Path) -> None:
    path = tmp_path / "empty.onnx"
    path.touch()
    assert refused(path).problem == "is empty"


@pytest.mark.parametrize("name", ["", "x" * 201])
def test_name_without_length_or_with_too_much(tiny: TinyModel, name: str) -> None:
    with pytest.raises(ArtifactError, match="characters"):
        inspect_artifact(tiny.onnx, name)


def test_text_is_no_model(tmp_path: Path) -> None:
    path = tmp_path / "model.txt"
    path.write_text("weights: none\n" * 100)
    assert "no known model format" in refused(path).problem


@pytest.mark.parametrize("attribute", ["torchscript", "exported", "onnx"])
@pytest.mark.parametrize("kept", [0.1, 0.5, 0.99])
def test_truncated(tiny: TinyModel, tmp_path: Path, attribute: str, kept: float) -> None:
    data = getattr(tiny, attribute).read_bytes()
    path = tmp_path / getattr(tiny, attribute).name
    path.write_bytes(data[: int(len(data) * kept)])
    assert "truncated or corrupt" in refused(path).problem


def test_a_flipped_bit_in_the_weights(tiny: TinyModel, tmp_path: Path) -> None:
    data = bytearray(tiny.torchscript.read_bytes())
    with zipfile.ZipFile(tiny.torchscript) as archive:
        at = next(i.header_offset for i in archive.infolist() if i.filename.endswith("data/0"))
    data[at + 100] ^= 1
    path = tmp_path / "flipped.pt"
    path.write_bytes(data)
    assert "corrupt" in refused(path).problem


# Pickles


@pytest.mark.parametrize("name", ["m.pt", "m.onnx", "m.pt2", "m.bin", "m", "m.pkl"])
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_is_never_loaded(tmp_path: Path, sentinel: Path, name: str, protocol: int) -> None:
    path = tmp_path / name
    path.write_bytes(pickle.dumps(Deadly(sentinel), protocol=protocol))
    error = refused(path)
    assert "is a pickle" in error.problem
    assert "torch.export.save" in error.remedy
    assert not sentinel.exists()
    pickle.loads(path.read_bytes())
    assert sentinel.exists(), "the file was not deadly, so this test shows nothing"


@pytest.mark.parametrize("attribute", ["state_dict", "module", "legacy"])
@pytest.mark.parametrize("name", ["m.pt", "m.pt2", "m.onnx", "m.bin"])
def test_files_of_torch_save(tiny: TinyModel, attribute: str, name: str) -> None:
    assert "is a pickle" in refused(getattr(tiny, attribute), name).problem


def test_tar(tmp_path: Path) -> None:
    path = tmp_path / "old.pt"
    with tarfile.open(path, "w") as archive:
        archive.addfile(tarfile.TarInfo("pickle"), io.BytesIO())
    assert "tar" in refused(path).problem


# Zip archives


def repack(
    source: Path, target: Path, change: Callable[[str, bytes], bytes | None], **extra: bytes
) -> Path:
    """Copy an archive with some members changed, dropped or added."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        top = old.namelist()[0].split("/")[0]
        for name in old.namelist():
            data = change(name.partition("/")[2], old.read(name))
            if data is not None:
                new.writestr(name, data)
        for name, data in extra.items():
            new.writestr(name.replace("TOP", top), data)
    return target


def same(_name: str, data: bytes) -> bytes:
    return data


@pytest.mark.parametrize("attribute", ["torchscript", "exported"])
def test_repacking_alone_changes_no_verdict(
    tiny: TinyModel, tmp_path: Path, attribute: str
) -> None:
    source: Path = getattr(tiny, attribute)
    inspect_artifact(repack(source, tmp_path / source.name, same), source.name)


@pytest.mark.parametrize(
    ("member", "problem"),
    [
        ("../outside", "unsafe name"),
        ("/etc/passwd", "unsafe name"),
        ("TOP/../../outside", "unsafe name"),
        ("TOP//data.pkl", "unsafe name"),
        ("TOP/code/a\\b.py", "unsafe name"),
        ("other/data.pkl", "top folder"),
        ("TOP/DATA.pkl", "same member twice"),
        ("TOP/model.json", "unexpected member"),
        ("TOP/lib/evil.so", "unexpected member"),
    ],
)
def test_members_that_do_not_belong(
    tiny: TinyModel, tmp_path: Path, member: str, problem: str
) -> None:
    path = repack(tiny.torchscript, tmp_path / "m.pt", same, **{member: b"x"})
    assert problem in refused(path).problem


def test_a_member_twice(tiny: TinyModel, tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="Duplicate name"):
        path = repack(tiny.torchscript, tmp_path / "m.pt", same, **{"TOP/data.pkl": b"N."})
    assert "same member twice" in refused(path).problem


def test_zip_bomb(tiny: TinyModel, tmp_path: Path) -> None:
    path = repack(tiny.torchscript, tmp_path / "m.pt", same)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        top = archive.namelist()[0].split("/")[0]
        with archive.open(f"{top}/data/999", "w") as member:
            for _ in range(300):
                member.write(bytes(2**20))
    assert path.stat().st_size < 2**20
    assert "unpacks to more" in refused(path).problem


@pytest.mark.parametrize("where", ["before", "after", "comment"])
def test_bytes_that_only_some_readers_skip(tiny: TinyModel, tmp_path: Path, where: str) -> None:
    data = tiny.torchscript.read_bytes()
    path = tmp_path / "m.pt"
    if where == "before":
        path.write_bytes(b"PK\x03\x04" + data)
    elif where == "after":
        path.write_bytes(data + b"\0" * 8)
    else:
        path.write_bytes(data[:-2] + struct.pack("<H", 3) + b"hey")
    assert "corrupt" in refused(path).problem


def test_two_directories_that_disagree(tiny: TinyModel, tmp_path: Path) -> None:
    """The 64-bit locator points elsewhere: Python's reader ignores where, torch's does not."""
    data = bytearray(tiny.torchscript.read_bytes())
    locator = len(data) - 22 - 20
    assert data[locator : locator + 4] == b"PK\x06\x07"
    struct.pack_into("<Q", data, locator + 8, 0)
    path = tmp_path / "m.pt"
    path.write_bytes(data)
    assert "disagree" in refused(path).problem


def test_a_zip_that_is_no_model(tmp_path: Path) -> None:
    path = tmp_path / "m.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("docs/readme.txt", "hello")
    assert "no model of torch" in refused(path).problem


# TorchScript


def with_code(tiny: TinyModel, target: Path, code: str) -> Path:
    return repack(tiny.torchscript, target, same, **{"TOP/code/__torch__/added.py": code.encode()})


@pytest.mark.parametrize(
    ("code", "problem"),
    [
        ('torch.save(x, "/tmp/x")', "uses 'save'"),
        ('torch . save(x, "/tmp/x")', "uses 'save'"),
        ('ops.aten.from_file("/etc/passwd")', "uses 'from_file'"),
        ('ops.image.read_file("/etc/passwd")', "namespace 'image'"),
        ('ops . image.read_file("/etc/passwd")', "namespace 'image'"),
        ('getattr(torch, "save")(x)', "'save' in a string"),
        ('getattr(torch, "sa\\x76e")(x)', "'save' in a string"),
        ('getattr(torch, "sa\\166e")(x)', "'save' in a string"),
        ('getattr(torch, "sa" "ve")(x)', "does not write"),
        ("getattr(torch, 'save')(x)", "does not write"),
        ("t = torch\nt.other(x)", "as a value"),
        ('getattr(ops, "image")', "as a value"),
        ("a = __torch__.torch", "as a value"),
        ("__torch__.torch.classes.dist.Group(x)", "native classes"),
        ('x = 1 # " torch.relu(y)', "does not write"),
    ],
)
def test_torchscript_that_reaches_out(
    tiny: TinyModel, tmp_path: Path, code: str, problem: str
) -> None:
    assert problem in refused(with_code(tiny, tmp_path / "m.pt", code)).problem


@pytest.mark.parametrize(
    "code",
    [
        'x = getattr(getattr(self, "0"), "1")',
        'ops.prim.RaiseException("cannot save # \'that\' to torch", "builtins.ValueError")',
        "y = __torch__.torchvision.ops.misc.f(torch.relu(x))",
        "torch.quantized_max(ops.quantized.add(x, y), self.saved)",
    ],
)
def test_torchscript_that_torch_writes(tiny: TinyModel, tmp_path: Path, code: str) -> None:
    inspect_artifact(with_code(tiny, tmp_path / "m.pt", code), "m.pt")


def test_torchscript_pickle_with_a_foreign_name(
    tiny: TinyModel, tmp_path: Path, sentinel: Path
) -> None:
    deadly = pickle.dumps(Deadly(sentinel), protocol=2)
    path = repack(
        tiny.torchscript, tmp_path / "m.pt", lambda n, d: deadly if n == "data.pkl" else d
    )
    assert "names posix.system" in refused(path).problem


# Exported programs: each of these runs code in torch.export.load, or in what follows it.


def edit_json(member: str, edit: Callable[[dict], None]) -> Callable[[str, bytes], bytes]:  # type: ignore[type-arg]
    def change(name: str, data: bytes) -> bytes:
        if name != member:
            return data
        document = json.loads(data)
        edit(document)
        return json.dumps(document).encode()

    return change


def edit_model(edit: Callable[[dict], None]) -> Callable[[str, bytes], bytes]:  # type: ignore[type-arg]
    return edit_json("models/model.json", edit)


EVIL = "__import__('os').system('true')"


def evil_size(model: dict) -> None:  # type: ignore[type-arg]
    sizes = model["graph_module"]["graph"]["tensor_values"]["input"]["sizes"]
    sizes[0]["as_expr"]["expr_str"] = EVIL


def evil_guard(model: dict) -> None:  # type: ignore[type-arg]
    model["guards_code"] = [f"{EVIL} == 0"]


def evil_name(model: dict) -> None:  # type: ignore[type-arg]
    model["graph_module"]["graph"]["inputs"][-1]["as_tensor"]["name"] = f"x={EVIL}"


def evil_key(model: dict) -> None:  # type: ignore[type-arg]
    model["graph_module"]["graph"]["tensor_values"][f"x={EVIL}"] = {}


def evil_target(model: dict) -> None:  # type: ignore[type-arg]
    model["graph_module"]["graph"]["nodes"][0]["target"] = "torch.os.system"


def evil_delegate(model: dict) -> None:  # type: ignore[type-arg]
    target = "torch.ops.higher_order.aoti_call_delegate"
    model["graph_module"]["graph"]["nodes"][0]["target"] = target


def file_target(model: dict) -> None:  # type: ignore[type-arg]
    model["graph_module"]["graph"]["nodes"][0]["target"] = "torch.ops.aten.from_file.default"


def spec_of(kind: str, context: object) -> Callable[[dict], None]:  # type: ignore[type-arg]
    def edit(model: dict) -> None:  # type: ignore[type-arg]
        signature = model["graph_module"]["module_call_graph"][0]["signature"]
        spec = {"type": kind, "context": context, "children_spec": []}
        signature["out_spec"] = json.dumps([1, spec])

    return edit


def native_object(model: dict) -> None:  # type: ignore[type-arg]
    model["graph_module"]["graph"]["custom_obj_values"] = {"o": {"class_fqn": "x", "name": "o"}}


ENUM = json.dumps({"__enum__": True, "fqn": "antigravity:X", "name": "A"})


@pytest.mark.parametrize(
    ("edit", "problem"),
    [
        (evil_size, "no arithmetic"),
        (evil_guard, "no arithmetic"),
        (evil_name, "part of Python code"),
        (evil_key, "part of Python code"),
        (evil_target, "no operator of tensors"),
        (evil_delegate, "no operator of tensors"),
        (file_target, "no operator of tensors"),
        (spec_of("collections.defaultdict", {"default_factory_module": "m"}), "container"),
        (spec_of("builtins.dict", ENUM), "part of Python code|neither text"),
        (spec_of("builtins.dict", json.dumps([f"x={EVIL}"])), "part of Python code"),
        (native_object, "native classes"),
    ],
)
def test_exported_program_that_runs_code(
    tiny: TinyModel,
    tmp_path: Path,
    edit: Callable[[dict], None],  # type: ignore[type-arg]
    problem: str,
) -> None:
    import re

    path = repack(tiny.exported, tmp_path / "m.pt2", edit_model(edit))
    assert re.search(problem, refused(path).problem)


def test_example_inputs_that_run_code(tiny: TinyModel, tmp_path: Path, sentinel: Path) -> None:
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(Deadly(sentinel), protocol=2))
        archive.writestr("archive/version", "3")
    path = repack(
        tiny.exported,
        tmp_path / "m.pt2",
        lambda n, d: inner.getvalue() if n == "data/sample_inputs/model.pt" else d,
    )
    assert "would run posix.system" in refused(path).problem
    assert not sentinel.exists()


def test_example_inputs_as_a_bare_pickle(tiny: TinyModel, tmp_path: Path, sentinel: Path) -> None:
    deadly = pickle.dumps(Deadly(sentinel))
    path = repack(
        tiny.exported,
        tmp_path / "m.pt2",
        lambda n, d: deadly if n == "data/sample_inputs/model.pt" else d,
    )
    refused(path)
    assert not sentinel.exists()


def pickled_weight(config: dict) -> None:  # type: ignore[type-arg]
    next(iter(config["config"].values()))["use_pickle"] = True


def opaque_constant(config: dict) -> None:  # type: ignore[type-arg]
    config["config"]["c"] = {"path_name": "opaque_obj_0", "use_pickle": False}


@pytest.mark.parametrize(
    ("member", "edit", "problem"),
    [
        ("data/weights/model_weights_config.json", pickled_weight, "pickled weights"),
        ("data/constants/model_constants_config.json", opaque_constant, "no tensor"),
    ],
)
def test_pickled_weights_and_constants(
    tiny: TinyModel,
    tmp_path: Path,
    member: str,
    edit: Callable[[dict], None],  # type: ignore[type-arg]
    problem: str,
) -> None:
    path = repack(tiny.exported, tmp_path / "m.pt2", edit_json(member, edit))
    assert problem in refused(path).problem


@pytest.mark.parametrize(
    ("member", "problem"),
    [
        ("TOP/data/aotinductor/model/x.so", "AOTInductor"),
        ("TOP/data/weights/model.pt", "unexpected member"),
        ("TOP/data/constants/opaque_obj_0", "unexpected member"),
        ("TOP/models/second.json", "unexpected member"),
    ],
)
def test_exported_program_with_more_in_it(
    tiny: TinyModel, tmp_path: Path, member: str, problem: str
) -> None:
    path = repack(tiny.exported, tmp_path / "m.pt2", same, **{member: b"x"})
    assert problem in refused(path).problem


def test_json_that_nests_without_end(tiny: TinyModel, tmp_path: Path) -> None:
    deep = b"[" * 200_000
    path = repack(
        tiny.exported, tmp_path / "m.pt2", lambda n, d: deep if n == "models/model.json" else d
    )
    assert "unreadable JSON" in refused(path).problem


# Fuzzing: a broken file is refused, and by nothing but an ArtifactError.


def mutate(data: bytes, cut: float, flips: list[tuple[float, int]]) -> bytes:
    broken = bytearray(data[: max(1, int(len(data) * cut))])
    for where, bit in flips:
        broken[int(where * (len(broken) - 1))] ^= 1 << bit
    return bytes(broken)


MUTATION = {
    "cut": st.one_of(st.just(1.0), st.floats(0, 1)),
    "flips": st.lists(st.tuples(st.floats(0, 1), st.integers(0, 7)), max_size=8),
}


def never_anything_else(path: Path) -> None:
    try:
        ref = inspect_artifact(path, "fuzzed")
    except ArtifactError:
        return
    assert ref.size_bytes == path.stat().st_size


@FUZZ
@given(**MUTATION)
def test_fuzzed_onnx(
    tiny: TinyModel, tmp_path: Path, cut: float, flips: list[tuple[float, int]]
) -> None:
    path = tmp_path / "fuzzed"
    path.write_bytes(mutate(tiny.onnx.read_bytes(), cut, flips))
    never_anything_else(path)


@FUZZ
@given(**MUTATION)
def test_fuzzed_archives(
    tiny: TinyModel, tmp_path: Path, cut: float, flips: list[tuple[float, int]]
) -> None:
    path = tmp_path / "fuzzed"
    for source in (tiny.torchscript, tiny.exported):
        path.write_bytes(mutate(source.read_bytes(), cut, flips))
        never_anything_else(path)


@FUZZ
@given(st.binary(max_size=400))
def test_fuzzed_from_nothing(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "fuzzed"
    path.write_bytes(data)
    never_anything_else(path)


# How a user names a model


def test_architectures() -> None:
    assert parse_model("torchvision:resnet18", seed=7) == ArchitectureRef(
        library=Library.TORCHVISION, name="resnet18", seed=7
    )
    assert parse_model("timm:resnet50.a1_in1k") == ArchitectureRef(
        library=Library.TIMM, name="resnet50.a1_in1k"
    )


def test_a_path(tiny: TinyModel) -> None:
    assert parse_model(str(tiny.onnx)) == tiny.onnx


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("resnet18", "Did you mean torchvision:resnet18, timm:resnet18"),
        ("torchvison:resnet18", "Did you mean torchvision:resnet18?"),
        ("huggingface:bert", "torchvision:NAME"),
        ("torchvision:", "torchvision:NAME"),
        ("timm:a b", "timm:NAME"),
        ("absent.onnx", "path"),
        ("some/where", "path"),
        ("", "torchvision:resnet18"),
    ],
)
def test_names_that_are_no_model(text: str, hint: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_model(text)
    assert caught.value.field == "model"
    assert hint in caught.value.remedy
