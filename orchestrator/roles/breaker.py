"""A circuit breaker: after repeated failures no requests are sent to a service for a while, then it is probed once.

    closed ── failures in a row, or too large a share of the newest ──> open ── open_s ──> half-open
       ^                                                                 ^                      │
       └──────────────────────── the probe succeeds ─────────────────────┴─── the probe fails ──┘

Written here because no library fits: purgatory, pybreaker and circuitbreaker count only consecutive failures, and use a
user's call (minutes of generation) as the probe. Here the probe is a request of its own, and the outcome of a call that
was sent before the breaker opened is ignored. No I/O; the clock is a parameter.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from alpha_umi.contract.roles import CircuitState

OnChange = Callable[[CircuitState, str], None]


@dataclass(frozen=True)
class BreakerPolicy:
    """A breaker opens after `failures_in_a_row`, or when `failed_share` of the newest `window` calls failed.

    `open_s`: seconds until the service is probed.
    """

    failures_in_a_row: int = 5
    window: int = 20
    failed_share: float = 0.5
    open_s: float = 1.0


DEFAULT_POLICY = BreakerPolicy()


class Breaker:
    """The breaker of one service. `reason` is why it last opened."""

    def __init__(
        self,
        policy: BreakerPolicy,
        *,
        clock: Callable[[], float] = time.monotonic,
        on_change: OnChange = lambda state, reason: None,
    ) -> None:
        self.state: CircuitState = "closed"
        self.reason = ""
        # Counts how often it closed; a call stores it, so that its outcome counts only in the same era.
        self.era = 0
        self._policy = policy
        self._clock = clock
        self._on_change = on_change
        self._opened_at = 0.0
        self._in_a_row = 0
        self._newest: deque[bool] = deque(maxlen=policy.window)

    def succeeded(self, era: int) -> None:
        """Count a successful call of that era."""
        if self._counts(era):
            self._in_a_row = 0
            self._newest.append(True)

    def failed(self, era: int, reason: str) -> None:
        """Count a failed call of that era."""
        if not self._counts(era):
            return
        self._in_a_row += 1
        self._newest.append(False)
        if self._in_a_row >= self._policy.failures_in_a_row or self._too_many_failed():
            self._open(reason)

    def declare_down(self, reason: str) -> None:
        """Open at once: the service was observed to be down."""
        if self.state == "closed":
            self._open(reason)

    def begin_probe(self) -> bool:
        """True if the service should be probed now; True once, then the outcome of the probe is expected."""
        if self.state != "open" or self._clock() - self._opened_at < self._policy.open_s:
            return False
        self._change("half-open", self.reason)
        return True

    def probe_succeeded(self) -> None:
        """Close: the service answered the probe."""
        self.era += 1
        self._in_a_row = 0
        self._newest.clear()
        self._change("closed", "the probe was answered")

    def probe_failed(self, reason: str) -> None:
        """Open again: the probe failed."""
        self._open(reason)

    def _counts(self, era: int) -> bool:
        return self.state == "closed" and era == self.era

    def _too_many_failed(self) -> bool:
        full = len(self._newest) == self._policy.window
        return full and self._newest.count(False) >= self._policy.failed_share * self._policy.window

    def _open(self, reason: str) -> None:
        self.reason = reason
        self._opened_at = self._clock()
        self._change("open", reason)

    def _change(self, state: CircuitState, reason: str) -> None:
        self.state = state
        self._on_change(state, reason)
