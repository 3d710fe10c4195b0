"""``fleetmark compare`` of models: what makes no sense is refused before anything runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from agents.cli import live
from agents.cli.main import run
from profiler.comparing import duel
from profiler.spec import Runtime
from tests.builders import make_spec
from tests.small_onnx import save_small_onnx

RESNET = "torchvision:resnet18"


@pytest.fixture(autouse=True)
def _nothing_is_measured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(duel, "measure", lambda *_, **__: pytest.fail("it was not refused"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([RESNET, RESNET, "--rounds", "3"], "Ask for 4 or more"),
        ([RESNET, "before.json"], "Compare two models, which are measured now, or two results"),
        ([RESNET, RESNET, "--runtime", "torch,onnxruntime,torch"], "names more than two"),
        ([RESNET, RESNET, "--runtime", "torchx"], "Did you mean torch?"),
        ([RESNET, "torchvision:"], "model"),
        ([RESNET, "gone.onnx"], "gone.onnx"),
        ([RESNET, RESNET, "--threads", "0"], "threads"),
        ([RESNET, RESNET, "--max-time", "0"], "max-time"),
        ([RESNET, RESNET, "--margin", "wide"], "margin"),
        ([RESNET, RESNET, "--batch-size", "1,2"], "batch-size: '1,2' names more than one"),
        ([RESNET, RESNET, "--resolution", "64,96"], "resolution: '64,96' names more than one"),
        ([RESNET, RESNET, "--threads", "1,2,3"], "names more than two"),
        ([RESNET, RESNET, "--force"], "force: 'True' is about two results"),
        ([RESNET, RESNET, "--across", "threads"], "across: 'threads' is about two results"),
        ([RESNET, RESNET, "--sentinel-units"], "is about two results"),
        (["a.json", "b.json", "--threads", "2"], "threads: '2' is about two models"),
        (["a.json", "b.json", "--rounds", "6"], "rounds: '6' is about two models"),
    ],
)
def test_refused(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["compare", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("text", "model"),
    [
        (RESNET, True), ("timm:x", True), ("net.onnx", True), ("a/b.pt2", True),
        ("before.json", False), ("4f1c09aa7d2e6b35", False), ("", False), ("other:x", False),
    ],
)  # fmt: skip
def test_what_is_taken_for_a_model(text: str, model: bool) -> None:
    assert live.is_model(text) is model


def test_the_two_have_names_that_tell_them_apart(tmp_path: Path) -> None:
    other = make_spec(model=save_small_onnx(tmp_path / "net.onnx"), runtime=Runtime.ONNXRUNTIME)
    torch, ort = make_spec(), make_spec(runtime=Runtime.ONNXRUNTIME)
    assert live._labels([torch, other]) == ("resnet18", "net.onnx")
    assert live._labels([torch, ort]) == ("resnet18 in torch", "resnet18 in onnxruntime")
    half, one = make_spec(precision="fp16"), make_spec(threads=1)
    assert live._labels([torch, half]) == ("resnet18 in fp32", "resnet18 in fp16")
    assert live._labels([one, torch]) == ("resnet18 in 1 thread(s)", "resnet18 in all thread(s)")
    first, second = live._labels([torch, torch])
    assert first != second


def test_each_side_has_its_own_of_what_may_differ(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    save_small_onnx(path)
    asked = live.Live(threads="1,2", seed=4, max_time=2000, batch_size="2")
    (first, file), (second, _) = live._sides((str(path), str(path)), asked)
    assert file == path
    assert (first.threads, second.threads) == (1, 2)
    assert first.model_copy(update={"threads": 2}) == second
    assert (first.seed, first.batch_size) == (4, 2)
    # Nobody has to think of the deadline of a long comparison.
    assert first.timeout_seconds > first.max_time_seconds == 1000


def test_a_file_that_does_not_tell_its_inputs_can_be_given_them(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    save_small_onnx(path)
    asked = live.Live(batch_size="2", input_=["x:float32:2x64"])
    (first, _), (second, _) = live._sides((str(path), str(path)), asked)
    assert first.inputs is not None
    assert first.inputs == second.inputs
    assert first.inputs[0].shape == (2, 64)
