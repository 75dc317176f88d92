"""What keeps data from being prepared or a model from being trained. Each error says what to do about it.

TrainingError
├── MixtureUnusable      the mixture's file is not what it has to be
├── NothingLeft          no example is left for a role or a split
├── PreparedUnusable     a folder of prepared data is missing, damaged, or not of this version
├── CannotWrite          the folder cannot be written; nothing half written stays
└── NoEndOfTurn          the tokenizer has no token that ends a turn
"""

from __future__ import annotations


class TrainingError(Exception):
    """Base of what this package raises. `remedy` says what to do about it."""

    def __init__(self, message: str, *, remedy: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy


class MixtureUnusable(TrainingError):
    """The mixture's file is not what it has to be."""


class NothingLeft(TrainingError):
    """No example is left for a role or a split."""


class PreparedUnusable(TrainingError):
    """A folder of prepared data is missing, damaged, or not of this version."""


class CannotWrite(TrainingError):
    """The folder cannot be written; nothing half written stays."""


class NoEndOfTurn(TrainingError):
    """The tokenizer has no token that ends a turn."""
