"""torchvision is imported without torch's compiler, and both work all the same."""

from __future__ import annotations

import subprocess
import sys


def python(program: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_compiler_is_left_out_and_still_there_for_who_uses_it() -> None:
    program = (
        "import sys\n"
        "from profiler.quick_import import import_torchvision\n"
        "found = import_torchvision()\n"
        "import torch, torchvision\n"
        "assert found is torchvision\n"
        "print('torch._dynamo' in sys.modules)\n"
        "boxes = torch.tensor([[0., 0., 0., 4., 4.]])\n"
        "pooled = torchvision.ops.roi_align(torch.ones(1, 1, 8, 8), boxes, 2)\n"
        "print(float(pooled.sum()))\n"
        "print(float(torch.compile(lambda x: x + 1, backend='eager')(torch.ones(()))))\n"
        "print('torch._dynamo' in sys.modules, hasattr(torch._dynamo, 'optimize'))\n"
    )
    assert python(program).split("\n")[:4] == ["False", "4.0", "2.0", "True True"]


def test_one_that_wants_more_of_it_is_imported_in_the_ordinary_way() -> None:
    program = (
        "import sys\n"
        "from profiler import quick_import\n"
        "quick_import._QUESTION = 'another'\n"
        "found = quick_import.import_torchvision()\n"
        "print('torch._dynamo' in sys.modules, len(found.models.list_models()) > 50)\n"
    )
    assert python(program).strip() == "True True"
