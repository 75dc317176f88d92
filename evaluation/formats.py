"""The forms in which what is scored is written down."""

from __future__ import annotations

from enum import StrEnum


class Format(StrEnum):
    """`records` is the file of a run (`run_file`), `published` the list of the published code (`published`),
    `trajectories` the file of whole trajectories (`whole_run`), which has no predictions."""

    RECORDS = "records"
    PUBLISHED = "published"
    TRAJECTORIES = "trajectories"
