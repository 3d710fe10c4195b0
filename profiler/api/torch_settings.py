"""Global settings of torch that a measurement in the caller's process needs, set and put back.

torch has two names for the same precision settings, and refuses to answer to the older ones once
the newer ones contradict them. So where the older name answers, it is the one that is set.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

# The newer settings' name for "as the setting above this one says".
INHERIT = "none"


class _Setting(NamedTuple):
    read: Callable[[], Any]
    write: Callable[[Any], None]
    full: Any


@contextmanager
def torch_settings(threads: int | None) -> Iterator[None]:
    """float32 that is really float32, and this many threads, until the block ends.

    Args:
        threads: inside one operator; ``None`` leaves them as they are.
    """
    import torch

    settings = _precision_settings(torch)
    if threads is not None:
        settings.append(_Setting(torch.get_num_threads, torch.set_num_threads, threads))
    # All are read before any is set: setting an older name changes the newer ones.
    before = [setting.read() for setting in settings]
    try:
        for setting in settings:
            setting.write(setting.full)
        yield
    finally:
        for setting, value in zip(settings, before, strict=True):
            setting.write(value)


def _precision_settings(torch: Any) -> list[_Setting]:
    backends = torch.backends
    settings = []
    if _answers(torch.get_float32_matmul_precision):
        matmul = torch.get_float32_matmul_precision, torch.set_float32_matmul_precision
        settings.append(_Setting(*matmul, "highest"))
    newer = [(backends.cuda.matmul, backends)]
    if _answers(lambda: backends.cudnn.allow_tf32):
        settings.append(_attribute(backends.cudnn, "allow_tf32", full=False))
    elif hasattr(backends.cudnn, "conv"):
        newer += [(backends.cudnn.conv, backends.cudnn), (backends.cudnn.rnn, backends.cudnn)]
    if hasattr(backends.mkldnn, "conv"):
        operators = (backends.mkldnn.conv, backends.mkldnn.rnn, backends.mkldnn.matmul)
        newer += [(operator, backends.mkldnn) for operator in operators]
    # From torch 2.9 on.
    settings += [_inheriting(own, above) for own, above in newer if _has_precision(own)]
    # What the older name leaves unset is taken from these.
    general = [each for each in (backends.cudnn, backends.mkldnn) if _has_precision(each)]
    settings += [_inheriting(own, backends, INHERIT) for own in general]
    if _has_precision(backends):
        settings.append(_attribute(backends, "fp32_precision", full=INHERIT))
    return settings


def _has_precision(owner: Any) -> bool:
    return hasattr(owner, "fp32_precision")


def _answers(read: Callable[[], Any]) -> bool:
    """Whether torch tells a setting by its older name."""
    try:
        read()
    except RuntimeError:
        return False
    return True


def _attribute(owner: Any, name: str, full: Any) -> _Setting:
    return _Setting(lambda: getattr(owner, name), lambda value: setattr(owner, name, value), full)


def _inheriting(owner: Any, above: Any, full: str = "ieee") -> _Setting:
    """Torch answers with what is in force; where that comes from above, it is left to come."""

    def read() -> str:
        value = str(owner.fp32_precision)
        return INHERIT if value == str(above.fp32_precision) else value

    return _Setting(read, lambda value: setattr(owner, "fp32_precision", value), full)
