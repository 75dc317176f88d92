"""Write a file whole or not at all: what was there stays until its successor is complete."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import TextIO, cast


def write_whole(path: Path, text: str) -> None:
    """Put a text in the place of a file, through a temporary one beside it; a link leads on to its file.

    What is no regular file (a pipe, a terminal) is written to as it is; so is a device's name for one, which somebody
    else has open (`/dev/stdout`). Raises `OSError` with the name of the file.
    """
    write_all({path: text})


def write_all(texts: Mapping[Path, str]) -> None:
    """Write several files, or none of them: each is opened before any of them is written, as `write_whole` does.

    Raises `OSError` with the name of the file that cannot be written.
    """
    names = set(map(str, texts))
    with contextlib.ExitStack() as opened:
        files = []
        for path in texts:
            opened.enter_context(_named(path, names))
            files.append(opened.enter_context(replaced(path)))
        for (path, text), file in zip(texts.items(), files, strict=True):
            with _named(path, names):
                file.write(text)
                file.flush()


@contextlib.contextmanager
def _named(path: Path, names: Collection[str]) -> Iterator[None]:
    """Name the file in an error that names none of them; that of a temporary file says nothing to anybody."""
    try:
        yield
    except OSError as error:
        if error.filename in names:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


@contextlib.contextmanager
def replaced(path: Path) -> Iterator[TextIO]:
    """A file to write to, which takes the place of the one at `path` when the block ends, and not if it fails.

    What is no regular file is written to as it is. Raises `OSError`.
    """
    if path.is_relative_to("/dev") or (path.exists() and not path.is_file()):
        with path.open("w", encoding="utf-8") as file:
            yield file
        return
    with _successor(Path(os.path.realpath(path))) as file:
        yield file


@contextlib.contextmanager
def _successor(target: Path) -> Iterator[TextIO]:
    mode = stat.S_IMODE(target.stat().st_mode) if target.exists() else 0o666 & ~_umask()
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=target.parent, prefix=".", delete=False) as file:
        written = Path(file.name)
        try:
            yield cast(TextIO, file)
            file.flush()
            os.fsync(file.fileno())
            written.chmod(mode)
            written.replace(target)
        except BaseException:
            with contextlib.suppress(OSError):
                written.unlink()
            raise


def _umask() -> int:
    """The one way to read it is to set it."""
    there = os.umask(0o077)
    os.umask(there)
    return there
