"""Dates and times as the tools take them: written out in full, and nothing else.

Left to itself the parser would also read `0` as the first of January 1970.
"""

from __future__ import annotations

import datetime as dt
import re
from typing import Annotated

from pydantic import BeforeValidator, WithJsonSchema

_DATE = r"^\d{4}-\d{2}-\d{2}$"
_MINUTE = r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}$"


def _written_date(value: object) -> dt.date:
    if isinstance(value, str) and re.match(_DATE, value):
        return dt.date.fromisoformat(value)
    raise ValueError("write the date as YYYY-MM-DD")


def _written_minute(value: object) -> dt.datetime:
    if isinstance(value, str) and re.match(_MINUTE, value):
        return dt.datetime.fromisoformat(value)
    raise ValueError("write the time as YYYY-MM-DDTHH:MM, without an offset")


Date = Annotated[
    dt.date,
    BeforeValidator(_written_date),
    WithJsonSchema({"type": "string", "format": "date", "pattern": _DATE, "minLength": 10, "maxLength": 10}),
]

LocalMinute = Annotated[
    dt.datetime,
    BeforeValidator(_written_minute),
    # No `format`: a date-time of JSON Schema has an offset, and this one is what a clock on the wall shows.
    WithJsonSchema({"type": "string", "pattern": _MINUTE, "minLength": 16, "maxLength": 16}),
]
