"""The two forms in which predictions are written down."""

from __future__ import annotations

from enum import StrEnum


class Format(StrEnum):
    """`records` is the file of a run (`run_file`), `published` the list of the published code (`published`)."""

    RECORDS = "records"
    PUBLISHED = "published"
