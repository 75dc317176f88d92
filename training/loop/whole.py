"""Folders and files that are there whole or not at all, also after kill -9 or on a full disk."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from safetensors import SafetensorError

from training.errors import CannotWrite

PARTIAL = ".partial"
GO_ON = "make room, and run the same command again: it goes on from the last checkpoint"


def write_folder(folder: Path, fill: Callable[[Path], None], *, remedy: str = GO_ON) -> None:
    """Let `fill` write into a sibling of `folder`, and rename it when all of it is on the disk.

    Raises `CannotWrite`, with the remedy; then `folder` is as it was.
    """
    partial = folder.with_name(folder.name + PARTIAL)
    try:
        _remove(partial)
        partial.mkdir(parents=True)
        fill(partial)
        _sync(partial)
        _remove(folder)
        partial.rename(folder)
        _sync_path(folder.parent)
    except (OSError, SafetensorError) as error:
        raise _cannot(folder, error, remedy) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def write_file(path: Path, content: str | bytes) -> None:
    """Replace a file; text becomes UTF-8. Raises `CannotWrite`; then it is as it was."""
    partial = path.with_name(path.name + PARTIAL)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            file.write(content if isinstance(content, bytes) else content.encode())
            file.flush()
            os.fsync(file.fileno())
        partial.rename(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise _cannot(path, error, GO_ON) from error


def _cannot(path: Path, error: Exception, remedy: str) -> CannotWrite:
    reason = error.strerror if isinstance(error, OSError) else str(error)
    return CannotWrite(f"{path} cannot be written: {reason}; what was written before is kept", remedy=remedy)


def _remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)


def _sync(folder: Path) -> None:
    for path in folder.rglob("*"):
        _sync_path(path)
    _sync_path(folder)


def _sync_path(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
