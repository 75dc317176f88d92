"""Intervals and tests: the bootstrap over trajectories, paired differences, and the release gate."""

from __future__ import annotations

from enum import StrEnum


class Correction(StrEnum):
    """The correction of a gate for multiple comparisons: Holm's procedure, or none."""

    HOLM = "holm"
    NONE = "none"
