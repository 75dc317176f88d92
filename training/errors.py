"""What keeps data from being prepared or a model from being trained. Each error says what to do about it.

TrainingError
├── MixtureUnusable      the mixture's file is not what it has to be
├── SourceMissing        the data of a source is not at hand
├── BrokenEntries        entries of the data are broken; the first ones are named
├── NothingLeft          no example is left to learn from
├── PreparedUnusable     a folder of prepared data is missing, damaged, or not of this version
├── CannotWrite          the folder cannot be written; nothing half written stays
├── TokenizerMissing     the folder of the backbone has no tokenizer
└── NoEndOfTurn          the tokenizer has no token that ends a turn
"""

from __future__ import annotations

SHOWN_PLACES = 5


class TrainingError(Exception):
    """Base of what this package raises. `remedy` says what to do about it."""

    def __init__(self, message: str, *, remedy: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy


class MixtureUnusable(TrainingError):
    """The mixture's file is not what it has to be."""


class SourceMissing(TrainingError):
    """The data of a source is not at hand."""


class BrokenEntries(TrainingError):
    """Entries of the data are broken. `places` says of each what is wrong."""

    def __init__(self, places: tuple[str, ...], *, remedy: str) -> None:
        shown = "\n  ".join(places[:SHOWN_PLACES])
        more = f"\n  and {len(places) - SHOWN_PLACES} more" if len(places) > SHOWN_PLACES else ""
        super().__init__(f"{len(places)} broken entries:\n  {shown}{more}", remedy=remedy)
        self.places = places


class NothingLeft(TrainingError):
    """No example is left to learn from."""


class PreparedUnusable(TrainingError):
    """A folder of prepared data is missing, damaged, or not of this version."""


class CannotWrite(TrainingError):
    """The folder cannot be written; nothing half written stays."""


class TokenizerMissing(TrainingError):
    """The folder of the backbone has no tokenizer."""


class NoEndOfTurn(TrainingError):
    """The tokenizer has no token that ends a turn."""
