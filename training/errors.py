"""What keeps data from being prepared or a model from being trained. Each error says what to do about it.

TrainingError
├── MixtureUnusable      the mixture's file is not what it has to be
├── SourceMissing        the data of a source is not at hand
├── BrokenEntries        entries of the data are broken; the first ones are named
├── NothingLeft          no example is left to learn from
├── TrainsOnSuite        the data holds instructions that models are measured on
├── PreparedUnusable     a folder of prepared data is missing, damaged, or not of this version
├── CannotWrite          the folder cannot be written; nothing half written stays
├── TokenizerMissing     the folder of the backbone has no tokenizer
├── NoEndOfTurn          the tokenizer has no token that ends a turn
├── RecipeUnusable       a variant or a config is unknown, or its file is not what it has to be
├── BackboneUnusable     the backbone is missing, or does not go with the config or the data
├── DeviceMissing        the config asks for a GPU or a number format that this machine does not have
├── RunDiffers           the output holds a run, or a checkpoint, that was made from something else
├── RecordUnusable       what a run says about itself is missing or damaged
├── LossNotFinite        the loss or its gradient is no number any more
├── ExportRefused        a run is not complete, or does not go with what the services have
└── Stopped              somebody asked the run to stop; the same command goes on
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


class TrainsOnSuite(TrainingError):
    """The data holds instructions that models are measured on."""


class PreparedUnusable(TrainingError):
    """A folder of prepared data is missing, damaged, or not of this version."""


class CannotWrite(TrainingError):
    """The folder cannot be written; nothing half written stays."""


class TokenizerMissing(TrainingError):
    """The folder of the backbone has no tokenizer."""


class NoEndOfTurn(TrainingError):
    """The tokenizer has no token that ends a turn."""


class RecipeUnusable(TrainingError):
    """A variant or a config is unknown, or its file is not what it has to be."""


class BackboneUnusable(TrainingError):
    """The backbone is missing, or does not go with the config or the data."""


class DeviceMissing(TrainingError):
    """The config asks for a GPU or a number format that this machine does not have."""


class RunDiffers(TrainingError):
    """The output holds a run, or a checkpoint, that was made from something else."""


class RecordUnusable(TrainingError):
    """What a run or a stage of it says about itself is missing or damaged."""


class LossNotFinite(TrainingError):
    """The loss or its gradient is no number any more. The last checkpoint is kept."""


class ExportRefused(TrainingError):
    """A run is not complete, or its models do not go with what the services have."""


class Stopped(TrainingError):
    """Somebody asked the run to stop; a checkpoint was written, and the same command goes on from it."""
