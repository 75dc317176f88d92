"""The choices that commands offer about files: the forms they are written in, and how two of them are held together."""

from __future__ import annotations

from enum import StrEnum


class Format(StrEnum):
    """`records` is the file of a run (`run_file`), `published` the list of the published code (`published`),
    `trajectories` the file of whole trajectories (`whole_run`), which has no predictions."""

    RECORDS = "records"
    PUBLISHED = "published"
    TRAJECTORIES = "trajectories"


class Correction(StrEnum):
    """What a gate does about many looks at one sample (`gate`): Holm's procedure, or nothing."""

    HOLM = "holm"
    NONE = "none"
