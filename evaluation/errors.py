"""Errors of generating, scoring and comparing, beside those of data files (`recordings.errors`). Each has a remedy.

DataError
├── NotTheFormat
│   └── OtherVersion     another version of the program wrote the file
└── EvaluationError
    ├── NoReference      predictions that no case belongs to
    ├── CasesDiffer      two files do not measure the same cases
    ├── GateRefused      two files of which nothing can be said before a release
    └── RunInterrupted   a server stayed unavailable during a run; the file can be resumed
"""

from __future__ import annotations

from recordings.errors import DataError, NotTheFormat


class EvaluationError(DataError):
    """Base of the errors of this package."""


class OtherVersion(NotTheFormat):
    """Another version of the program wrote the file."""


class NoReference(EvaluationError):
    """Predictions that no case belongs to."""


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
            remedy="run the same command again when it is available: it resumes",
        )
        self.progress = progress
