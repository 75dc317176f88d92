"""The replicas of a role: which one serves a trajectory, and which ones are available.

Each trajectory has its own order of preference (rendezvous hashing), so that it stays with one replica, whose prefix
cache has its history. While that replica's circuit is open, the next one serves the trajectory; the trajectories of
other replicas are not moved.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import time
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import httpx

from alpha_umi import telemetry
from alpha_umi.contract.roles import Answer, CircuitState
from alpha_umi.roles.turns import Role
from orchestrator.metrics import OrchestratorMetrics
from orchestrator.roles.breaker import DEFAULT_POLICY, Breaker, BreakerPolicy
from orchestrator.roles.client import RoleClient
from orchestrator.roles.errors import (
    CircuitOpen,
    RoleBusy,
    RoleError,
    RoleFaulty,
    RoleTooSlow,
    RoleUnavailable,
)
from orchestrator.roles.http import RoleHttp, role_http
from orchestrator.roles.request import Deadline, OnDelta, RoleRequest

PROBE_TIMEOUT_S = 1.0
# However many clients request readiness, a replica is checked once within this time.
STATE_CACHED_S = 1.0
# A service that was restarted may have another context.
CONTEXT_CACHED_S = 60.0
READY = "ready"


@dataclass(frozen=True)
class ReplicaState:
    """A replica in `/readyz`: `ready` or the reason why not, and its circuit."""

    name: str
    state: str
    circuit: CircuitState

    @property
    def is_ready(self) -> bool:
        """Whether calls are sent there now."""
        return self.state == READY and self.circuit != "open"


class Replica:
    """One replica and its breaker. `name` is its URL without scheme and password."""

    def __init__(self, client: RoleClient, breaker: Breaker, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.breaker = breaker
        self.name = replica_name(client.url)
        self._client = client
        self._clock = clock
        self._probe: asyncio.Task[None] | None = None
        self._checking = asyncio.Lock()
        self._checked: tuple[float, str] | None = None
        # Tokens of the model's context; None until it was read.
        self.context: int | None = None
        self._context_read_at: float | None = None

    async def call(self, request: RoleRequest[Answer], deadline: Deadline, on_delta: OnDelta | None) -> Answer:
        """The answer; its outcome is counted by the breaker. Raises `RoleError`."""
        era = self.breaker.era
        try:
            async with asyncio.timeout_at(deadline.at):
                answer = await self._client.call(request, on_delta)
        except RoleBusy:
            raise
        except (RoleUnavailable, RoleFaulty) as error:
            self.breaker.failed(era, str(error))
            raise
        except RoleError:
            self.breaker.succeeded(era)
            raise
        except TimeoutError as error:
            slow = RoleTooSlow(f"{request.role} service: no answer within {deadline.seconds:g} s")
            self.breaker.failed(era, str(slow))
            raise slow from error
        self.breaker.succeeded(era)
        return answer

    def probe_if_due(self) -> asyncio.Task[None] | None:
        """The running probe; started now if one is due."""
        if self.breaker.begin_probe():
            self._probe = asyncio.create_task(self._run_probe())
        return self._probe if self.breaker.state == "half-open" else None

    async def check(self) -> ReplicaState:
        """Its readiness, checked within the last second."""
        async with self._checking:
            if self._checked is None or self._clock() - self._checked[0] >= STATE_CACHED_S:
                state = await self._readiness()
                self._checked = (self._clock(), state)
            return ReplicaState(self.name, self._checked[1], self.breaker.state)

    async def read_context(self) -> None:
        """Update `context` if it was not read within the last minute. A failure leaves it as it is."""
        async with self._checking:
            if self._context_read_at is not None and self._clock() - self._context_read_at < CONTEXT_CACHED_S:
                return
            with contextlib.suppress(RoleError):
                self.context = await self._client.read_context(timeout_s=PROBE_TIMEOUT_S)
            self._context_read_at = self._clock()

    async def aclose(self) -> None:
        """Cancel a running probe."""
        if self._probe is not None:
            self._probe.cancel()
            await asyncio.gather(self._probe, return_exceptions=True)

    async def _readiness(self) -> str:
        try:
            await self._client.check_ready(timeout_s=PROBE_TIMEOUT_S)
        except RoleUnavailable as error:
            return str(error)
        return READY

    async def _run_probe(self) -> None:
        state = await self._readiness()
        if state == READY:
            self.breaker.probe_succeeded()
        else:
            self.breaker.probe_failed(state)


class ReplicaSet:
    """All replicas of one role."""

    def __init__(self, role: Role, replicas: Sequence[Replica]) -> None:
        self.role = role
        self.replicas = tuple(replicas)

    async def choose(self, trajectory_id: str, deadline: Deadline, *, tried: Collection[Replica] = ()) -> Replica:
        """The replica to call next for a trajectory; those that were `tried` come last. Raises `CircuitOpen`.

        Waits for running probes only if no other replica is available.
        """
        order = preference(trajectory_id, self.replicas)
        probes = [probe for replica in order if (probe := replica.probe_if_due()) is not None]
        if probes and not self._closed(order):
            await asyncio.wait(probes, timeout=deadline.left(), return_when=asyncio.FIRST_COMPLETED)
        closed = self._closed(order)
        if not closed:
            raise CircuitOpen(
                f"{self.role} service is not called for the moment (circuit open): {order[0].breaker.reason}"
            )
        return next((replica for replica in closed if replica not in tried), closed[0])

    def has_another(self, tried: Collection[Replica]) -> bool:
        """Whether an untried replica is available."""
        return any(replica not in tried for replica in self._closed(self.replicas))

    async def check(self) -> list[ReplicaState]:
        """The state of each replica."""
        return await asyncio.gather(*(replica.check() for replica in self.replicas))

    async def aclose(self) -> None:
        """Cancel running probes."""
        await asyncio.gather(*(replica.aclose() for replica in self.replicas))

    def _closed(self, replicas: Sequence[Replica]) -> list[Replica]:
        return [replica for replica in replicas if replica.breaker.state == "closed"]


def replica_name(url: str) -> str:
    """Host, port and path of a URL: the parts that hold no secret."""
    parsed = httpx.URL(url)
    return parsed.netloc.decode("ascii") + parsed.path.rstrip("/")


def preference(trajectory_id: str, replicas: Sequence[Replica]) -> list[Replica]:
    """The replicas in the trajectory's order of preference."""

    def weight(replica: Replica) -> bytes:
        return hashlib.blake2b(f"{replica.name} {trajectory_id}".encode(), digest_size=8).digest()

    return sorted(replicas, key=weight, reverse=True) if len(replicas) > 1 else list(replicas)


_log = telemetry.logger(__name__)


@contextlib.asynccontextmanager
async def role_replicas(
    addresses: Mapping[Role, Sequence[str]],
    token: str | None,
    metrics: OrchestratorMetrics,
    *,
    policy: BreakerPolicy = DEFAULT_POLICY,
    clock: Callable[[], float] = time.monotonic,
) -> AsyncIterator[dict[Role, ReplicaSet]]:
    """The replicas of each role. Running probes end with the block."""
    async with contextlib.AsyncExitStack() as stack:
        http = await stack.enter_async_context(role_http(token))
        roles: dict[Role, ReplicaSet] = {}
        for role, urls in addresses.items():
            roles[role] = ReplicaSet(role, [_replica(role, url, http, metrics, policy, clock) for url in urls])
            stack.push_async_callback(roles[role].aclose)
        yield roles


def _replica(
    role: Role,
    url: str,
    http: RoleHttp,
    metrics: OrchestratorMetrics,
    policy: BreakerPolicy,
    clock: Callable[[], float],
) -> Replica:
    name = replica_name(url)
    metrics.set_circuit(role, name, "closed")
    breaker = Breaker(policy, clock=clock, on_change=partial(_record_circuit_change, metrics, role, name))
    return Replica(RoleClient(role, url, http), breaker, clock=clock)


def _record_circuit_change(
    metrics: OrchestratorMetrics, role: Role, replica: str, state: CircuitState, reason: str
) -> None:
    metrics.set_circuit(role, replica, state)
    metrics.circuit_changes.labels(role=role, replica=replica, state=state).inc()
    level = _log.warning if state == "open" else _log.info
    level("circuit.changed", role=role, replica=replica, state=state, reason=reason)
