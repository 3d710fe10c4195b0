"""What ``profile`` gives back: the result, its raw iterations, and ways to look at them."""

from __future__ import annotations

import io
import tempfile
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from profiler.api.terms import in_python
from profiler.errors import InputError
from profiler.report import table
from profiler.result import Flag, Interval, Latency, RunError, RunResult

if TYPE_CHECKING:  # NumPy
    from profiler.samples import Iterations

RESULT_NAME = "result.json"
ITERATIONS_NAME = "iterations.npz"
# A result is some kilobytes; a file beyond this is not one, and is not read into memory.
RESULT_LIMIT = 64 * 1024 * 1024
# Of 19 bytes a row this is a hundred million iterations.
ITERATIONS_LIMIT = 2 * 1024 * 1024 * 1024
# What zipfile raises for an archive that is damaged, encrypted or compressed in a newer way.
_DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError)


@dataclass(frozen=True, eq=False, repr=False)
class Profile:
    """One measurement.

    Attributes:
        result: all figures, or the error that stands in their place.
        iterations: every iteration as measured, warm-ups marked; ``None`` for a run that failed.
    """

    result: RunResult
    iterations: Iterations | None = None

    @property
    def latency(self) -> Latency | None:
        """Statistics of the timed iterations, in seconds."""
        return self.result.latency

    @property
    def p50(self) -> Interval | None:
        """The median latency in seconds: ``value``, and its 95 % interval ``low`` … ``high``."""
        return self.result.latency.p50 if self.result.latency else None

    @property
    def throughput(self) -> float | None:
        """Items per second."""
        return self.result.throughput_items_per_second

    @property
    def flags(self) -> tuple[Flag, ...]:
        """What may be wrong with the figures, each with advice."""
        return self.result.flags

    @property
    def error(self) -> RunError | None:
        """Why there are no figures; ``None`` where there are."""
        return self.result.error

    def to_json(self) -> str:
        """The result as ``fleetmark run --json`` has it inside ``runs``."""
        return self.result.model_dump_json(indent=2)

    def save(self, path: str | Path) -> Path:
        """Write result and iterations: a zip file where ``path`` ends in .zip, else a directory.

        Raises:
            OSError: it cannot be written.
        """
        path = Path(path)
        if path.suffix != ".zip":
            self._save_in(path)
            return path
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".profile-", dir=path.parent) as work:
            self._save_in(Path(work))
            # An archive is there as a whole or not at all.
            _pack(Path(work)).replace(path)
        return path

    def _save_in(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        # An earlier profile's iterations must not stay beside this result.
        (directory / ITERATIONS_NAME).unlink(missing_ok=True)
        if self.iterations is not None:
            self.iterations.save(directory / ITERATIONS_NAME)
        (directory / RESULT_NAME).write_text(self.to_json(), encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path) -> Profile:
        """Read what ``save`` wrote. Nothing in it is executed or unpickled.

        Raises:
            InputError: it is not a saved profile, or a damaged one.
            OSError: it cannot be read.
        """
        path = Path(path)
        files = _read_directory(path) if path.is_dir() else _read_zip(path)
        if RESULT_NAME not in files:
            raise _unreadable(path, f"has no {RESULT_NAME}")
        try:
            result = RunResult.model_validate_json(files[RESULT_NAME])
            return cls(result, _iterations(files.get(ITERATIONS_NAME)))
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"]) or RESULT_NAME
            raise _unreadable(path, f"holds no result ({where}: {first['msg']})") from error
        except ValueError as error:
            raise _unreadable(path, f"holds damaged iterations ({error})") from error

    def __repr__(self) -> str:
        """The figures as lines of text, footnotes and advice below."""
        found = table([self.result])
        width = max(map(len, found.columns))
        lines = [
            f"{name:<{width}}  {cell}"
            for name, cell in zip(found.columns, found.rows[0], strict=True)
        ]
        notes = [f"({number}) {note}" for number, note in enumerate(found.footnotes, 1)]
        notes += [f"{flag.name}: {flag.detail}; {flag.advice}" for flag in self.flags]
        lines += map(in_python, notes)
        if self.error is not None and self.error.stderr_tail:
            lines.append(self.error.stderr_tail)
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        from profiler.display.html import render

        return str(render(self))


def _iterations(raw: bytes | None) -> Iterations | None:
    if raw is None:
        return None
    from profiler.samples import Iterations

    return Iterations.load(io.BytesIO(raw))


def _unreadable(path: Path, problem: str) -> InputError:
    return InputError("path", path, problem, "Give a path that Profile.save has written")


def _pack(directory: Path) -> Path:
    packed = directory / "profile.zip"
    with zipfile.ZipFile(packed, "x", zipfile.ZIP_DEFLATED) as archive:
        for name in (RESULT_NAME, ITERATIONS_NAME):
            if (directory / name).exists():
                archive.write(directory / name, name)
    return packed


def _limit(name: str) -> int:
    return RESULT_LIMIT if name == RESULT_NAME else ITERATIONS_LIMIT


def _read_directory(path: Path) -> dict[str, bytes]:
    files = {}
    for name in (RESULT_NAME, ITERATIONS_NAME):
        file = path / name
        if file.is_file():
            if file.stat().st_size > _limit(name):
                raise _unreadable(path, f"has a {name} too large to be one")
            files[name] = file.read_bytes()
    return files


def _read_zip(path: Path) -> dict[str, bytes]:
    files = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                if info.filename not in {RESULT_NAME, ITERATIONS_NAME}:
                    continue
                if info.file_size > _limit(info.filename):
                    raise _unreadable(path, f"has a {info.filename} too large to be one")
                files[info.filename] = archive.read(info)
    except _DAMAGED as error:
        raise _unreadable(path, f"is no zip file that can be read ({error})") from error
    return files
