"""How many trajectories proceed at a time: no more than it takes to keep the roles busy.

More of them finish no sooner: they share the same roles, and each takes longer. How many it takes is unknown where
engines do not report what they run at once, and where tools are slow. So the number is doubled while that raises the
rate at which trajectories end, a hill climb as in https://github.com/Netflix/concurrency-limits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from orchestrator.admission.gate import Gate

# A higher number stays if the rate rises by this factor; an ideal one is 2.
WORTHWHILE = 1.2
# Rounds, in each of which every slot is left once on average, before a higher number is tried again.
ROUNDS_BETWEEN_TRIALS = 10
LEAST = 64


class Bounds(NamedTuple):
    """The lowest and the highest number, and the seconds that a trajectory should not exceed for its neighbours' sake.

    `seconds` is None where the number is fixed.
    """

    low: int
    high: int
    seconds: float | None = None


class RunningCapacity:
    """Sets the capacity of the trajectories' gate, within bounds that may change."""

    def __init__(self, gate: Gate, bounds: Callable[[], Bounds]) -> None:
        self._gate = gate
        self._bounds = bounds
        self._level = bounds().low
        self._rate = 0.0
        # The level before the trial that is under way.
        self._before: int | None = None
        self._rounds_left = 0
        self._round_began = gate.measured
        self.update()

    def update(self) -> None:
        """Set the capacity, after every start and end of a trajectory."""
        bounds = self._bounds()
        self._end_round()
        if self._before is None and not self._rounds_left and self._rate and self._level < bounds.high:
            self._before, self._level = self._level, 2 * self._level
        self._level = max(bounds.low, min(bounds.high, self._level))
        self._gate.capacity = min(self._level, self._in_time(bounds))

    def _end_round(self) -> None:
        """Judge the level once as many slots were left as it has."""
        departures = self._gate.measured.departures - self._round_began.departures
        seconds = self._gate.measured.seconds - self._round_began.seconds
        if departures < self._level or not seconds:
            return
        rate, self._round_began = departures / seconds, self._gate.measured
        if self._before is None:
            self._rounds_left = max(0, self._rounds_left - 1)
        elif rate < WORTHWHILE * self._rate:
            self._level, self._rounds_left = self._before, ROUNDS_BETWEEN_TRIALS
        self._before, self._rate = None, rate

    def _in_time(self, bounds: Bounds) -> int:
        """By Little's law each trajectory takes their number divided by the rate at which they end."""
        per_s = self._gate.departures_per_s
        if bounds.seconds is None or per_s is None:
            return bounds.high
        return max(LEAST, int(bounds.seconds * per_s))
