"""Folders that appear under their name only when they are complete, checked and on the disk."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from alpha_umi.serving.manifest import verify
from alpha_umi.serving.weights.errors import TargetUnusable


def build_whole(folder: Path, partial: Path, build: Callable[[Path], None]) -> None:
    """Let `build` fill `partial`, a sibling of `folder`, check it against its manifest, and rename it to `folder`.

    An older `folder` is replaced. Raises what `build` raises, `ManifestError` and `OSError`; then `folder` is as it
    was, and `partial` is gone.
    """
    remove(partial)
    partial.mkdir()
    try:
        build(partial)
        verify(partial)
        _readable(partial)
        _sync(partial)
        remove(folder)
        partial.rename(folder)
        _sync_path(folder.parent)
    finally:
        remove(partial)


def build_new(folder: Path, build: Callable[[Path], None], *, needs: int) -> None:
    """The same for a folder that must not be there yet; its parents are made. `needs` is the room in bytes.

    Raises `TargetUnusable` for a folder that exists or is being built, and where there is no room.
    """
    _require_none(folder)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        require_room(folder.parent, needs)
        with alone(folder.parent / f".{folder.name}.lock"):
            # Another command may have ended in between.
            _require_none(folder)
            build_whole(folder, folder.parent / f".{folder.name}.partial", build)
    except OSError as error:
        raise TargetUnusable(f"{folder} could not be written: {error}") from error


def _require_none(folder: Path) -> None:
    if folder.exists() or folder.is_symlink():
        raise TargetUnusable(f"{folder} exists; name a folder that does not")


def require_room(folder: Path, needs: int) -> None:
    """Raises `TargetUnusable` when a folder's disk has less than `needs` bytes left."""
    free = shutil.disk_usage(folder).free
    if free < needs:
        raise TargetUnusable(f"{folder} has {free >> 20:,} MiB left and {needs >> 20:,} MiB are needed; make room")


def remove(folder: Path) -> None:
    """Remove a folder if it is there. Raises `OSError`."""
    if folder.exists():
        shutil.rmtree(folder)


@contextlib.contextmanager
def alone(lock: Path) -> Iterator[None]:
    """Refuse a second builder of one folder with `TargetUnusable`. The kernel frees the lock when this process dies."""
    with lock.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise TargetUnusable(f"another command is writing this folder (it holds {lock}); wait for it") from None
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)


def _readable(folder: Path) -> None:
    """Let those read the files who may read the folder: safetensors writes for its own user alone, and a container's
    is another."""
    shared = folder.stat().st_mode & 0o666
    for path in folder.iterdir():
        path.chmod(shared)


def _sync(folder: Path) -> None:
    for path in folder.iterdir():
        _sync_path(path)
    _sync_path(folder)


def _sync_path(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
