"""Write a file whole or not at all: what was there stays until its successor is complete."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO, cast


def write_whole(path: Path, text: str) -> None:
    """Put a text in the place of a file, through a temporary one beside it; a link leads on to its file.

    What is no regular file (a pipe, a terminal) is written to as it is; so is a device's name for one, which somebody
    else has open (`/dev/stdout`). Raises `OSError` with the name of the file.
    """
    try:
        with replaced(path) as file:
            file.write(text)
    except OSError as error:
        # The name of the temporary file says nothing to anybody.
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
