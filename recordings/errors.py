"""Errors of reading data files, recorded trajectories and suites. Each error has a remedy.

DataError
├── FileUnreadable       the file does not exist, or is not text
├── NotTheFormat         a place in the file does not match the format
│   └── CutShort         the file ends in the middle of a value
├── DuplicateId          two entries have the same id
├── EmptySuite           the file has nothing to evaluate
├── UnknownSuite         no suite, or no part of it, has this name
├── DataMissing          the data is not on this machine; the remedy says what to put where
├── DataDiffers          the data is not what the suite was recorded from
└── Contaminated         training instructions are in a suite
"""

from __future__ import annotations

from collections.abc import Sequence

MAX_SHOWN_IDS = 5
FORMAT_REMEDY = "docs/evaluation.md describes the format"
REMEDY = "docs/suites.md describes the format"


class DataError(Exception):
    """Base of the errors of this package. `remedy` says what the user can do."""

    def __init__(self, message: str, *, remedy: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy


class FileUnreadable(DataError):
    """The file does not exist, or is not text."""


class NotTheFormat(DataError):
    """A place in the file does not match the format."""


class CutShort(NotTheFormat):
    """The file ends in the middle of a value."""


class DuplicateId(DataError):
    """Two entries have the same id."""


class EmptySuite(DataError):
    """There is nothing to evaluate."""


class UnknownSuite(DataError):
    """No suite, or no part of it, has this name."""


class DataMissing(DataError):
    """The data is not on this machine."""


class DataDiffers(DataError):
    """The data is not what the suite was recorded from."""


class Contaminated(DataError):
    """Training instructions are in a suite. `digests` are those of the shared instructions, `suite` is its name."""

    def __init__(self, suite: str, digests: frozenset[str]) -> None:
        super().__init__(
            f"{len(digests)} training instructions are in the suite {suite!r}: {some(sorted(digests))}",
            remedy="exclude them from training, or do not evaluate on this suite",
        )
        self.suite = suite
        self.digests = digests


def some(ids: Sequence[str]) -> str:
    """The first `MAX_SHOWN_IDS` ids, and the number of the others."""
    more = f" and {len(ids) - MAX_SHOWN_IDS} more" if len(ids) > MAX_SHOWN_IDS else ""
    return ", ".join(map(repr, ids[:MAX_SHOWN_IDS])) + more
