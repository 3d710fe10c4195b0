"""torchvision without the compiler that its import pulls in.

One of torchvision's operators asks ``torch._dynamo.utils`` a question that it needs an answer to
only when it is called, and so importing torchvision imports the whole of torch's compiler: 2 of the
2.5 seconds that it takes. Here the compiler is stood in for while torchvision is imported, by a
function that asks the real one when it is called, and is imported by whoever uses it. Where a
version of torchvision wants more of it than that, it is imported in the ordinary way.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import Any

_COMPILER = "torch._dynamo"
_UTILITIES = "torch._dynamo.utils"
_QUESTION = "is_compile_supported"


def import_torchvision() -> Any:
    """The module ``torchvision``.

    Raises:
        ImportError: it is not installed, or does not fit the installed torch.
    """
    torch = import_module("torch")
    if "torchvision" in sys.modules or _COMPILER in sys.modules:
        return import_module("torchvision")
    before = set(sys.modules)
    compiler, utilities = _stand_in()
    sys.modules[_COMPILER], sys.modules[_UTILITIES] = compiler, utilities
    try:
        found = import_module("torchvision")
    except (ImportError, AttributeError):
        found = None
    finally:
        for name, module in ((_COMPILER, compiler), (_UTILITIES, utilities)):
            if sys.modules.get(name) is module:
                del sys.modules[name]
        # Not by hasattr: torch imports its compiler when it is asked for that attribute.
        if vars(torch).get("_dynamo") is compiler:
            del torch._dynamo  # noqa: SLF001 - the stand-in that this function put there
    if found is not None:
        return found
    # What was left half imported must not be taken for the whole.
    for name in set(sys.modules) - before:
        if name.partition(".")[0] == "torchvision":
            del sys.modules[name]
    return import_module("torchvision")


def _stand_in() -> tuple[ModuleType, ModuleType]:
    compiler, utilities = ModuleType(_COMPILER), ModuleType(_UTILITIES)

    def ask(*arguments: Any) -> Any:
        return getattr(import_module(_UTILITIES), _QUESTION)(*arguments)

    setattr(utilities, _QUESTION, ask)
    compiler.utils = utilities  # type: ignore[attr-defined]
    # A package, or nothing could be imported from below it.
    compiler.__path__ = []
    return compiler, utilities
