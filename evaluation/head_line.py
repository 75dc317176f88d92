"""Files of lines whose first says what the others are of."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from recordings.errors import FORMAT_REMEDY, EmptySuite, NotTheFormat

Head = TypeVar("Head")
Line = TypeVar("Line")


def head_and_lines(
    records: Sequence[Head | Line], head: type[Head], line: type[Line], path: Path, *, kind: str, empty: str
) -> tuple[Head, tuple[Line, ...]]:
    """The first record, of the `kind` that is the head, and the others, of which none is one.

    Raises `NotTheFormat`, and `EmptySuite` with the remedy `empty` where there is no record.
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
