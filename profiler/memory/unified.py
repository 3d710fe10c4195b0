"""Whether an accelerator's memory is the host's own: then the two must never be added.

Source: NVIDIA, *CUDA Driver API*, ``cuDeviceGetAttribute``. Not verified on hardware.
"""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

from profiler.sensors.jetson import is_jetson

# <cuda.h>: the device is integrated with the memory subsystem of the host.
_CU_DEVICE_ATTRIBUTE_INTEGRATED = 18
_CUDA_SUCCESS = 0


def is_unified(on_jetson: bool, integrated: bool | None) -> bool | None:
    """Whether host and accelerator share memory; ``None`` when nobody tells.

    Args:
        on_jetson: the board is one, whose own GPU is integrated.
        integrated: what the driver says. It comes first: a board may hold a card as well.
    """
    if integrated is not None:
        return integrated
    return True if on_jetson else None


def read_unified(accelerator: str, root: Path = Path("/"), cuda: Any = None) -> bool | None:
    """``is_unified`` of an accelerator that this process has used.

    Args:
        accelerator: ``cuda:N``.
        root: of the filesystem.
        cuda: the driver's library or a stand-in for it; loaded when ``None``.
    """
    ordinal = int(accelerator.partition(":")[2] or 0)
    return is_unified(is_jetson(root), _integrated(ordinal, _driver() if cuda is None else cuda))


def _driver() -> Any:
    try:
        return ctypes.CDLL("libcuda.so.1")
    except OSError:
        return None


def _integrated(ordinal: int, cuda: Any) -> bool | None:
    """By the driver, whose numbers are the engine's: both follow ``CUDA_VISIBLE_DEVICES``."""
    if cuda is None:
        return None
    device, value = ctypes.c_int(), ctypes.c_int()
    if cuda.cuInit(0) != _CUDA_SUCCESS:
        return None
    if cuda.cuDeviceGet(ctypes.byref(device), ordinal) != _CUDA_SUCCESS:
        return None
    code = cuda.cuDeviceGetAttribute(ctypes.byref(value), _CU_DEVICE_ATTRIBUTE_INTEGRATED, device)
    return bool(value.value) if code == _CUDA_SUCCESS else None
