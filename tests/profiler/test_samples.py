"""Raw iterations survive the way to disk, and nothing else is taken for them."""

from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest

from profiler.samples import UNKNOWN, Iterations


def example() -> Iterations:
    return Iterations.concatenate(
        [
            Iterations.from_stamps(0, [(0, 100), (100, 190)], [(190, 280), (280, 365)]),
            Iterations.from_stamps(1, [], [(1000, 1090), (1100, 1200)]),
        ]
    )


def test_stamps_become_rows_with_the_lead_in_marked() -> None:
    found = example()
    assert found.repetition.tolist() == [0, 0, 0, 0, 1, 1]
    assert found.warmup.tolist() == [True, True, False, False, False, False]
    assert found.start_ns.tolist() == [0, 100, 190, 280, 1000, 1100]
    assert found.latency_ns.tolist() == [100, 90, 90, 85, 90, 100]


def test_no_stamps_are_no_rows() -> None:
    assert len(Iterations.from_stamps(3, [], []).latency_ns) == 0


def test_the_lead_in_is_not_in_the_statistics() -> None:
    assert example().timed_seconds() == pytest.approx([90e-9, 85e-9, 90e-9, 100e-9])


def test_the_timed_window_of_each_repetition() -> None:
    windows = example().timed_windows()
    assert windows == [pytest.approx((190e-9, 365e-9)), pytest.approx((1000e-9, 1200e-9))]


def test_a_repetition_whose_calls_were_not_timed_singly_has_no_window() -> None:
    """As in ``offline``: its warm-up alone is there."""
    warmup = [(0, 5), (5, 9)]
    assert Iterations.from_stamps(0, warmup, []).timed_windows() == []
    both = Iterations.concatenate(
        [Iterations.from_stamps(0, warmup, []), Iterations.from_stamps(1, warmup, [(10, 30)])]
    )
    assert both.timed_windows() == [pytest.approx((1e-8, 3e-8))]


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "iterations.npz"
    before = example()
    before.save(path)
    for source in (path, io.BytesIO(path.read_bytes())):
        after = Iterations.load(source)
        for name in ("repetition", "warmup", "start_ns", "latency_ns"):
            assert getattr(after, name).tolist() == getattr(before, name).tolist()
            assert getattr(after, name).dtype == getattr(before, name).dtype


def test_the_devices_own_time_is_kept_where_it_was_taken(tmp_path: Path) -> None:
    path = tmp_path / "iterations.npz"
    taken = Iterations.from_stamps(0, [(0, 9)], [(10, 20), (20, 30)], [0], device_ns=[7, 8])
    mixed = Iterations.concatenate([taken, Iterations.from_stamps(1, [], [(40, 50)])])
    assert mixed.device_ns.tolist() == [UNKNOWN, 7, 8, UNKNOWN]
    mixed.save(path)
    after = Iterations.load(path)
    assert after.device_ns.tolist() == mixed.device_ns.tolist()
    # What led in counts here no more than by the clock.
    assert [group.tolist() for group in after.device_groups()] == [[8e-9]]


def test_a_time_that_was_not_taken_is_no_column(tmp_path: Path) -> None:
    path = tmp_path / "iterations.npz"
    example().save(path)
    with np.load(path) as data:
        assert "device_ns" not in data
    assert Iterations.load(path).device_ns.tolist() == [UNKNOWN] * 6
    assert Iterations.load(path).device_groups() == []


def npz(**columns: object) -> bytes:
    file = io.BytesIO()
    np.savez(file, **columns)  # type: ignore[arg-type]
    return file.getvalue()


def npy() -> bytes:
    file = io.BytesIO()
    np.save(file, np.zeros(3))
    return file.getvalue()


class Bomb:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("the pickle ran",)


def columns() -> dict[str, object]:
    found = example()
    return {
        "repetition": found.repetition,
        "warmup": found.warmup,
        "start_ns": found.start_ns,
        "latency_ns": found.latency_ns,
    }


def damaged() -> bytes:
    """A complete archive whose first array is not what its checksum says."""
    data = bytearray(npz(**columns()))
    data[150] ^= 0xFF
    return bytes(data)


def other_archive() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("repetition.npy", b"no array")
    return file.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"nonsense",
        b"PK\x03\x04 cut short",
        npz(**columns())[:-40],
        npy(),
        damaged(),
        other_archive(),
        npz(repetition=np.zeros(2)),
        npz(**columns() | {"warmup": np.zeros(2, dtype=np.bool_)}),
        npz(**columns() | {"start_ns": np.zeros((6, 2), dtype=np.int64)}),
        npz(**columns() | {"latency_ns": np.array(["a"] * 6)}),
        npz(**columns() | {"device_ns": np.zeros(5, dtype=np.int64)}),
        pickle.dumps(Bomb()),
        npz(**columns() | {"warmup": np.array([Bomb()] * 6, dtype=object)}),
    ],
    ids=[
        "empty", "nonsense", "header", "truncated", "npy", "damaged", "other", "missing",
        "lengths", "shape", "text", "device",
        "pickle", "pickled-array",
    ],
)  # fmt: skip
def test_anything_else_is_refused(
    data: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "iterations.npz"
    path.write_bytes(data)
    for source in (path, io.BytesIO(data)):
        with pytest.raises(ValueError, match="iterations"):
            Iterations.load(source)
    assert "the pickle ran" not in capsys.readouterr().out


def test_a_file_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Iterations.load(tmp_path / "none.npz")
