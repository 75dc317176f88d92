"""Errors of generating, scoring and comparing, beside those of data files (`recordings.errors`). Each has a remedy.

DataError
├── NotTheFormat
│   └── OtherVersion     another version of the program wrote the file
└── EvaluationError
    ├── NoReference      predictions that no case belongs to
    ├── CasesDiffer      two files do not measure the same cases
    ├── GateRefused      two files of which nothing can be said before a release
    └── ServiceAway      a service stayed away for longer than it was waited for
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


class ServiceAway(EvaluationError):
    """A service stayed away for longer than it was waited for; what was written so far is kept.

    `progress` tells how far the file is, once there is one.
    """

    def __init__(self, message: str, *, remedy: str | None = None, progress: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.progress = progress
