"""The roles of an orchestrator, put together from their addresses."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from functools import partial

from alpha_umi import telemetry
from alpha_umi.trajectory.events import RoleKind
from orchestrator.metrics import OrchestratorMetrics
from orchestrator.roles.breaker import DEFAULT_POLICY, Breaker, BreakerPolicy, CircuitState
from orchestrator.roles.client import RoleClient
from orchestrator.roles.http import RoleHttp, role_http
from orchestrator.roles.replicas import Replica, ReplicaSet, replica_name

_log = telemetry.logger(__name__)


@contextlib.asynccontextmanager
async def role_replicas(
    addresses: Mapping[RoleKind, Sequence[str]],
    token: str | None,
    metrics: OrchestratorMetrics,
    *,
    policy: BreakerPolicy = DEFAULT_POLICY,
    clock: Callable[[], float] = time.monotonic,
) -> AsyncIterator[dict[RoleKind, ReplicaSet]]:
    """The replicas of each role. What is under way ends with the block."""
    async with contextlib.AsyncExitStack() as stack:
        http = await stack.enter_async_context(role_http(token))
        roles: dict[RoleKind, ReplicaSet] = {}
        for role, urls in addresses.items():
            roles[role] = ReplicaSet(role, [_replica(role, url, http, metrics, policy, clock) for url in urls])
            stack.push_async_callback(roles[role].aclose)
        yield roles


def _replica(
    role: RoleKind,
    url: str,
    http: RoleHttp,
    metrics: OrchestratorMetrics,
    policy: BreakerPolicy,
    clock: Callable[[], float],
) -> Replica:
    name = replica_name(url)
    metrics.show_circuit(role, name, "closed")
    breaker = Breaker(policy, clock=clock, on_change=partial(_tell, metrics, role, name))
    return Replica(RoleClient(role, url, http), breaker, clock=clock)


def _tell(metrics: OrchestratorMetrics, role: RoleKind, replica: str, state: CircuitState, reason: str) -> None:
    metrics.show_circuit(role, replica, state)
    metrics.circuit_changes.labels(role=role, replica=replica, state=state).inc()
    level = _log.warning if state == "open" else _log.info
    level("circuit.changed", role=role, replica=replica, state=state, reason=reason)
