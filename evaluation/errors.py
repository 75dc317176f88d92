"""Errors of generating, scoring and comparing; `recordings.errors` has those of data files. Each has a remedy.

DataError
├── NotTheFormat
│   └── OtherVersion     another version of the program wrote the file
└── EvaluationError
    ├── NoReference      predictions without a case
    ├── CasesDiffer      two files do not measure the same cases
    ├── GateRefused      the gate cannot compare two files
    └── RunInterrupted   a server stayed unavailable during a run; the file can be resumed
"""

from __future__ import annotations

from recordings.errors import DataError, NotTheFormat


class EvaluationError(DataError):
    """Base of the errors of this package."""


class OtherVersion(NotTheFormat):
    """Another version of the program wrote the file."""


class NoReference(EvaluationError):
    """Predictions without a case."""


class CasesDiffer(EvaluationError):
    """Two files do not measure the same cases."""


class GateRefused(EvaluationError):
    """The gate cannot compare two files: predictions are missing, or the runs have different settings."""


class RunInterrupted(EvaluationError):
    """A server stayed unavailable during a run. The file holds what was written, and can be resumed.

    `progress` is the number of records in the file, as a phrase.
    """

    def __init__(self, message: str, *, progress: str) -> None:
        super().__init__(
            f"{message}; {progress}",
            remedy="run the same command again when it is available: it resumes",
        )
        self.progress = progress
