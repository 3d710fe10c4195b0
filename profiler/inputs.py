"""What a model is fed: its signature, the tensors that a run resolves it to, and their contents."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pydantic import ValidationError

from profiler.base import Frozen
from profiler.errors import InputError, ModelError, Unsupported
from profiler.spec import INPUT_DTYPES, InputSpec

if TYPE_CHECKING:  # signatures are read and checked where nothing is ever fed
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[np.generic]

BATCH = "batch"
_SHAPE = re.compile(r"^\d{1,10}(x\d{1,10})*$")


class SignatureInput(Frozen):
    """One input as the model declares it.

    ``dims`` holds an ``int`` where the model fixes the size, and else the name of the dimension,
    or ``None`` where it has no name. ``dims=None``: the model does not tell its rank.
    With ``fixed=False`` the sizes are the usual ones, and an override may choose others: whether
    an architecture takes another resolution shows when it runs.
    """

    name: str
    dtype: str
    dims: tuple[int | str | None, ...] | None
    fixed: bool = True

    def describe(self) -> str:
        """As a person writes it: ``x:float32:batchx3x224x224``."""
        if self.dims is None:
            return f"{self.name}:{self.dtype}:(any shape)"
        dims = "x".join("?" if dim is None else str(dim) for dim in self.dims)
        return f"{self.name}:{self.dtype}:{dims or 'scalar'}"


Signature = tuple[SignatureInput, ...]


def parse_input(text: str) -> InputSpec:
    """``name:dtype:AxBxC``, batch dimension included; ``scalar`` is the shape without dimensions.

    The name may itself contain colons, as names of ONNX inputs do.

    Raises:
        InputError: ``text`` is not of that form.
    """
    remedy = "Write name:dtype:shape, such as x:float32:1x3x224x224"
    parts = text.rsplit(":", 2)
    if len(parts) != 3 or not parts[0]:  # noqa: PLR2004 - name, dtype, shape
        raise InputError("input", text, "is not name:dtype:shape", remedy)
    name, dtype, shape = parts
    if dtype not in INPUT_DTYPES:
        problem = f"has the unknown dtype {dtype!r}"
        raise InputError("input", text, problem, f"One of {', '.join(INPUT_DTYPES)}")
    if shape != "scalar" and not _SHAPE.match(shape):
        raise InputError("input", text, f"has the unreadable shape {shape!r}", remedy)
    sizes = () if shape == "scalar" else tuple(int(size) for size in shape.split("x"))
    try:
        return InputSpec(name=name, dtype=dtype, shape=sizes)
    except ValidationError as error:
        raise InputError("input", text, str(error.errors()[0]["msg"]), remedy) from error


def with_resolution(signature: Signature, resolution: tuple[int, int]) -> Signature:
    """The signature with (height, width) as the last two dimensions of every image.

    An image is an input of floats with at least four dimensions.

    Raises:
        Unsupported: there is none, or the model fixes it to another size.
    """
    shown = f"{resolution[0]}x{resolution[1]}"
    images = [i for i in signature if _is_image(i)]
    if not images:
        declared = ", ".join(each.describe() for each in signature)
        raise Unsupported(
            f"resolution: {shown} asked for, but no input is an image: {declared}; "
            "give the shapes with --input"
        )
    for image in images:
        sizes = (image.dims or ())[-2:]
        if image.fixed and any(isinstance(s, int) and s != r for s, r in zip(sizes, resolution)):  # noqa: B905 - two each
            raise Unsupported(
                f"resolution: {shown} asked for, but the model fixes {image.describe()}; "
                "export it for that size, or with open dimensions"
            )
    return tuple(
        each.model_copy(update={"dims": (*(each.dims or ())[:-2], *resolution)})
        if _is_image(each)
        else each
        for each in signature
    )


def _is_image(declared: SignatureInput) -> bool:
    return bool(declared.dims) and len(declared.dims or ()) >= 4 and "float" in declared.dtype  # noqa: PLR2004 - NCHW


def resolve(
    signature: Signature | None,
    batch_size: int,
    overrides: Sequence[InputSpec] | None,
    resolution: tuple[int, int] | None = None,
) -> tuple[InputSpec, ...]:
    """The tensors to feed, in the model's order.

    ``batch_size`` takes the place of every first dimension that the model leaves open. An override
    replaces the declared input of its name; inputs that are not overridden keep the declaration.

    Args:
        signature: what the model declares; ``None`` where its format declares nothing.
        batch_size: items per iteration.
        overrides: from the spec; shapes include the batch dimension.
        resolution: (height, width) of images, in place of the model's usual one.

    Raises:
        Unsupported: the model's batch dimension is fixed to another size.
        ModelError: the overrides do not fit the model, or a shape is still open.
    """
    given = {spec.name: spec for spec in overrides or ()}
    if resolution is not None:
        if signature is None:
            raise Unsupported(
                "resolution: this model's format does not declare its inputs; "
                "give them with --input name:dtype:shape"
            )
        signature = with_resolution(signature, resolution)
    if signature is None:
        if not given:
            raise ModelError(
                "input: this model's format does not declare its inputs; "
                "give them with --input name:dtype:shape"
            )
        _check_batch(tuple(given.values()), batch_size)
        return tuple(given.values())
    _check_names(signature, given)
    resolved = tuple(
        _checked(declared, given[declared.name])
        if declared.name in given
        else _filled(declared, batch_size)
        for declared in signature
    )
    if given:
        _check_batch(resolved, batch_size)
    return resolved


def _check_names(signature: Signature, given: dict[str, InputSpec]) -> None:
    unknown = sorted(set(given) - {declared.name for declared in signature})
    if unknown:
        expected = ", ".join(declared.describe() for declared in signature)
        raise ModelError(f"input: the model has no input {unknown[0]!r}; it expects {expected}")


def _check_batch(specs: Sequence[InputSpec], batch_size: int) -> None:
    """Throughput counts ``batch_size`` items an iteration, so the tensors must carry as many."""
    firsts = [spec.shape[0] for spec in specs if spec.shape]
    if firsts and batch_size not in firsts:
        raise ModelError(
            f"batch_size: {batch_size} asked for, but the given inputs start with "
            f"{', '.join(str(size) for size in firsts)}; make the two agree"
        )


def _checked(declared: SignatureInput, spec: InputSpec) -> InputSpec:
    label = f"input {declared.name!r}"
    if spec.dtype != declared.dtype:
        raise ModelError(f"{label}: dtype {spec.dtype} given, {declared.dtype} expected")
    if declared.dims is None:
        return spec
    shape = "x".join(str(size) for size in spec.shape)
    if len(spec.shape) != len(declared.dims):
        raise ModelError(
            f"{label}: rank {len(spec.shape)} given ({shape}), "
            f"rank {len(declared.dims)} expected ({declared.describe()})"
        )
    for size, dim in zip(spec.shape, declared.dims, strict=True):
        if declared.fixed and isinstance(dim, int) and dim != size:
            raise ModelError(f"{label}: shape {shape} given, {declared.describe()} expected")
    return spec


def _filled(declared: SignatureInput, batch_size: int) -> InputSpec:
    if declared.dims is None:
        raise ModelError(
            f"input {declared.name!r}: the model does not tell its shape; give it with --input"
        )
    sizes: list[int] = []
    for position, dim in enumerate(declared.dims):
        if isinstance(dim, int):
            sizes.append(dim)
        elif position == 0:
            sizes.append(batch_size)
        else:
            raise ModelError(
                f"input {declared.name!r}: dimension {position} ({dim or 'no name'}) is open in "
                f"{declared.describe()}; give the shape with --input"
            )
    if sizes and sizes[0] != batch_size:
        raise Unsupported(
            f"batch_size: {batch_size} asked for, but the model fixes the first dimension of input "
            f"{declared.name!r} to {sizes[0]}; ask for --batch-size {sizes[0]}, or export the "
            "model with a dynamic batch dimension"
        )
    return _feedable(declared, tuple(sizes))


def _feedable(declared: SignatureInput, shape: tuple[int, ...]) -> InputSpec:
    if declared.dtype not in INPUT_DTYPES:
        raise Unsupported(
            f"input {declared.name!r} is of the type {declared.dtype}, which fleetmark cannot make "
            f"up; it can make {', '.join(INPUT_DTYPES)}"
        )
    try:
        return InputSpec(name=declared.name, dtype=declared.dtype, shape=shape)
    except ValidationError as error:
        raise Unsupported(f"input {declared.name!r}: {error.errors()[0]['msg']}") from error


def synthesize(specs: Sequence[InputSpec], seed: int) -> tuple[Array, ...]:
    """Reproducible contents for ``specs``, in their order.

    Floats are drawn from the standard normal distribution. Integers are 0 or 1, which every
    embedding table, mask and image of bytes can take. Equal ``seed`` and specs give equal arrays;
    an input's contents do not depend on the others'.
    """
    import numpy as np

    return tuple(_fill(spec, np.random.default_rng([seed, i])) for i, spec in enumerate(specs))


def _fill(spec: InputSpec, rng: np.random.Generator) -> Array:
    import numpy as np

    dtype = np.dtype(spec.dtype)
    if dtype.kind == "f":
        return np.asarray(rng.standard_normal(spec.shape, dtype=np.float32)).astype(dtype)
    return np.asarray(rng.integers(0, 2, size=spec.shape)).astype(dtype)
