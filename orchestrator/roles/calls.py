"""Role calls: each is sent until its role answers it. An outage of a role costs time, and no call.

A role call has no side effect, so sending it again is safe. A call waits while all replicas of its role are away, which
the breakers decide, and pauses after a failure; its caller decides how long, by cancelling it. Only what a role itself
decides about a request ends the call with an error.

The loop is written here because a retry library would only do the counting: which replica is next, whether another
replica makes the pause unnecessary, and how long the pause is are decided at every attempt.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from alpha_umi import telemetry
from alpha_umi.contract.roles import Answer
from alpha_umi.roles.turns import Role
from orchestrator.admission.gate import Gate
from orchestrator.failpoints import Failpoints
from orchestrator.metrics import OrchestratorMetrics
from orchestrator.roles.errors import (
    RoleBusy,
    RoleError,
    RoleRefused,
    RoleUnavailable,
    RoleUnreachable,
    RoleUnreadable,
)
from orchestrator.roles.replicas import Replica, ReplicaSet
from orchestrator.roles.request import DeltaDeduplicator, OnDelta, OnWait, RoleRequest

FIRST_PAUSE_S = 0.2
# Short, so that a call is sent soon after its role is back.
LONGEST_PAUSE_S = 3.0
# The longest Retry-After that a busy service is granted.
LONGEST_WISH_S = 30.0
RETRIES_PER_CALL = 0.1
INITIAL_RETRIES = 10
# Bounds the burst of retries after a long time without failures.
MOST_RETRIES = 100

_log = telemetry.logger(__name__)


class RetryBudget:
    """A token bucket shared by the retries of all roles: each call adds `per_call` tokens, each retry takes one.

    It starts with `initial` tokens and holds at most `most`. A retry without a token waits for the longest pause, so
    that retries do not overload a service that is failing.
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
    """The first and the longest pause between two attempts, in seconds before jitter."""

    first_pause_s: float = FIRST_PAUSE_S
    longest_pause_s: float = LONGEST_PAUSE_S

    def pause_s(self, failures: int, error: RoleUnavailable, *, is_prompt: bool = True) -> float:
        """Seconds to wait after some failures in a row: exponential backoff with jitter, or the longest pause.

        A busy service is granted its Retry-After in addition.
        """
        # Jitter keeps callers that failed together from coming back together.
        spread = 0.5 + random.random() / 2  # noqa: S311
        backoff = self.first_pause_s * 2.0 ** min(failures - 1, 10)
        pause = (min(self.longest_pause_s, backoff) if is_prompt else self.longest_pause_s) * spread
        wish = error.retry_after_s if isinstance(error, RoleBusy) else None
        return pause if wish is None else min(LONGEST_WISH_S, wish) + pause


@dataclass(frozen=True)
class RoleCalls:
    """Calls role services. `timeout_s` bounds an attempt from the time when it is sent.

    A role's gate bounds the requests that are under way there, by `capacity`, or by what its engines run at a time.
    """

    roles: Mapping[Role, ReplicaSet]
    timeout_s: float
    metrics: OrchestratorMetrics
    failpoints: Failpoints
    budget: RetryBudget = field(default_factory=RetryBudget)
    retries: RetryPolicy = RetryPolicy()
    capacity: int | None = None
    gates: Mapping[Role, Gate] = field(default_factory=lambda: defaultdict(Gate))

    async def call(
        self, request: RoleRequest[Answer], on_delta: OnDelta | None = None, on_wait: OnWait = lambda _: None
    ) -> Answer:
        """The answer; `on_delta` receives its text while it is generated, `on_wait` when it waits for the role.

        Waits as long as the role is unavailable. Raises `RoleError` for what the role decides about the request.
        """
        started = time.monotonic()
        outcome = "cancelled"
        self.budget.count_call()
        try:
            answer = await self._send_until_answered(request, on_delta, on_wait)
            outcome = "ok"
            return answer
        except RoleError as error:
            outcome = "unreadable" if isinstance(error, RoleUnreadable) else "failed"
            raise
        finally:
            seconds = time.monotonic() - started
            self.metrics.role_seconds.labels(role=request.role, outcome=outcome).observe(seconds)

    def capacity_of(self, role: Role) -> int | None:
        """How many requests may be under way at the services of a role; None while that is unknown."""
        return self.capacity or self.roles[role].capacity

    async def _send_until_answered(
        self, request: RoleRequest[Answer], on_delta: OnDelta | None, on_wait: OnWait
    ) -> Answer:
        deltas = None if on_delta is None else DeltaDeduplicator(on_delta)
        replicas = self._replicas(request.role)
        tried: set[Replica] = set()
        failures = 0
        while True:
            if (outage := replicas.outage) is not None:
                with self._waiting(request.role, outage, on_wait):
                    await replicas.wait_available()
                tried.clear()
            async with self._slot(request):
                replica = replicas.choose(request.trajectory_id, tried=tried)
                if replica is None:
                    continue
                tried.add(replica)
                try:
                    return await self._send(replica, request, deltas)
                except RoleUnavailable as error:
                    failure = error
            elsewhere = replicas.has_another(tried)
            if elsewhere and isinstance(failure, RoleUnreachable):
                # No service has seen the request, so sending it to another replica repeats nothing.
                self._log_failover(request, replica, failure)
                continue
            failures += 1
            pause_s = 0.0 if elsewhere else self.retries.pause_s(failures, failure, is_prompt=self.budget.take())
            self.metrics.retries.labels(role=request.role).inc()
            # An outage waits for the probes instead.
            if not elsewhere and replicas.outage is None:
                self._log_retry(request, replica, failure, failures, pause_s)
                with self._waiting(request.role, str(failure), on_wait):
                    await asyncio.sleep(pause_s)
                tried.clear()

    def _replicas(self, role: Role) -> ReplicaSet:
        """Raises `RoleRefused` for a role without an address: its trajectories may be older than the settings."""
        if role not in self.roles:
            raise RoleRefused(f"no service has the role {role}: set ALPHA_UMI_{role.upper()}_URL")
        return self.roles[role]

    def _slot(self, request: RoleRequest[Answer]) -> contextlib.AbstractAsyncContextManager[None]:
        gate = self.gates[request.role]
        capacity = self.capacity_of(request.role)
        if gate.capacity != capacity:
            gate.capacity = capacity
        return gate.slot(request.owner, background=request.background)

    @contextlib.contextmanager
    def _waiting(self, role: Role, reason: str, on_wait: OnWait) -> Iterator[None]:
        """A wait for the role. `on_wait` does not hear of its end if the call is cancelled meanwhile."""
        on_wait(reason)
        started = time.monotonic()
        try:
            with self.metrics.waiting_for_role.labels(role=role).track_inprogress():
                yield
        finally:
            self.metrics.role_wait_seconds.labels(role=role).inc(time.monotonic() - started)
        on_wait(None)

    async def _send(self, replica: Replica, request: RoleRequest[Answer], deltas: DeltaDeduplicator | None) -> Answer:
        if deltas is not None:
            deltas.begin()
        self.failpoints.reach("role.before_send")
        answer = await replica.call(request, self.timeout_s, None if deltas is None else deltas.add)
        self.failpoints.reach("role.after_send")
        return answer

    def _log_retry(
        self, request: RoleRequest[Answer], replica: Replica, error: RoleUnavailable, failures: int, pause_s: float
    ) -> None:
        _log.warning(
            "role.retry",
            role=request.role,
            replica=replica.name,
            attempt=failures,
            reason=str(error),
            pause_s=round(pause_s, 3),
        )

    def _log_failover(self, request: RoleRequest[Answer], replica: Replica, error: RoleUnavailable) -> None:
        _log.warning("role.failover", role=request.role, replica=replica.name, reason=str(error))
        self.metrics.failovers.labels(role=request.role).inc()
