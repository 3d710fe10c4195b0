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
    first, second = live._labels([torch, torch])
    assert first != second
