"""Numbers of things, in words: one thing, several things."""

from __future__ import annotations


def counted(count: int, noun: str) -> str:
    """How many of what: `1 step`, `2,000 trajectories`. The noun is given for one."""
    several = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{count:,} {noun if count == 1 else several}"
