"""Named architectures. Built in forked children, so that this process does no tensor work."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from profiler.errors import Unsupported
from profiler.sources import build, catalog, known_names
from profiler.spec import ArchitectureRef, Library

pytestmark = pytest.mark.usefixtures("engines")

Child = Callable[[Callable[[], Any]], Any]


def ref(name: str, library: Library = Library.TORCHVISION, seed: int = 0) -> ArchitectureRef:
    return ArchitectureRef(library=library, name=name, seed=seed)


def facts(name: str, library: Library = Library.TORCHVISION, seed: int = 0) -> dict[str, Any]:
    import torch

    torch.set_num_threads(1)
    built = build(ref(name, library, seed))
    weights = list(built.module.parameters())
    return {
        "parameters": sum(w.numel() for w in weights),
        "sum": float(sum(w.detach().double().sum() for w in weights)),
        "training": built.module.training,
        "inputs": [(i.name, i.dtype, i.dims) for i in built.signature],
    }


@pytest.mark.parametrize(
    ("name", "dims"),
    [
        ("squeezenet1_1", ["batch", 3, 224, 224]),
        ("googlenet", ["batch", 3, 224, 224]),
        ("inception_v3", ["batch", 3, 299, 299]),
        ("efficientnet_b1", ["batch", 3, 240, 240]),
        ("r3d_18", ["batch", 3, 16, 112, 112]),
    ],
)
def test_torchvision(in_child: Child, name: str, dims: list[Any]) -> None:
    from torchvision.models import get_model_weights

    found = in_child(lambda: facts(name))
    assert found["inputs"] == [["x", "float32", dims]]
    assert found["parameters"] == get_model_weights(name).DEFAULT.meta["num_params"]
    assert not found["training"]


def test_the_size_is_that_of_the_model_and_not_of_its_best_weights(in_child: Child) -> None:
    """As for vit_h_14: 224 pixels, where its best weights are for the model of 518."""

    def built_for_96() -> Any:
        from torchvision import models

        small = models.vit_b_16(weights=None, image_size=96)
        models.get_model = lambda _name, **_: small
        return build(ref("vit_b_16")).signature[0].dims

    assert in_child(built_for_96) == ["batch", 3, 96, 96]


def test_segmentation_downloads_nothing(in_child: Child) -> None:
    def without_network() -> Any:
        import socket

        def refuse(*_: object, **__: object) -> None:
            raise AssertionError("the network was used")

        socket.socket.connect = refuse  # type: ignore[method-assign, assignment]
        return facts("lraspp_mobilenet_v3_large")["inputs"][0][2]

    assert in_child(without_network) == ["batch", 3, 520, 520]


def test_timm(in_child: Child) -> None:
    found = in_child(lambda: facts("mobilenetv3_small_050.lamb_in1k", Library.TIMM))
    assert found["inputs"] == [["x", "float32", ["batch", 3, 224, 224]]]
    assert found["parameters"] > 1_000_000


def test_the_seed_makes_the_weights(in_child: Child) -> None:
    first, again, other = (in_child(lambda s=s: facts("squeezenet1_1", seed=s)) for s in (1, 1, 2))
    assert first == again
    assert first["sum"] != other["sum"]


@pytest.mark.parametrize(
    ("name", "library", "hint"),
    [
        ("resnet81", Library.TORCHVISION, "did you mean resnet18"),
        ("fasterrcnn_resnet50_fpn", Library.TORCHVISION, "knows no model"),
        ("zzz", Library.TORCHVISION, "knows no model 'zzz'$"),
        ("resnet500", Library.TIMM, "did you mean resnet50"),
    ],
)
def test_unknown_names(name: str, library: Library, hint: str) -> None:
    with pytest.raises(Unsupported, match=hint):
        build(ref(name, library))


def test_catalog_without_a_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "timm", None)
    names = catalog()
    assert names[Library.TIMM] == ()
    assert {"resnet18", "fcn_resnet50", "s3d"} <= set(names[Library.TORCHVISION])
    with pytest.raises(Unsupported, match="pip install"):
        known_names(Library.TIMM)
