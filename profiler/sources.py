"""Named architectures with random weights from a seed. Nothing is ever downloaded."""

from __future__ import annotations

import difflib
import warnings
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from profiler.errors import ModelError, Unsupported
from profiler.inputs import BATCH, Signature, SignatureInput
from profiler.quick_import import import_torchvision
from profiler.spec import ArchitectureRef, Library

INPUT_NAME = "x"
# torchvision's video models were all trained on clips of at least this many frames.
VIDEO_FRAMES = 16
DEFAULT_SIZE = 224

# Heads that only training uses, and initialisations that take seconds to draw what is random
# anyway. Given explicitly, these also keep torchvision from warning about their defaults.
_TORCHVISION_OPTIONS: dict[str, dict[str, Any]] = {
    "googlenet": {"init_weights": False, "aux_logits": False},
    "inception_v3": {"init_weights": False},
}


@dataclass(frozen=True)
class Built:
    """A ``torch.nn.Module`` in evaluation mode, on the CPU in float32, and its inputs."""

    module: Any
    signature: Signature


def build(ref: ArchitectureRef) -> Built:
    """Build the architecture. Equal references give equal weights with one version of the library.

    Raises:
        Unsupported: the library is not installed or does not know the name.
        ModelError: the library raised.
    """
    import torch

    _require_known(ref)
    torch.manual_seed(ref.seed)
    maker = _torchvision if ref.library is Library.TORCHVISION else _timm
    try:
        built = maker(ref.name)
    except (RuntimeError, ValueError, TypeError, NotImplementedError) as error:
        raise ModelError(f"{ref.library}:{ref.name} cannot be built: {error}") from error
    built.module.eval()
    return built


def catalog() -> dict[Library, tuple[str, ...]]:
    """The names that each installed library knows. Imports the libraries, which takes seconds."""
    names: dict[Library, tuple[str, ...]] = {}
    for library in Library:
        try:
            names[library] = known_names(library)
        except Unsupported:
            names[library] = ()
    return names


def known_names(library: Library) -> tuple[str, ...]:
    """Every architecture of ``library`` that takes one tensor and runs without labels.

    Raises:
        Unsupported: the library is not installed.
    """
    module = _import(library)
    if library is Library.TIMM:
        return tuple(sorted(module.list_models()))
    models = module.models
    families = (models, models.segmentation, models.video)
    return tuple(sorted(name for family in families for name in models.list_models(module=family)))


def _import(library: Library) -> Any:
    try:
        if library is Library.TORCHVISION:
            return import_torchvision()
        return import_module(library.value)
    except ImportError as error:
        raise Unsupported(
            f"{library} is not installed here ({error}); "
            "install it with `pip install 'fleetmark[torch]'`"
        ) from error


def _require_known(ref: ArchitectureRef) -> None:
    names = known_names(ref.library)
    # A timm name may carry the tag of its weights, which are not loaded.
    bare = ref.name.split(".")[0] if ref.library is Library.TIMM else ref.name
    if bare in names:
        return
    close = difflib.get_close_matches(bare, names, n=3)
    hint = f"; did you mean {', '.join(close)}?" if close else ""
    raise Unsupported(f"{ref.library} knows no model {ref.name!r}{hint}")


def _torchvision(name: str) -> Built:
    from torchvision import models

    options = dict(_TORCHVISION_OPTIONS.get(name, {}))
    weights = models.get_model_weights(name).DEFAULT
    if name in models.list_models(module=models.segmentation):
        # Without this torchvision downloads a backbone even for random weights.
        options["weights_backbone"] = None
    module = models.get_model(name, weights=None, **options)
    # The weights' preprocessing is a partial: its arguments are read, nothing is fetched.
    chosen = weights.transforms.keywords
    size = _as_pair(chosen.get("crop_size") or chosen.get("resize_size") or DEFAULT_SIZE)
    # A vision transformer is built for one size, which the best weights may have enlarged.
    size = _as_pair(getattr(module, "image_size", size))
    frames = (VIDEO_FRAMES,) if name in models.list_models(module=models.video) else ()
    return Built(module, _signature(3, *frames, *size))


def _as_pair(size: Any) -> tuple[int, int]:
    if isinstance(size, int):
        return size, size
    height, width = size if len(size) == 2 else (size[0], size[0])  # noqa: PLR2004 - H, W
    return int(height), int(width)


def _timm(name: str) -> Built:
    import timm

    with warnings.catch_warnings():
        # Names that timm has renamed still build; the note is for people who write code.
        warnings.filterwarnings("ignore", message=r"Mapping deprecated model name", module="timm")
        module = timm.create_model(name, pretrained=False)
    config = module.pretrained_cfg
    return Built(module, _signature(*config["input_size"]))


def _signature(*item: int) -> Signature:
    dims = (BATCH, *item)
    return (SignatureInput(name=INPUT_NAME, dtype="float32", dims=dims, fixed=False),)
