"""JSON Lines files that begin with a header record: read, checked, and written so that a run can resume.

A line is one write. A killed process leaves complete lines and at most one partial line, which is truncated when the
file is resumed. Two processes never write to the same file.

    OtherRun          the file is of another run than the one to resume
    FileInUse         another process writes to the file
    FileUnwritable    the file cannot be written
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Generic, Literal, TypeVar

from evaluation.errors import EvaluationError, OtherVersion
from recordings.errors import FORMAT_REMEDY, EmptySuite, FileUnreadable, NotTheFormat
from recordings.reading import parse_json

# The kinds of lines that models produce, and the command that writes them.
RecordKind = Literal["prediction", "trajectory", "verdict"]
_MADE_BY: Mapping[RecordKind, str] = {"prediction": "generate", "trajectory": "trajectories", "verdict": "judge"}


def _cut_line_remedy(line: str, kind: RecordKind, *, last: bool) -> str:
    """The remedy for a partial line of a file that can be resumed. Lines of its `kind` can be generated again.

    The command removes a partial line at the end of the file (`last`) itself; anywhere else it refuses to resume.
    """
    command = f"`alpha-umi evaluate {_MADE_BY[kind]}`"
    if last:
        return f"run the {command} that made it again: it resumes after the last complete line"
    if line.startswith(f'{{"kind":"{kind}"'):
        return f"remove this line, and run the {command} that made the file again: it generates what is missing"
    return f"make the file again with {command}, under another name: without this line its content is unknown"


def json_lines(text: str, path: Path, kind: RecordKind) -> Iterator[tuple[str, str, Any]]:
    """Every line that is not empty, with its place and its JSON value; lines of this `kind` can be generated again.

    Raises as `parse_json` does.
    """
    lines = text.split("\n")
    for number, line in enumerate(lines, start=1):
        if line.strip():
            place = f"{path}, line {number:,}"
            # `resume_jsonl` truncates the text after the last line end.
            remedy = _cut_line_remedy(line, kind, last=number == len(lines))
            yield place, line, parse_json(line, place, cut_remedy=remedy)


def require_version(value: Any, place: str, version: int) -> None:
    """Raises `OtherVersion` for a header record of another version."""
    version_read = value.get("version", version) if isinstance(value, dict) else version
    if isinstance(version_read, int) and version_read != version:
        raise OtherVersion(
            f"{place}: the file is of version {version_read}, and this program reads version {version}",
            remedy="make it again, or read it with the version of alpha-umi that wrote it",
        )


Head = TypeVar("Head")
Line = TypeVar("Line")


def parse_header_and_records(
    records: Sequence[Head | Line], head: type[Head], line: type[Line], path: Path, *, kind: str, empty: str
) -> tuple[Head, tuple[Line, ...]]:
    """The header record, of this `kind`, and the other records.

    Raises `NotTheFormat`, and `EmptySuite` with the remedy `empty` if there is no record.
    """
    if not records:
        raise EmptySuite(f"{path} is empty", remedy=empty)
    about, *others = records
    if not isinstance(about, head):
        raise NotTheFormat(f"{path} does not begin with a `{kind}` line", remedy=FORMAT_REMEDY)
    lines = tuple(record for record in others if isinstance(record, line))
    if len(lines) < len(others):
        raise NotTheFormat(f"{path} has a second `{kind}` line", remedy="keep each in a file of its own")
    return about, lines


ANOTHER_FILE = "name another file with --output"
Existing = TypeVar("Existing")


class OtherRun(EvaluationError):
    """The file is of another run than the one to resume."""


class FileInUse(EvaluationError):
    """Another process writes to the file."""


class FileUnwritable(EvaluationError):
    """The file cannot be written."""


class ResumableJsonl(Generic[Existing]):
    """An open file. `existing` is what `read` returned for the lines in the file; None for a new file."""

    def __init__(self, path: Path, file: BinaryIO, existing: Existing | None) -> None:
        self.path = path
        self.existing = existing
        self._file = file

    def append(self, line: str) -> None:
        """Write a line; it includes its line end. Raises `FileUnwritable`."""
        try:
            _write(self._file, line.encode())
        except OSError as error:
            raise _unwritable(self.path, error) from error


@contextlib.contextmanager
def resume_jsonl(path: Path, head: str, read: Callable[[str], Existing]) -> Iterator[ResumableJsonl[Existing]]:
    """Create the file at `path` with its header record, or resume it; it is locked until the block ends.

    `read` gets the complete lines of a file with more than a part of this header, and raises if the file must not be
    resumed: it is then not changed. Raises that, `FileInUse`, `FileUnwritable`, and `FileUnreadable`.
    """
    with _opened(path) as file:
        try:
            existing = _begin(path, file, head.encode(), read)
        except OSError as error:
            raise _unwritable(path, error) from error
        yield ResumableJsonl(path, file, existing)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    try:
        # Unbuffered: a line is one write. Append mode: it goes to the end, independent of reads.
        file = path.open("a+b", buffering=0)
    except OSError as error:
        raise _unwritable(path, error) from error
    with file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise FileUnwritable(f"{path} is not a regular file", remedy=ANOTHER_FILE)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise FileInUse(f"another process writes to {path}", remedy=f"wait for it, or {ANOTHER_FILE}") from error
        yield file


def _begin(path: Path, file: BinaryIO, head: bytes, read: Callable[[str], Existing]) -> Existing | None:
    file.seek(0)
    there = file.read()
    # Without a complete header nothing else was written, so a partial one is discarded.
    if head.startswith(there):
        file.truncate(0)
        _write(file, head)
        return None
    complete = there[: there.rfind(b"\n") + 1]
    existing = read(_text(path, complete))
    file.truncate(len(complete))
    return existing


def _text(path: Path, content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise FileUnreadable(
            f"{path} is not text in UTF-8: byte {error.start:,} is not", remedy=ANOTHER_FILE
        ) from error


def _write(file: BinaryIO, content: bytes) -> None:
    """Write all of it; the system may write only a part."""
    left = memoryview(content)
    while left:
        left = left[file.write(left) :]


def _unwritable(path: Path, error: OSError) -> FileUnwritable:
    return FileUnwritable(f"{path} cannot be written: {error.strerror}", remedy=ANOTHER_FILE)
