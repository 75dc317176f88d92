"""A run's file while it is being written: a line for each prediction, as soon as it is there.

A line goes to the system in one write, so that a process which is killed leaves whole lines, and at most a part of one
behind them. Taking up a file cuts that part off. Two processes never write to the same file.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from evaluation.errors import EvaluationError, FileUnreadable
from evaluation.records import CaseRecord, PredictionRecord, RunRecord
from evaluation.run_file import Run, parse_run, record_line

ANOTHER_FILE = "name another file with --output"


class OtherRun(EvaluationError):
    """The file holds another run than the one that is to go on."""


class FileInUse(EvaluationError):
    """Another process writes to the file."""


class FileUnwritable(EvaluationError):
    """The file cannot be written."""


class GrowingRun:
    """An open file of a run. `predictions` are those that were there when it was opened."""

    def __init__(self, path: Path, file: BinaryIO, predictions: Sequence[PredictionRecord]) -> None:
        self.path = path
        self.predictions = tuple(predictions)
        self._file = file

    def append(self, prediction: PredictionRecord) -> None:
        """Write a line. Raises `FileUnwritable`."""
        try:
            _write(self._file, record_line(prediction).encode())
        except OSError as error:
            raise _unwritable(self.path, error) from error


@contextlib.contextmanager
def growing_run(path: Path, about: RunRecord, cases: Sequence[CaseRecord]) -> Iterator[GrowingRun]:
    """Begin the file of a run, or take up the one that is there; it is ours until the block ends.

    Raises `OtherRun` for a file of another suite, model or setting, `FileInUse`, `FileUnwritable`, and what
    `run_file.read_run` raises for a file that is no run, or damaged in its middle. Such a file stays as it was.
    """
    with _opened(path) as file:
        try:
            predictions = _begin(path, file, Run(about, tuple(cases), ()))
        except OSError as error:
            raise _unwritable(path, error) from error
        yield GrowingRun(path, file, predictions)


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


def _begin(path: Path, file: BinaryIO, new: Run) -> tuple[PredictionRecord, ...]:
    """The predictions that are there already."""
    head = "".join([record_line(new.about), *map(record_line, new.cases)]).encode()
    file.seek(0)
    found = file.read()
    # Nothing was predicted before all cases were written, so a part of the head is worth nothing.
    if head.startswith(found):
        file.truncate(0)
        _write(file, head)
        return ()
    whole = found[: found.rfind(b"\n") + 1]
    there = parse_run(_text(path, whole), path)
    _require_same(path, there, new)
    file.truncate(len(whole))
    return there.predictions


def _text(path: Path, content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise FileUnreadable(
            f"{path} is not text in UTF-8: byte {error.start:,} is not", remedy=ANOTHER_FILE
        ) from error


def _require_same(path: Path, there: Run, new: Run) -> None:
    for field in ("suite", "cases", "constrained", "template", "models"):
        old, wanted = getattr(there.about, field), getattr(new.about, field)
        if old != wanted:
            raise OtherRun(f"{path} is another run: its `{field}` {_difference(old, wanted)}", remedy=ANOTHER_FILE)
    if there.cases != new.cases:
        raise OtherRun(f"{path} has other cases than the suite has now", remedy=ANOTHER_FILE)


def _difference(old: object, wanted: object) -> str:
    """What differs, of models only what does."""
    if not isinstance(old, dict) or not isinstance(wanted, dict):
        return f"is {old!r}, and now it would be {wanted!r}"
    differing = next(name for name in (*old, *wanted) if old.get(name) != wanted.get(name))
    return f"has another {differing!r} than there is now"


def _write(file: BinaryIO, content: bytes) -> None:
    """All of it: the system may take a part only."""
    left = memoryview(content)
    while left:
        left = left[file.write(left) :]


def _unwritable(path: Path, error: OSError) -> FileUnwritable:
    return FileUnwritable(f"{path} cannot be written: {error.strerror}", remedy=ANOTHER_FILE)
