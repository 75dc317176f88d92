"""Errors of preparing data and training models. Each error has a remedy.

TrainingError
├── MixtureUnusable      the mixture's file is invalid
├── SourceMissing        the data of a source is not on this machine
├── BrokenEntries        entries of the data are broken; the first ones are named
├── NothingLeft          no training example is left
├── TrainsOnSuite        the data contains instructions of a suite
├── PreparedUnusable     a folder of prepared data is missing, damaged, or not of this version
├── CannotWrite          the folder cannot be written; no partial file stays
├── TokenizerMissing     the folder of the backbone has no tokenizer
├── NoEndOfTurn          the tokenizer has no token that ends a turn
├── RecipeUnusable       a variant or a config is unknown, or its file is invalid
├── BackboneUnusable     the backbone is missing, or does not match the config or the data
├── DeviceMissing        the config requires a GPU or a number format that this machine lacks
├── RunDiffers           the output has a run, or a checkpoint, with another identity
├── RecordUnusable       a record of a run is missing or damaged
├── LossNotFinite        the loss or its gradient is not finite
├── ExportRefused        a run is not complete, or does not match its template or backbone
└── Stopped              the run was interrupted; the same command resumes it
"""

from __future__ import annotations

MAX_SHOWN_PLACES = 5


class TrainingError(Exception):
    """Base of the errors of this package. `remedy` says what the user can do."""

    def __init__(self, message: str, *, remedy: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy


class MixtureUnusable(TrainingError):
    """The mixture's file is invalid."""


class SourceMissing(TrainingError):
    """The data of a source is not on this machine."""


class BrokenEntries(TrainingError):
    """Entries of the data are broken. `places` has the error of each."""

    def __init__(self, places: tuple[str, ...], *, remedy: str) -> None:
        shown = "\n  ".join(places[:MAX_SHOWN_PLACES])
        more = f"\n  and {len(places) - MAX_SHOWN_PLACES} more" if len(places) > MAX_SHOWN_PLACES else ""
        super().__init__(f"{len(places)} broken entries:\n  {shown}{more}", remedy=remedy)
        self.places = places


class NothingLeft(TrainingError):
    """No training example is left."""


class TrainsOnSuite(TrainingError):
    """The data contains instructions of a suite."""


class PreparedUnusable(TrainingError):
    """A folder of prepared data is missing, damaged, or not of this version."""


class CannotWrite(TrainingError):
    """The folder cannot be written; no partial file stays."""


class TokenizerMissing(TrainingError):
    """The folder of the backbone has no tokenizer."""


class NoEndOfTurn(TrainingError):
    """The tokenizer has no token that ends a turn."""


class RecipeUnusable(TrainingError):
    """A variant or a config is unknown, or its file is invalid."""


class BackboneUnusable(TrainingError):
    """The backbone is missing, or does not match the config or the data."""


class DeviceMissing(TrainingError):
    """The config requires a GPU or a number format that this machine lacks."""


class RunDiffers(TrainingError):
    """The output has a run, or a checkpoint, with another identity."""


class RecordUnusable(TrainingError):
    """A record of a run or of a stage is missing or damaged."""


class LossNotFinite(TrainingError):
    """The loss or its gradient is not finite. The last checkpoint remains."""


class ExportRefused(TrainingError):
    """A run is not complete, or does not match its template or backbone."""


class Stopped(TrainingError):
    """The run was interrupted after a checkpoint; the same command resumes from it."""
