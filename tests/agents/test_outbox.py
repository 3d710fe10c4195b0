"""A finished result is on disk before it is told, and stays until it is acknowledged."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agents.device.outbox import Outbox
from agents.messages import AttemptKey
from profiler.result import RunResult
from tests.builders import make_result
from tests.tools import small_disk

KEY = AttemptKey(run_id="run1", attempt=1)


@pytest.fixture
def outbox(tmp_path: Path) -> Outbox:
    return Outbox(tmp_path / "outbox")


def test_what_is_put_can_be_fetched_as_often_as_needed(outbox: Outbox) -> None:
    result = make_result()
    outbox.put(KEY, result, b"raw")
    for _ in range(2):
        text, raw = outbox.get(KEY)
        assert RunResult.model_validate_json(text) == result
        assert raw == b"raw"
    assert outbox.has(KEY)
    assert outbox.keys() == (KEY,)


def test_a_result_without_raw_iterations(outbox: Outbox) -> None:
    outbox.put(KEY, make_result(), None)
    assert outbox.get(KEY)[1] is None


def test_what_is_dropped_is_gone(outbox: Outbox, tmp_path: Path) -> None:
    outbox.put(KEY, make_result(), b"raw")
    outbox.drop(KEY)
    outbox.drop(KEY)
    assert not outbox.has(KEY)
    assert outbox.keys() == ()
    with pytest.raises(FileNotFoundError):
        outbox.get(KEY)
    assert not list((tmp_path / "outbox").iterdir())


def test_attempts_are_apart(outbox: Outbox) -> None:
    second = AttemptKey(run_id="run1", attempt=2)
    outbox.put(KEY, make_result(), b"1")
    outbox.put(second, make_result(attempt=2), b"2")
    outbox.drop(KEY)
    assert outbox.keys() == (second,)
    assert outbox.get(second)[1] == b"2"


def test_the_oldest_comes_first(outbox: Outbox, tmp_path: Path) -> None:
    keys = [AttemptKey(run_id=name, attempt=1) for name in ("c", "a", "b")]
    for age, key in enumerate(keys):
        outbox.put(key, make_result(), None)
        os.utime(tmp_path / "outbox" / f"{key.run_id}.1.json", ns=(age, age))
    assert outbox.keys() == tuple(keys)


def test_an_id_may_have_dots(outbox: Outbox) -> None:
    key = AttemptKey(run_id="a.b", attempt=12)
    outbox.put(key, make_result(), None)
    assert outbox.keys() == (key,)


def test_a_new_agent_finds_what_the_old_one_left(tmp_path: Path) -> None:
    Outbox(tmp_path).put(KEY, make_result(), b"raw")
    assert Outbox(tmp_path).keys() == (KEY,)


def test_what_was_cut_short_by_a_power_cut_does_not_count(outbox: Outbox, tmp_path: Path) -> None:
    directory = tmp_path / "outbox"
    (directory / "run1.1.npz").write_bytes(b"raw, and then the power went")
    (directory / "run1.1.partial").write_bytes(b'{"schema_ver')
    assert outbox.keys() == ()
    assert not outbox.has(KEY)
    outbox.put(KEY, make_result(), b"again")
    assert outbox.get(KEY)[1] == b"again"


def test_the_json_is_the_last_to_come(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Whoever sees the JSON must find the raw iterations beside it."""
    order: list[str] = []
    replace = Path.replace

    def noted(self: Path, target: Path) -> Path:
        order.append(target.suffix)
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", noted)
    outbox.put(KEY, make_result(), b"raw")
    assert order == [".npz", ".json"]


def test_it_is_on_the_disk_before_it_has_its_name(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    replace, fsync = Path.replace, os.fsync

    def noted_replace(self: Path, target: Path) -> Path:
        order.append("name")
        return replace(self, target)

    def noted_fsync(descriptor: int) -> None:
        order.append("sync")
        fsync(descriptor)

    monkeypatch.setattr(Path, "replace", noted_replace)
    monkeypatch.setattr(os, "fsync", noted_fsync)
    outbox.put(KEY, make_result(), None)
    assert order == ["sync", "name", "sync"]


def test_the_directory_is_private(outbox: Outbox, tmp_path: Path) -> None:
    assert (tmp_path / "outbox").stat().st_mode & 0o077 == 0


def test_a_file_of_somebody_else_does_not_stop_the_rest(outbox: Outbox, tmp_path: Path) -> None:
    (tmp_path / "outbox" / "notes.json").write_text("{}", encoding="ascii")
    outbox.put(KEY, make_result(), None)
    assert outbox.keys() == (KEY,)


def test_a_full_disk_keeps_nothing_half(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 64) as disk:
        outbox = Outbox(disk / "outbox")
        with pytest.raises(OSError, match="No space left"):
            outbox.put(KEY, make_result(), bytes(100 * 1024))
        assert list((disk / "outbox").iterdir()) == []
        outbox.put(KEY, make_result(), b"small")
        assert outbox.get(KEY)[1] == b"small"
