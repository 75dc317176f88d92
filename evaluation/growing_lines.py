"""A file of lines while it is being written: begun with a head, and gone on with where it ended.

A line goes to the system in one write, so that a process which is killed leaves whole lines, and at most a part of one
behind them. Taking up a file cuts that part off. Two processes never write to the same file.

    OtherRun          the file holds another run than the one that is to go on
    FileInUse         another process writes to the file
    FileUnwritable    the file cannot be written
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Generic, TypeVar

from evaluation.errors import EvaluationError
from recordings.errors import FileUnreadable

ANOTHER_FILE = "name another file with --output"
Found = TypeVar("Found")


class OtherRun(EvaluationError):
    """The file holds another run than the one that is to go on."""


class FileInUse(EvaluationError):
    """Another process writes to the file."""


class FileUnwritable(EvaluationError):
    """The file cannot be written."""


class GrowingLines(Generic[Found]):
    """An open file. `found` is what was read of the lines that were there; None in a new file."""

    def __init__(self, path: Path, file: BinaryIO, found: Found | None) -> None:
        self.path = path
        self.found = found
        self._file = file

    def append(self, line: str) -> None:
        """Write a line, which ends in a line end. Raises `FileUnwritable`."""
        try:
            _write(self._file, line.encode())
        except OSError as error:
            raise _unwritable(self.path, error) from error


@contextlib.contextmanager
def growing_lines(path: Path, head: str, read: Callable[[str], Found]) -> Iterator[GrowingLines[Found]]:
    """Begin the file at `path` with its head, or go on with it; it is ours until the block ends.

    `read` is given the whole lines of a file that has more than a part of this head, and raises if it must not go on:
    such a file stays as it was. Raises that, `FileInUse`, `FileUnwritable`, and `FileUnreadable`.
    """
    with _opened(path) as file:
        try:
            found = _begin(path, file, head.encode(), read)
        except OSError as error:
            raise _unwritable(path, error) from error
        yield GrowingLines(path, file, found)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    try:
        # Unbuffered: a line is a write. Appending: it goes to the end, whatever was read before.
        file = path.open("a+b", buffering=0)
    except OSError as error:
        raise _unwritable(path, error) from error
    with file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise FileUnwritable(f"{path} is no regular file", remedy=ANOTHER_FILE)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise FileInUse(f"another process writes to {path}", remedy=f"wait for it, or {ANOTHER_FILE}") from error
        yield file


def _begin(path: Path, file: BinaryIO, head: bytes, read: Callable[[str], Found]) -> Found | None:
    file.seek(0)
    there = file.read()
    # Nothing comes before the head is whole, so a part of it is worth nothing.
    if head.startswith(there):
        file.truncate(0)
        _write(file, head)
        return None
    whole = there[: there.rfind(b"\n") + 1]
    found = read(_text(path, whole))
    file.truncate(len(whole))
    return found


def _text(path: Path, content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise FileUnreadable(
            f"{path} is not text in UTF-8: byte {error.start:,} is not", remedy=ANOTHER_FILE
        ) from error


def _write(file: BinaryIO, content: bytes) -> None:
    """All of it: the system may take a part only."""
    left = memoryview(content)
    while left:
        left = left[file.write(left) :]


def _unwritable(path: Path, error: OSError) -> FileUnwritable:
    return FileUnwritable(f"{path} cannot be written: {error.strerror}", remedy=ANOTHER_FILE)
