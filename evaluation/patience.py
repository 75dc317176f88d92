"""Ask a service that may be away for a while again, with growing pauses, for a bounded time."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, TypeVar

import httpx

from evaluation.errors import EvaluationError

# What services say that start, end, or have too much to do, and what gateways say of them.
AWAY_STATUS: Final = (408, 425, 429, 502, 503, 504)
LONGEST_RETRY_AFTER_S: Final = 60.0
Found = TypeVar("Found")


@dataclass(frozen=True)
class Patience:
    """Seconds: how long a service may stay away, how long it may take for an answer, and the first and longest pause
    between two attempts."""

    away_s: float = 120.0
    answer_s: float = 600.0
    connect_s: float = 5.0
    first_pause_s: float = 0.25
    longest_pause_s: float = 10.0

    def pause_s(self, attempt: int) -> float:
        """The pause after so many attempts in vain."""
        # Partly at random, so that those who failed together do not come back together.
        spread = 0.5 + random.random() / 2  # noqa: S311
        return spread * min(self.longest_pause_s, self.first_pause_s * 2.0 ** min(attempt - 1, 30))


@dataclass(frozen=True)
class Away:
    """A service could not answer now."""

    reason: str
    retry_after_s: float = 0.0


async def patiently(
    attempt: Callable[[int], Awaitable[Found | Away]], patience: Patience, stayed_away: Callable[[str], EvaluationError]
) -> Found:
    """What an attempt (they are counted from 0) finds. Raises `stayed_away(reason)` after `patience.away_s`."""
    attempts, give_up_at = 0, None
    while True:
        found = await attempt(attempts)
        if not isinstance(found, Away):
            return found
        attempts += 1
        give_up_at = give_up_at or time.monotonic() + patience.away_s
        pause_s = max(patience.pause_s(attempts), found.retry_after_s)
        if time.monotonic() + pause_s >= give_up_at:
            raise stayed_away(found.reason)
        await asyncio.sleep(pause_s)


def retry_after_of(response: httpx.Response) -> float:
    """The seconds after which the service wants to be asked again, within reason."""
    value = response.headers.get("retry-after", "")
    return min(float(value), LONGEST_RETRY_AFTER_S) if value.isascii() and value.isdigit() else 0.0
