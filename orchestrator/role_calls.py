"""A role call with its deadline and its retries. A role call changes nothing, so repeating it is harmless."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import BaseModel

from alpha_umi import telemetry
from orchestrator.errors import RoleError, RoleUnavailable, RoleUnreadable
from orchestrator.failpoints import Failpoints
from orchestrator.metrics import OrchestratorMetrics
from orchestrator.role_clients import Answer, OnDelta, RoleClient

ATTEMPTS = 3
FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 5.0

_log = telemetry.logger(__name__)


@dataclass(frozen=True)
class Retries:
    """How often a role is asked in all, and how long the pauses between are before jitter."""

    attempts: int = ATTEMPTS
    first_pause_s: float = FIRST_PAUSE_S

    def pause_s(self, attempt: int, error: RoleUnavailable) -> float:
        """Seconds to wait after a failed attempt: the service's wish if it has one, else doubling, with jitter."""
        wished = error.retry_after_s
        pause = self.first_pause_s * 2**attempt if wished is None else wished
        # Half of it at random, so that callers who failed together do not come back together.
        return min(pause, LONGEST_PAUSE_S) * (0.5 + random.random() / 2)  # noqa: S311


@dataclass(frozen=True)
class RoleCalls:
    """Asks role services. `timeout_s` bounds a call with all its retries."""

    timeout_s: float
    metrics: OrchestratorMetrics
    failpoints: Failpoints
    retries: Retries = Retries()

    async def ask(
        self,
        client: RoleClient,
        path: str,
        request: BaseModel,
        answer: type[Answer],
        *,
        headers: Mapping[str, str],
        on_delta: OnDelta | None = None,
    ) -> Answer:
        """The answer. Raises `RoleError`; a deadline that passes is `RoleUnavailable`."""
        started = time.monotonic()
        outcome = "cancelled"
        try:
            async with asyncio.timeout(self.timeout_s):
                found = await self._persist(client, path, request, answer, headers, on_delta)
            outcome = "ok"
            return found
        except TimeoutError as error:
            outcome = "timeout"
            raise RoleUnavailable(f"{client.role} service: no answer within {self.timeout_s:g} s") from error
        except RoleError as error:
            outcome = "unreadable" if isinstance(error, RoleUnreadable) else "failed"
            raise
        finally:
            seconds = time.monotonic() - started
            self.metrics.role_seconds.labels(role=client.role, outcome=outcome).observe(seconds)

    async def _persist(
        self,
        client: RoleClient,
        path: str,
        request: BaseModel,
        answer: type[Answer],
        headers: Mapping[str, str],
        on_delta: OnDelta | None,
    ) -> Answer:
        attempt = 0
        while True:
            try:
                self.failpoints.reach("role.before_send")
                found = await client.ask(path, request, answer, headers=headers, on_delta=on_delta)
                self.failpoints.reach("role.after_send")
                return found
            except RoleUnavailable as error:
                if attempt + 1 >= self.retries.attempts:
                    raise
                pause_s = self.retries.pause_s(attempt, error)
                _log.warning("role.retry", role=client.role, attempt=attempt + 1, reason=str(error), pause_s=pause_s)
                self.metrics.retries.labels(role=client.role).inc()
                await asyncio.sleep(pause_s)
                attempt += 1
