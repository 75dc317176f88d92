"""Errors of preparing weights. They are `ManifestError`s, so that one handler covers all trouble with a model folder.

WeightsError
├── SourceMissing      the package that carries the weights is not installed, or is not the known one
├── CacheUnusable      the cache folder cannot be written, or is too small
├── CanaryFailed       the weights are there, but do not write what they should
├── CanaryUnsure       a model is too undecided about its canary to tell a right engine from a wrong one by it
├── AdapterUnusable    a trained role model does not fit: wrong role, wrong backbone, no weights
├── CheckpointUnusable a folder to convert lacks something, holds something else, or does not fit what was asked for
└── TargetUnusable     the folder to write exists, is being written, or has no room
"""

from __future__ import annotations

from alpha_umi.serving.manifest import ManifestError


class WeightsError(ManifestError):
    """Base of what keeps a model from being prepared."""


class SourceMissing(WeightsError):
    """The package that carries the weights is not installed, or holds other bytes than the known ones."""


class CacheUnusable(WeightsError):
    """The cache folder cannot be written, or is too small."""


class CanaryFailed(WeightsError):
    """Converted weights do not write what they should."""


class AdapterUnusable(WeightsError):
    """A trained role model does not fit the role or the backbone."""


class CanaryUnsure(WeightsError):
    """A model is too undecided about the first word of its canary."""


class CheckpointUnusable(WeightsError):
    """A folder to convert lacks something, holds something else, or does not fit what was asked for."""


class TargetUnusable(WeightsError):
    """The folder to write exists, is being written, or has no room."""
