"""Bearer tokens: made on first start, kept in files that only their owner reads.

Three roles, so that a device or a Prometheus never holds the key to everything.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from agents.secretfile import read_secret, write_private
from profiler.base import StrEnum

TOKEN_BYTES = 32


class Role(StrEnum):
    """``admin`` may do all; ``agent`` may join and report; ``metrics`` may scrape."""

    ADMIN = "admin"
    AGENT = "agent"
    METRICS = "metrics"


def load_or_create(path: Path) -> str:
    """The token in ``path``, made at first use."""
    with suppress(FileExistsError):
        write_private(path, secrets.token_urlsafe(TOKEN_BYTES))
    return read_secret(path)


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class Tokens:
    """The coordinator's tokens; ``repr`` shows none of them."""

    directory: Path

    def path(self, role: Role) -> Path:
        return self.directory / f"{role.value}.token"

    def create(self) -> None:
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for role in Role:
            load_or_create(self.path(role))

    def token(self, role: Role) -> str:
        return read_secret(self.path(role))

    def role_of(self, token: str) -> Role | None:
        """Whose token this is; read at each call, so that a replaced file takes effect at once."""
        given = sha256(token)
        found = None
        for role in Role:
            if hmac.compare_digest(given, sha256(self.token(role))):
                found = role
        return found
