"""The time by which keys of requests expire: it passes only while a process runs, and does not jump.

A wall clock that is set forward by a month would let every key expire at once, and a repeated request would be carried
out twice. So this time goes on from the newest key by the monotonic clock. The time in which no process runs is not
counted, so that keys are valid for at least their time.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta


class ObservedTime:
    """`monotonic` returns seconds."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.monotonic = monotonic
        self.begin(datetime.now(UTC))

    def begin(self, at: datetime) -> None:
        """Let it be `at` now."""
        self._begin = at
        self._begun = self.monotonic()

    def now(self) -> datetime:
        """The time (UTC)."""
        return self._begin + timedelta(seconds=self.monotonic() - self._begun)
