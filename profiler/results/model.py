"""The model and its inputs as they were measured."""

from __future__ import annotations

from profiler.base import Frozen


class ModelInfo(Frozen):
    """The model as it was measured."""

    source: str
    digest: str | None = None
    parameters: int | None = None
    parameters_reason: str | None = None
    size_bytes: int | None = None
    converted_digest: str | None = None


class InputInfo(Frozen):
    """One input tensor as it was fed."""

    name: str
    dtype: str
    shape: tuple[int, ...]
