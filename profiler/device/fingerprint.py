"""What is known of this device beyond a single run: its own overhead, kept beside the cache."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from profiler.result import Overhead

_NAME = "overhead.json"


def save_overhead(directory: Path, found: Overhead) -> Path:
    """Keep it for the results to come; what was there is replaced whole."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / _NAME
    partial = path.with_suffix(".partial")
    partial.write_text(found.model_dump_json(indent=2) + "\n", encoding="utf-8")
    partial.replace(path)
    return path


def load_overhead(directory: Path) -> Overhead | None:
    """The last one that was measured; ``None``: never, or not in a form that is known here."""
    try:
        return Overhead.model_validate_json((directory / _NAME).read_bytes())
    except (FileNotFoundError, ValidationError):
        return None
