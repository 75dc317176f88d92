"""The files of evaluation: runs over steps, runs over trajectories, and the published prediction format."""

from __future__ import annotations

from enum import StrEnum


class Format(StrEnum):
    """The format of a file of predictions.

    `records`: the file of a step run (`step_run`). `published`: the list that the published code writes (`published`).
    `trajectories`: the file of a trajectory run, which has no predictions of steps.
    """

    RECORDS = "records"
    PUBLISHED = "published"
    TRAJECTORIES = "trajectories"
