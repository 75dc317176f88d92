"""What keeps files from being made, scored or compared. Each error says what to do about it.

EvaluationError
├── FileUnreadable       there is no such file, or it is not text
├── NotTheFormat         a place in the file is not what the format has there
│   ├── CutShort         the file ends in the middle
│   └── OtherVersion     another version of the program wrote it
├── DuplicateId          two cases or two predictions have the same id
├── NoReference          predictions that no case belongs to
├── EmptySuite           there is nothing to score
├── CasesDiffer          two files do not measure the same cases
├── GateRefused          two files of which nothing can be said before a release
└── RunInterrupted       a server stayed unavailable during a run; the file can be resumed
"""

from __future__ import annotations

from collections.abc import Sequence

SHOWN_IDS = 5


class EvaluationError(Exception):
    """Base of what this package raises. `remedy` says what to do about it."""

    def __init__(self, message: str, *, remedy: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy


class FileUnreadable(EvaluationError):
    """There is no such file, or it is not text."""


class NotTheFormat(EvaluationError):
    """A place in the file is not what the format has there."""


class CutShort(NotTheFormat):
    """The file ends in the middle."""


class OtherVersion(NotTheFormat):
    """Another version of the program wrote the file."""


class DuplicateId(EvaluationError):
    """Two cases or two predictions have the same id."""


class NoReference(EvaluationError):
    """Predictions that no case belongs to."""


class EmptySuite(EvaluationError):
    """There is nothing to score."""


class CasesDiffer(EvaluationError):
    """Two files do not measure the same cases."""


class GateRefused(EvaluationError):
    """Two files of which nothing can be said before a release: predictions are missing, or they were made otherwise."""


class RunInterrupted(EvaluationError):
    """A server stayed unavailable during a run. The file holds what was written, and can be resumed.

    `progress` says how many records the file has.
    """

    def __init__(self, message: str, *, progress: str) -> None:
        super().__init__(
            f"{message}; {progress}",
            remedy="run the same command again when it is available: it goes on from there",
        )
        self.progress = progress


def some(ids: Sequence[str]) -> str:
    """The first ids, and how many more there are."""
    more = f" and {len(ids) - SHOWN_IDS} more" if len(ids) > SHOWN_IDS else ""
    return ", ".join(map(repr, ids[:SHOWN_IDS])) + more
