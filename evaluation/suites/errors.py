"""What keeps a suite from being read, beside the errors of every file (`evaluation.errors`).

EvaluationError
├── UnknownSuite         no suite, or no part of it, has this name
├── DataMissing          the data is not at hand; the remedy says what to put where
└── DataDiffers          the data is not what the suite was made of
"""

from __future__ import annotations

from evaluation.errors import EvaluationError

REMEDY = "docs/suites.md describes the format"


class UnknownSuite(EvaluationError):
    """No suite, or no part of it, has this name."""


class DataMissing(EvaluationError):
    """The data is not at hand."""


class DataDiffers(EvaluationError):
    """The data is not what the suite was made of."""
