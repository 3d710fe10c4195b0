"""How the checks of a model file say no, without knowing what the user calls the file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from profiler.errors import ArtifactError

EXPORT_AGAIN = "Export the model again and submit the new file"
SAFE_FORMATS = (
    "Save the model with torch.export.save (.pt2), torch.jit.save (.pt) "
    "or torch.onnx.export (.onnx)"
)


class Refused(Exception):  # noqa: N818 - a verdict, turned into an ArtifactError at the edge
    """A file that will not be opened: what is wrong with it, and what to do instead."""

    def __init__(self, problem: str, remedy: str = EXPORT_AGAIN) -> None:
        super().__init__(problem)
        self.problem = problem
        self.remedy = remedy


@contextmanager
def refusing(name: str) -> Iterator[None]:
    """Turn a ``Refused`` into an ``ArtifactError`` about the file that the user calls ``name``."""
    try:
        yield
    except Refused as error:
        raise ArtifactError("model", name, error.problem, error.remedy) from error
