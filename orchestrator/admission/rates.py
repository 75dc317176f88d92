"""Rates by the generic cell rate algorithm (GCRA, ITU-T I.371): one time for each owner instead of a counter.

The theoretical arrival time of an owner moves on by 60 s / limit with each unit, and never lies in the past. It may lie
at most a minute ahead, so that an owner may use a minute's units at once, and then as many as the rate allows.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Literal

WINDOW_S = 60.0
# Tokens are counted when they were used. However many they are, an owner waits for an hour at most.
LONGEST_DEBT_S = 3_600.0

RateKind = Literal["requests", "trajectories", "tokens"]


class Rate:
    """At most `per_minute` units for each owner. `clock` counts seconds."""

    def __init__(self, per_minute: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.per_minute = per_minute
        self._interval_s = WINDOW_S / per_minute
        self._clock = clock
        self._arrivals: dict[str, float] = {}

    def used_s(self, owner: str) -> float:
        """Seconds until all units of the owner are available again."""
        return max(0.0, self._arrivals.get(owner, 0.0) - self._clock())

    def remaining(self, owner: str) -> int:
        """Units that the owner may use now."""
        return max(0, int((WINDOW_S - self.used_s(owner)) / self._interval_s + 1e-6))

    def wait_s(self, owner: str) -> float:
        """Seconds until the owner may use one unit; 0 if it may now."""
        wait = self.used_s(owner) + self._interval_s - WINDOW_S
        return wait if wait > 1e-6 else 0.0

    def take(self, owner: str, units: int = 1) -> None:
        """Count units, whether they are available or not."""
        self.restore(owner, self.used_s(owner) + units * self._interval_s)

    def restore(self, owner: str, used_s: float) -> None:
        """Set what `used_s` returned."""
        self._arrivals[owner] = self._clock() + min(max(0.0, used_s), LONGEST_DEBT_S)

    def in_use(self) -> dict[str, float]:
        """`used_s` of each owner that does not have all units. The others are forgotten."""
        used = {owner: seconds for owner in self._arrivals if (seconds := self.used_s(owner)) > 0}
        self._arrivals = {owner: self._arrivals[owner] for owner in used}
        return used


Rates = Mapping[RateKind, Rate]
