"""Small models as files. They are made in a forked child: a process that has done tensor work with
several threads must not fork, and these tests fork as the worker does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from profiler.base import Frozen
from profiler.forked import call_in_child
from tests.tiny import TinyModel, make_tiny


@pytest.fixture(scope="session")
def engines() -> None:
    """Import the engines once, without tensor work: every child then starts with them."""
    import onnxruntime  # noqa: F401
    import torch  # noqa: F401
    import torchvision  # noqa: F401


@pytest.fixture(scope="session")
def tiny(engines: None, tmp_path_factory: pytest.TempPathFactory) -> TinyModel:
    folder = tmp_path_factory.mktemp("models")
    return call_in_child(lambda: make_tiny(folder), TinyModel, "making the models")


class _Value(Frozen):
    value: Any


@pytest.fixture(scope="session")
def in_child(engines: None) -> Callable[[Callable[[], Any]], Any]:
    """Runs a function in a forked child; what it returns must be plain JSON."""
    return lambda function: (
        call_in_child(lambda: _Value(value=function()), _Value, "the test's child").value
    )
