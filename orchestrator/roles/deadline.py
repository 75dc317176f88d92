"""When a call has to be answered."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True)
class Deadline:
    """A moment of the event loop's clock, `seconds` after the call began."""

    at: float
    seconds: float

    @classmethod
    def within(cls, seconds: float) -> Self:
        """So many seconds from now on."""
        return cls(asyncio.get_running_loop().time() + seconds, seconds)

    def left(self) -> float:
        """Seconds, never below zero."""
        return max(0.0, self.at - asyncio.get_running_loop().time())
