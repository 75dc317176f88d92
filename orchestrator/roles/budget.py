"""One budget for the retries of all roles: a bucket that every call fills a little and every retry empties by one.

However long an outage lasts, and however many trajectories meet it, no more than a tenth of the calls and a few more
are sent again. A service in trouble is not driven deeper into it by those who want its answer.
"""

from __future__ import annotations

RETRIES_PER_CALL = 0.1
INITIAL_RETRIES = 10
# So that a long good time does not save up a storm.
MOST_RETRIES = 100


class RetryBudget:
    """What is left of it: at most `initial` + `per_call` * calls retries, and never more than `most` at once."""

    def __init__(
        self, *, per_call: float = RETRIES_PER_CALL, initial: float = INITIAL_RETRIES, most: float = MOST_RETRIES
    ) -> None:
        self._left = initial
        self._per_call = per_call
        self._most = most

    def count_call(self) -> None:
        """A call is about to be made for the first time."""
        self._left = min(self._most, self._left + self._per_call)

    def take(self) -> bool:
        """Take one retry out; False when there is none."""
        if self._left < 1:
            return False
        self._left -= 1
        return True
