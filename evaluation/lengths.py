"""Lengths of time as people write them for commands."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Final

_LENGTH = re.compile(r"([1-9][0-9]{0,4})([mhdw])")
_UNITS: Final = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def length_of_time(text: str) -> timedelta | None:
    """A number and m, h, d or w (minutes, hours, days, weeks); None for anything else."""
    found = _LENGTH.fullmatch(text)
    return None if found is None else timedelta(**{_UNITS[found[2]]: int(found[1])})
