"""Tokens are private files, each role has its own, and no other text is a token."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from agents.coordinator.auth import Role, Tokens, load_or_create, sha256
from agents.secretfile import read_secret, write_private
from profiler.errors import FleetmarkError


@pytest.fixture
def tokens(tmp_path: Path) -> Tokens:
    found = Tokens(tmp_path / "tokens")
    found.create()
    return found


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def careless_umask() -> object:
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.usefixtures("careless_umask")
def test_only_the_owner_can_read_them(tmp_path: Path) -> None:
    tokens = Tokens(tmp_path / "tokens")
    tokens.create()
    assert mode(tokens.directory) == 0o700
    for role in Role:
        assert mode(tokens.path(role)) == 0o600


def test_each_role_has_a_long_token_of_its_own(tokens: Tokens) -> None:
    found = {tokens.token(role) for role in Role}
    assert len(found) == len(Role)
    assert min(map(len, found)) >= 43


def test_tokens_stay_when_the_coordinator_comes_back(tokens: Tokens) -> None:
    before = [tokens.token(role) for role in Role]
    Tokens(tokens.directory).create()
    assert [tokens.token(role) for role in Role] == before


@pytest.mark.parametrize("role", list(Role))
def test_a_token_tells_its_role(tokens: Tokens, role: Role) -> None:
    assert tokens.role_of(tokens.token(role)) is role


def test_nothing_else_is_a_token(tokens: Tokens) -> None:
    admin = tokens.token(Role.ADMIN)
    for text in ("", " ", admin[:-1], admin + "x", admin.upper(), sha256(admin), "schlüssel"):
        assert tokens.role_of(text) is None


def test_a_replaced_file_takes_effect_at_once(tokens: Tokens) -> None:
    old = tokens.token(Role.AGENT)
    tokens.path(Role.AGENT).unlink()
    load_or_create(tokens.path(Role.AGENT))
    assert tokens.role_of(old) is None
    assert tokens.role_of(tokens.token(Role.AGENT)) is Role.AGENT


def test_repr_shows_no_token(tokens: Tokens) -> None:
    for role in Role:
        assert tokens.token(role) not in repr(tokens)


@pytest.mark.parametrize("bits", [0o640, 0o604, 0o660, 0o620, 0o601])
def test_a_file_that_others_may_use_is_refused(tokens: Tokens, bits: int) -> None:
    path = tokens.path(Role.ADMIN)
    path.chmod(bits)
    with pytest.raises(FleetmarkError, match=f"chmod 600 {path}"):
        tokens.token(Role.ADMIN)


@pytest.mark.parametrize("text", ["", "\n", "  \n"])
def test_an_empty_file_is_no_token(tmp_path: Path, text: str) -> None:
    path = tmp_path / "t"
    path.write_text(text, encoding="ascii")
    path.chmod(0o600)
    with pytest.raises(FleetmarkError, match="is empty"):
        read_secret(path)


def test_a_file_that_is_missing_or_binary_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(FleetmarkError, match="cannot be read"):
        read_secret(tmp_path / "none")
    path = tmp_path / "t"
    path.write_bytes(b"\xff\xfe\x00")
    path.chmod(0o600)
    with pytest.raises(FleetmarkError, match="cannot be read"):
        read_secret(path)
    with pytest.raises(FleetmarkError, match="cannot be read"):
        read_secret(tmp_path)


def test_a_private_file_is_never_written_over(tmp_path: Path) -> None:
    path = tmp_path / "t"
    write_private(path, "first")
    with pytest.raises(FileExistsError):
        write_private(path, "second")
    assert read_secret(path) == "first"


def test_a_link_that_is_laid_in_the_way_is_not_followed(tmp_path: Path) -> None:
    target = tmp_path / "target"
    (tmp_path / "t").symlink_to(target)
    with pytest.raises(FileExistsError):
        write_private(tmp_path / "t", "secret")
    assert not target.exists()
