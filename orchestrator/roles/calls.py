"""A role call with its deadline and its retries. A role call changes nothing, so repeating it is harmless but for its
cost: it is repeated only where no answer was accepted, and only while the one budget for retries lasts.

The loop is written here, because a library for retries would be left with the counting: whom to ask next, whether
another replica makes the pause needless, and whether there is money for it are decided from attempt to attempt.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from alpha_umi import telemetry
from alpha_umi.trajectory.events import RoleKind
from orchestrator.failpoints import Failpoints
from orchestrator.metrics import OrchestratorMetrics
from orchestrator.roles.budget import RetryBudget
from orchestrator.roles.deadline import Deadline
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
from orchestrator.roles.preview import OnDelta, Preview
from orchestrator.roles.question import Answer, Question
from orchestrator.roles.replicas import Replica, ReplicaSet

ATTEMPTS = 3
FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 5.0

_log = telemetry.logger(__name__)


@dataclass(frozen=True)
class Retries:
    """How often a question is sent in all, and how long the pauses between are before jitter."""

    attempts: int = ATTEMPTS
    first_pause_s: float = FIRST_PAUSE_S

    def pause_s(self, attempt: int, error: RoleUnavailable) -> float:
        """Seconds to wait after a failed attempt: doubling, half of it at random, never less than the service wants."""
        # At random, so that callers who failed together do not come back together.
        spread = 0.5 + random.random() / 2  # noqa: S311
        pause = min(LONGEST_PAUSE_S, self.first_pause_s * 2.0 ** (attempt - 1)) * spread
        return pause if error.retry_after_s is None else error.retry_after_s + pause


@dataclass(frozen=True)
class RoleCalls:
    """Asks role services. `timeout_s` bounds a call with all its retries."""

    roles: Mapping[RoleKind, ReplicaSet]
    timeout_s: float
    metrics: OrchestratorMetrics
    failpoints: Failpoints
    budget: RetryBudget = field(default_factory=RetryBudget)
    retries: Retries = Retries()

    async def ask(self, question: Question[Answer], on_delta: OnDelta | None = None) -> Answer:
        """The answer; with `on_delta` its text is handed over while it is written. Raises `RoleError`."""
        started = time.monotonic()
        outcome = "cancelled"
        self.budget.count_call()
        try:
            found = await self._persist(question, on_delta)
            outcome = "ok"
            return found
        except RoleError as error:
            outcome = _outcome_of(error)
            raise
        finally:
            seconds = time.monotonic() - started
            self.metrics.role_seconds.labels(role=question.role, outcome=outcome).observe(seconds)

    async def _persist(self, question: Question[Answer], on_delta: OnDelta | None) -> Answer:
        deadline = Deadline.within(self.timeout_s)
        preview = None if on_delta is None else Preview(on_delta)
        replicas = self._replicas(question.role)
        tried: list[Replica] = []
        attempt = 1
        while True:
            replica = await replicas.choose(question.trajectory_id, deadline, tried=tried)
            tried.append(replica)
            try:
                return await self._send(replica, question, deadline, preview)
            except RoleUnavailable as error:
                elsewhere = replicas.has_another(tried)
                if elsewhere and isinstance(error, RoleUnreachable):
                    # No service has seen the request, so that sending it to another one repeats nothing.
                    self._note_failover(question, replica, error)
                    continue
                await self._before_retry(question, replica, error, attempt, deadline, pauses=not elsewhere)
                attempt += 1

    def _replicas(self, role: RoleKind) -> ReplicaSet:
        """Raises `RoleRefused` for a role without an address: its trajectories may be older than the settings."""
        if role not in self.roles:
            raise RoleRefused(f"no service plays the {role}: set ALPHA_UMI_{role.upper()}_URL")
        return self.roles[role]

    async def _send(
        self, replica: Replica, question: Question[Answer], deadline: Deadline, preview: Preview | None
    ) -> Answer:
        if preview is not None:
            preview.begin()
        self.failpoints.reach("role.before_send")
        found = await replica.ask(question, deadline, None if preview is None else preview.take)
        self.failpoints.reach("role.after_send")
        return found

    async def _before_retry(
        self,
        question: Question[Answer],
        replica: Replica,
        error: RoleUnavailable,
        attempt: int,
        deadline: Deadline,
        *,
        pauses: bool,
    ) -> None:
        """Return when the question may be sent once more. Raises why it may not."""
        pause_s = self.retries.pause_s(attempt, error) if pauses else 0.0
        if attempt >= self.retries.attempts or pause_s >= deadline.left():
            raise error
        if not self.budget.take():
            raise RetriesSpent(f"{error}; it was not asked again: the budget for retries is used up") from error
        _log.warning(
            "role.retry",
            role=question.role,
            replica=replica.name,
            attempt=attempt,
            reason=str(error),
            pause_s=round(pause_s, 3),
        )
        self.metrics.retries.labels(role=question.role).inc()
        await asyncio.sleep(pause_s)

    def _note_failover(self, question: Question[Answer], replica: Replica, error: RoleUnavailable) -> None:
        _log.warning("role.failover", role=question.role, replica=replica.name, reason=str(error))
        self.metrics.failovers.labels(role=question.role).inc()


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
