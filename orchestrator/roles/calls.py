"""Role calls with a deadline, retries with exponential backoff, and one retry budget for all roles.

A role call has no side effect, so a retry is safe and costs only time. A call is retried where no answer was accepted,
and only while the retry budget lasts.

The loop is written here because a retry library would only do the counting: which replica is next, whether another
replica makes the pause unnecessary, and whether the budget allows a retry are decided at every attempt.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from alpha_umi import telemetry
from alpha_umi.contract.roles import Answer
from alpha_umi.roles.turns import Role
from orchestrator.failpoints import Failpoints
from orchestrator.metrics import OrchestratorMetrics
from orchestrator.roles.errors import (
    CircuitOpen,
    RetriesSpent,
    RoleError,
    RoleRefused,
    RoleTooSlow,
    RoleUnavailable,
    RoleUnreachable,
    RoleUnreadable,
)
from orchestrator.roles.replicas import Replica, ReplicaSet
from orchestrator.roles.request import Deadline, DeltaDeduplicator, OnDelta, RoleRequest

ATTEMPTS = 3
FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 5.0
RETRIES_PER_CALL = 0.1
INITIAL_RETRIES = 10
# Bounds the burst of retries after a long time without failures.
MOST_RETRIES = 100

_log = telemetry.logger(__name__)


class RetryBudget:
    """A token bucket shared by the retries of all roles: each call adds `per_call` tokens, each retry takes one.

    It starts with `initial` tokens and holds at most `most`. However long an outage lasts, about a tenth of the calls
    is sent again, so that retries do not overload a service that is failing.
    """

    def __init__(
        self, *, per_call: float = RETRIES_PER_CALL, initial: float = INITIAL_RETRIES, most: float = MOST_RETRIES
    ) -> None:
        self._left = initial
        self._per_call = per_call
        self._most = most

    def count_call(self) -> None:
        """Add the tokens of a new call."""
        self._left = min(self._most, self._left + self._per_call)

    def take(self) -> bool:
        """Take the token of one retry; False if there is none."""
        if self._left < 1:
            return False
        self._left -= 1
        return True


@dataclass(frozen=True)
class RetryPolicy:
    """Attempts in all, and the first pause between two of them, in seconds before jitter."""

    attempts: int = ATTEMPTS
    first_pause_s: float = FIRST_PAUSE_S

    def pause_s(self, attempt: int, error: RoleUnavailable) -> float:
        """Seconds to wait after a failed attempt: exponential backoff with jitter, plus the service's Retry-After."""
        # Jitter keeps callers that failed together from coming back together.
        spread = 0.5 + random.random() / 2  # noqa: S311
        pause = min(LONGEST_PAUSE_S, self.first_pause_s * 2.0 ** (attempt - 1)) * spread
        return pause if error.retry_after_s is None else error.retry_after_s + pause


@dataclass(frozen=True)
class RoleCalls:
    """Calls role services. `timeout_s` bounds a call with all its retries."""

    roles: Mapping[Role, ReplicaSet]
    timeout_s: float
    metrics: OrchestratorMetrics
    failpoints: Failpoints
    budget: RetryBudget = field(default_factory=RetryBudget)
    retries: RetryPolicy = RetryPolicy()

    async def call(self, request: RoleRequest[Answer], on_delta: OnDelta | None = None) -> Answer:
        """The answer; `on_delta` receives its text while it is generated. Raises `RoleError`."""
        started = time.monotonic()
        outcome = "cancelled"
        self.budget.count_call()
        try:
            answer = await self._call_with_retries(request, on_delta)
            outcome = "ok"
            return answer
        except RoleError as error:
            outcome = _outcome_of(error)
            raise
        finally:
            seconds = time.monotonic() - started
            self.metrics.role_seconds.labels(role=request.role, outcome=outcome).observe(seconds)

    async def _call_with_retries(self, request: RoleRequest[Answer], on_delta: OnDelta | None) -> Answer:
        deadline = Deadline.within(self.timeout_s)
        deltas = None if on_delta is None else DeltaDeduplicator(on_delta)
        replicas = self._replicas(request.role)
        tried: list[Replica] = []
        attempt = 1
        while True:
            replica = await replicas.choose(request.trajectory_id, deadline, tried=tried)
            tried.append(replica)
            try:
                return await self._send(replica, request, deadline, deltas)
            except RoleUnavailable as error:
                elsewhere = replicas.has_another(tried)
                if elsewhere and isinstance(error, RoleUnreachable):
                    # No service has seen the request, so sending it to another replica repeats nothing.
                    self._log_failover(request, replica, error)
                    continue
                await self._wait_before_retry(request, replica, error, attempt, deadline, pauses=not elsewhere)
                attempt += 1

    def _replicas(self, role: Role) -> ReplicaSet:
        """Raises `RoleRefused` for a role without an address: its trajectories may be older than the settings."""
        if role not in self.roles:
            raise RoleRefused(f"no service has the role {role}: set ALPHA_UMI_{role.upper()}_URL")
        return self.roles[role]

    async def _send(
        self, replica: Replica, request: RoleRequest[Answer], deadline: Deadline, deltas: DeltaDeduplicator | None
    ) -> Answer:
        if deltas is not None:
            deltas.begin()
        self.failpoints.reach("role.before_send")
        answer = await replica.call(request, deadline, None if deltas is None else deltas.add)
        self.failpoints.reach("role.after_send")
        return answer

    async def _wait_before_retry(
        self,
        request: RoleRequest[Answer],
        replica: Replica,
        error: RoleUnavailable,
        attempt: int,
        deadline: Deadline,
        *,
        pauses: bool,
    ) -> None:
        """Return when the request may be sent again. Raises the reason why it may not."""
        pause_s = self.retries.pause_s(attempt, error) if pauses else 0.0
        if attempt >= self.retries.attempts or pause_s >= deadline.left():
            raise error
        if not self.budget.take():
            raise RetriesSpent(f"{error}; not retried, because the retry budget is exhausted") from error
        _log.warning(
            "role.retry",
            role=request.role,
            replica=replica.name,
            attempt=attempt,
            reason=str(error),
            pause_s=round(pause_s, 3),
        )
        self.metrics.retries.labels(role=request.role).inc()
        await asyncio.sleep(pause_s)

    def _log_failover(self, request: RoleRequest[Answer], replica: Replica, error: RoleUnavailable) -> None:
        _log.warning("role.failover", role=request.role, replica=replica.name, reason=str(error))
        self.metrics.failovers.labels(role=request.role).inc()


def _outcome_of(error: RoleError) -> str:
    match error:
        case RoleTooSlow():
            return "timeout"
        case RoleUnreadable():
            return "unreadable"
        case CircuitOpen():
            return "circuit-open"
        case RetriesSpent():
            return "retries-spent"
        case _:
            return "failed"
