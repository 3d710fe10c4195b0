"""The base classes of all data in fleetmark: frozen, strict about unknown keys."""

from __future__ import annotations

import sys

from pydantic import BaseModel, ConfigDict

if sys.version_info >= (3, 11):
    from enum import StrEnum as StrEnum  # noqa: PLC0414 - mypy: a re-export
else:
    from enum import Enum

    class StrEnum(str, Enum):
        """``enum.StrEnum`` for Python 3.10, which a vendor's build of PyTorch may bring."""

        def __str__(self) -> str:
            return str(self.value)


class Frozen(BaseModel):
    """Immutable data; a key that is not declared is an error, never silently dropped."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
