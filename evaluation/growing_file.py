"""A run's file while it is being written: its cases first, then a line for each prediction as soon as it is there."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from evaluation.growing_lines import ANOTHER_FILE, GrowingLines, OtherRun, growing_lines
from evaluation.records import CaseRecord, PredictionRecord, RunRecord
from evaluation.run_file import Run, parse_run, record_line


class GrowingRun:
    """An open file of a run. `predictions` are those that were there when it was opened."""

    def __init__(self, lines: GrowingLines[Run]) -> None:
        self.path = lines.path
        self.predictions = () if lines.found is None else lines.found.predictions
        self._lines = lines

    def append(self, prediction: PredictionRecord) -> None:
        """Write a line. Raises `FileUnwritable`."""
        self._lines.append(record_line(prediction))


@contextlib.contextmanager
def growing_run(path: Path, about: RunRecord, cases: Sequence[CaseRecord]) -> Iterator[GrowingRun]:
    """Begin the file of a run, or take up the one that is there; it is ours until the block ends.

    Raises `OtherRun` for a file of another suite, model or setting, what `growing_lines` raises, and what
    `run_file.read_run` raises for a file that is no run, or damaged in its middle. Such a file stays as it was.
    """
    head = "".join([record_line(about), *map(record_line, cases)])
    with growing_lines(path, head, lambda text: _same(path, parse_run(text, path), about, tuple(cases))) as lines:
        yield GrowingRun(lines)


def _same(path: Path, there: Run, about: RunRecord, cases: tuple[CaseRecord, ...]) -> Run:
    for field in ("suite", "cases", "constrained", "attempts", "template", "models"):
        old, wanted = getattr(there.about, field), getattr(about, field)
        if old != wanted:
            raise OtherRun(f"{path} is another run: its `{field}` {_difference(old, wanted)}", remedy=ANOTHER_FILE)
    if there.cases != cases:
        raise OtherRun(f"{path} has other cases than the suite has now", remedy=ANOTHER_FILE)
    return there


def _difference(old: object, wanted: object) -> str:
    """What differs, of models only what does."""
    if not isinstance(old, dict) or not isinstance(wanted, dict):
        return f"is {old!r}, and now it would be {wanted!r}"
    differing = next(name for name in (*old, *wanted) if old.get(name) != wanted.get(name))
    return f"has another {differing!r} than there is now"
