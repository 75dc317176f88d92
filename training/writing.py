"""Atomic writes of a run's files and folders; a failure becomes `CannotWrite`, with its remedy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from safetensors import SafetensorError

from alpha_umi import atomic
from training.errors import CannotWrite

RESUME = "make room, and run the same command again: it resumes from the last checkpoint"


def write_folder(folder: Path, fill: Callable[[Path], None], *, remedy: str = RESUME) -> None:
    """Replace a folder by what `fill` writes. Raises `CannotWrite`; then `folder` is as it was."""
    try:
        atomic.write_folder(folder, fill)
    except (OSError, SafetensorError) as error:
        raise _cannot_write(folder, error, remedy) from error


def write_file(path: Path, content: str | bytes) -> None:
    """Replace a file; text becomes UTF-8. Raises `CannotWrite`; then it is as it was."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic.write_file(path, content)
    except OSError as error:
        raise _cannot_write(path, error, RESUME) from error


def _cannot_write(path: Path, error: Exception, remedy: str) -> CannotWrite:
    reason = error.strerror if isinstance(error, OSError) else str(error)
    return CannotWrite(f"{path} cannot be written: {reason}; earlier files remain", remedy=remedy)
