"""How fast the holders of a full gate's slots leave."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import NamedTuple

# The weight of what was measured falls to a third within these seconds.
MEMORY_S = 20.0
# A rate is known after so many departures or, at a standstill, seconds.
ENOUGH_DEPARTURES = 8
ENOUGH_S = 30.0


class Measured(NamedTuple):
    """Departures while a gate was full, and the seconds in which it was."""

    departures: int
    seconds: float


class DepartureRate:
    """Departures a second while the gate is full. `clock` counts seconds.

    Time in which a slot is free does not count: its departures show how much arrived, not how much could have left.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._full_since: float | None = None
        # Totals, and both with the decay of older measurements.
        self._total, self._total_s = 0, 0.0
        self._recent, self._recent_s = 0.0, 0.0

    def full(self, full: bool) -> None:
        """Whether the gate is full from now on."""
        if full is (self._full_since is not None):
            return
        self._pass_time()
        self._full_since = self._clock() if full else None

    def count(self) -> None:
        """A place that held a slot has left."""
        if self._full_since is not None:
            self._pass_time()
            self._total += 1
            self._recent += 1

    @property
    def totals(self) -> Measured:
        """Everything that was measured."""
        self._pass_time()
        return Measured(self._total, self._total_s)

    @property
    def per_s(self) -> float | None:
        """The rate; None until enough was measured. Above 0: at a standstill it falls from second to second."""
        self._pass_time()
        if (self._total < ENOUGH_DEPARTURES and self._total_s < ENOUGH_S) or self._recent_s == 0:
            return None
        return max(self._recent, 1.0) / self._recent_s

    def _pass_time(self) -> None:
        if self._full_since is None:
            return
        now = self._clock()
        passed, self._full_since = now - self._full_since, now
        decay = math.exp(-passed / MEMORY_S)
        self._total_s += passed
        self._recent *= decay
        self._recent_s = self._recent_s * decay + MEMORY_S * (1 - decay)
