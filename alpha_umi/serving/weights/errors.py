"""Errors of preparing weights. They are `ManifestError`s, so that one handler covers all errors of a model folder.

WeightsError
├── SourceMissing      the package with the weights is not installed, or has another digest
├── CacheUnusable      the cache folder cannot be written, or its disk is full
├── CanaryFailed       converted weights do not generate the expected answer
├── CanaryUnsure       a model is too undecided about its canary to detect a wrong engine with it
├── AdapterUnusable    a trained role model does not fit: wrong role, wrong backbone, no weights
├── HubModelUnusable   a model of the hub is missing, gated, not in the cache, or does not fit on the disk
├── CheckpointUnusable a checkpoint is incomplete, damaged, or does not fit the conversion options
└── TargetUnusable     the target folder exists, is being written, or its disk is full
"""

from __future__ import annotations

from alpha_umi.serving.manifest import ManifestError


class WeightsError(ManifestError):
    """Base of the errors of preparing a model."""


class SourceMissing(WeightsError):
    """The package with the weights is not installed, or its file has another digest."""


class CacheUnusable(WeightsError):
    """The cache folder cannot be written, or its disk is full."""


class CanaryFailed(WeightsError):
    """Converted weights do not generate the expected answer."""


class AdapterUnusable(WeightsError):
    """A trained role model does not fit the role or the backbone."""


class HubModelUnusable(WeightsError):
    """A model of the hub is missing, gated, not in the cache while the hub is out of reach, or too large."""


class CanaryUnsure(WeightsError):
    """A model is too undecided about the first token of its canary."""


class CheckpointUnusable(WeightsError):
    """A checkpoint is incomplete, damaged, or does not fit the conversion options."""


class TargetUnusable(WeightsError):
    """The target folder exists, is being written, or its disk is full."""
