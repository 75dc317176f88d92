"""Files and folders that appear under their name only when they are complete and on the disk, and process locks.

A write that fails, also by kill -9 or on a full disk, leaves the previous file or folder as it was.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

PARTIAL = ".partial"


def write_file(path: Path, content: str | bytes) -> None:
    """Replace a file; text becomes UTF-8. A link is followed; the file's mode is preserved.

    Anything but a regular file (a pipe, a terminal, `/dev/stdout`) is opened and written to directly.
    Raises `OSError` with the name of the file.
    """
    write_files({path: content})


def write_files(contents: Mapping[Path, str | bytes]) -> None:
    """Replace several files, or none of them: each is opened before any is written, as `write_file` does.

    Raises `OSError` with the name of the file that cannot be written.
    """
    names = set(map(str, contents))
    with contextlib.ExitStack() as stack:
        files = []
        for path, content in contents.items():
            stack.enter_context(_named(path, names))
            files.append(stack.enter_context(open_atomic(path, "w" if isinstance(content, str) else "wb")))
        for (path, content), file in zip(contents.items(), files, strict=True):
            with _named(path, names):
                file.write(content)
                file.flush()


@contextlib.contextmanager
def _named(path: Path, names: Collection[str]) -> Iterator[None]:
    """Put the file's name into an `OSError` that has none of `names`; that of a temporary file means nothing."""
    try:
        yield
    except OSError as error:
        if error.filename in names:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


@contextlib.contextmanager
def open_atomic(path: Path, mode: str = "w") -> Iterator[IO[Any]]:
    """A file to write to (`mode` "w" for UTF-8 text, "wb" for bytes) that replaces `path` unless the block fails.

    Anything but a regular file is written to directly. Raises `OSError`.
    """
    encoding = None if "b" in mode else "utf-8"
    # A device's name may stand for a file that another process has open (`/dev/stdout`).
    if path.is_relative_to("/dev") or (path.exists() and not path.is_file()):
        with path.open(mode, encoding=encoding) as file:
            yield file
        return
    target = Path(os.path.realpath(path))
    permissions = stat.S_IMODE(target.stat().st_mode) if target.exists() else 0o666 & ~_umask()
    with tempfile.NamedTemporaryFile(mode, encoding=encoding, dir=target.parent, prefix=".", delete=False) as file:
        partial = Path(file.name)
        try:
            yield file
            file.flush()
            os.fsync(file.fileno())
            partial.chmod(permissions)
            partial.replace(target)
        except BaseException:
            with contextlib.suppress(OSError):
                partial.unlink()
            raise


def _umask() -> int:
    """The process's umask; the only way to read it is to set it."""
    current = os.umask(0o077)
    os.umask(current)
    return current


def write_folder(folder: Path, fill: Callable[[Path], None], *, partial: Path | None = None) -> None:
    """Let `fill` write into `partial`, a sibling of `folder`, and rename that to `folder` once it is on the disk.

    An older `folder` is replaced, and a `partial` of a killed process removed. Raises `OSError` and what `fill` raises;
    then `folder` is as it was, and `partial` is removed.
    """
    partial = partial or folder.with_name(folder.name + PARTIAL)
    try:
        remove_folder(partial)
        partial.mkdir(parents=True)
        fill(partial)
        for path in partial.rglob("*"):
            _sync(path)
        _sync(partial)
        remove_folder(folder)
        partial.rename(folder)
        _sync(folder.parent)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def remove_folder(folder: Path) -> None:
    """Remove a folder if it exists. Raises `OSError`."""
    if folder.exists():
        shutil.rmtree(folder)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def locked(path: Path, *, on_wait: Callable[[], None] | None = None) -> Iterator[IO[str]]:
    """Hold an exclusive lock between processes, on the file `path`. The kernel releases it when this process dies.

    If another process holds it: `on_wait` is called, and the block begins when the lock is free; without `on_wait`
    `BlockingIOError` is raised.
    """
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if on_wait is None:
                raise
            on_wait()
            fcntl.flock(file, fcntl.LOCK_EX)
        yield file
