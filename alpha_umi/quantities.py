"""Counts and durations as people write them."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Final

_DURATION = re.compile(r"([1-9][0-9]{0,4})([mhdw])")
_UNITS: Final = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def pluralize(count: int, noun: str) -> str:
    """A count with its noun, which is given in the singular: `1 step`, `2,000 trajectories`."""
    plural = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{count:,} {noun if count == 1 else plural}"


def parse_duration(text: str) -> timedelta | None:
    """A number and m, h, d or w (minutes, hours, days, weeks); None for anything else."""
    match = _DURATION.fullmatch(text)
    return None if match is None else timedelta(**{_UNITS[match[2]]: int(match[1])})
