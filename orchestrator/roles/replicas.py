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
from orchestrator.roles.client import ModelLimits, RoleClient
from orchestrator.roles.errors import (
    RoleBusy,
    RoleError,
    RoleFaulty,
    RoleTooSlow,
    RoleUnavailable,
    RoleUnreachable,
)
from orchestrator.roles.http import RoleHttp, role_http
from orchestrator.roles.request import OnDelta, RoleRequest

# Of a readiness check for a client, who waits for it.
CHECK_TIMEOUT_S = 1.0
# However many clients request readiness, a replica is checked once within this time.
STATE_CACHED_S = 1.0
# A service that was restarted may have another context.
MODEL_CACHED_S = 60.0
# How often it is considered whether a probe is due.
PROBE_POLL_S = 0.1
# While calls are in flight the service is probed this often. One that leaves the probe unanswered for `SILENT_S` is
# frozen, or its host is gone: its calls are sent again once it answers. A service under load answers within that time.
WATCH_EVERY_S = 2.5
SILENT_S = 10.0
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
        self._watch: asyncio.Task[None] | None = None
        self._reading: asyncio.Task[None] | None = None
        self._in_flight: set[asyncio.Timeout] = set()
        self._checking = asyncio.Lock()
        self._checked: tuple[float, str] | None = None
        # None until they were read.
        self.limits: ModelLimits | None = None
        self._limits_read_at: float | None = None

    async def call(self, request: RoleRequest[Answer], timeout_s: float, on_delta: OnDelta | None) -> Answer:
        """The answer, within `timeout_s` from now; its outcome is counted by the breaker. Raises `RoleError`."""
        era = self.breaker.era
        try:
            async with asyncio.timeout(timeout_s) as scope:
                self._in_flight.add(scope)
                self._begin_watch()
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
            if scope not in self._in_flight:
                raise RoleUnavailable(self.breaker.reason) from error
            slow = RoleTooSlow(f"{request.role} service: no answer within {timeout_s:g} s")
            self.breaker.failed(era, str(slow))
            raise slow from error
        finally:
            self._in_flight.discard(scope)
        self.breaker.succeeded(era)
        return answer

    def probe_if_due(self) -> None:
        """Start a probe if one is due."""
        if self.breaker.begin_probe():
            self._probe = asyncio.create_task(self._run_probe())

    def refresh_limits(self) -> None:
        """Read `limits` in the background if they were not read within the last minute."""
        if self._limits_are_due() and (self._reading is None or self._reading.done()):
            self._reading = asyncio.create_task(self.read_model())

    async def check(self) -> ReplicaState:
        """Its readiness, checked within the last second."""
        async with self._checking:
            if self._checked is None or self._clock() - self._checked[0] >= STATE_CACHED_S:
                state = await self._readiness(timeout_s=CHECK_TIMEOUT_S)
                self._checked = (self._clock(), state)
            return ReplicaState(self.name, self._checked[1], self.breaker.state)

    async def read_model(self) -> None:
        """Update `limits` if they were not read within the last minute. A failure leaves them as they are."""
        async with self._checking:
            if not self._limits_are_due():
                return
            with contextlib.suppress(RoleError):
                self.limits = await self._client.read_model(timeout_s=CHECK_TIMEOUT_S)
            self._limits_read_at = self._clock()

    async def aclose(self) -> None:
        """Cancel what runs in the background."""
        running = [task for task in (self._probe, self._watch, self._reading) if task is not None]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    def _limits_are_due(self) -> bool:
        return self._limits_read_at is None or self._clock() - self._limits_read_at >= MODEL_CACHED_S

    async def _readiness(self, *, timeout_s: float) -> str:
        try:
            await self._client.check_ready(timeout_s=timeout_s)
        except RoleUnavailable as error:
            return str(error)
        return READY

    async def _run_probe(self) -> None:
        state = await self._readiness(timeout_s=SILENT_S)
        if state == READY:
            # A service that was restarted may have other limits.
            self._limits_read_at = None
            self.breaker.probe_succeeded()
        else:
            self.breaker.probe_failed(state)

    def _begin_watch(self) -> None:
        if self._watch is None or self._watch.done():
            self._watch = asyncio.create_task(self._abandon_calls_when_silent())

    async def _abandon_calls_when_silent(self) -> None:
        """Watch the service while calls are in flight. A connection to a host that is gone never ends by itself."""
        while True:
            await asyncio.sleep(WATCH_EVERY_S)
            if not self._in_flight:
                return
            if self.breaker.state == "closed" and (reason := await self._silence()) is not None:
                self.breaker.declare_down(reason)
                abandoned, self._in_flight = self._in_flight, set()
                for scope in abandoned:
                    # One that expires at this moment cannot be changed any more.
                    with contextlib.suppress(RuntimeError):
                        scope.reschedule(0)

    async def _silence(self) -> str | None:
        """Why the service seems to be gone; None if it answers anything."""
        try:
            async with asyncio.timeout(SILENT_S):
                await self._client.check_ready(timeout_s=SILENT_S)
        except TimeoutError:
            return f"{self._client.role} service: it does not answer any more"
        except RoleUnreachable as error:
            return str(error)
        except RoleUnavailable:
            pass
        return None


class ReplicaSet:
    """All replicas of one role."""

    def __init__(self, role: Role, replicas: Sequence[Replica]) -> None:
        self.role = role
        self.replicas = tuple(replicas)
        self._return: asyncio.Task[None] | None = None

    @property
    def outage(self) -> str | None:
        """Why no call is sent to any replica now; None if one is available."""
        if self._closed():
            return None
        reason = self.replicas[0].breaker.reason
        return f"{self.role} service is not called for the moment (circuit open): {reason}"

    @property
    def capacity(self) -> int | None:
        """The sequences that the engines of all replicas run at a time, as far as they are known."""
        known = [replica.limits.capacity for replica in self.replicas if replica.limits is not None]
        return sum(capacity for capacity in known if capacity is not None) or None

    def choose(self, trajectory_id: str, *, tried: Collection[Replica] = ()) -> Replica | None:
        """The replica to call next for a trajectory, those that were `tried` last; None in an outage."""
        order = preference(trajectory_id, self.replicas)
        for replica in order:
            replica.probe_if_due()
        closed = [replica for replica in order if replica.breaker.state == "closed"]
        for replica in closed:
            replica.refresh_limits()
        return next((replica for replica in closed if replica not in tried), closed[0] if closed else None)

    def has_another(self, tried: Collection[Replica]) -> bool:
        """Whether an untried replica is available."""
        return any(replica not in tried for replica in self._closed())

    async def wait_available(self) -> None:
        """Return when a replica is available. One task probes them for all that wait."""
        if self.outage is None:
            return
        if self._return is None or self._return.done():
            self._return = asyncio.create_task(self._probe_until_available())
        await asyncio.shield(self._return)

    async def check(self) -> list[ReplicaState]:
        """The state of each replica."""
        return await asyncio.gather(*(replica.check() for replica in self.replicas))

    async def aclose(self) -> None:
        """Cancel running probes."""
        if self._return is not None:
            self._return.cancel()
            await asyncio.gather(self._return, return_exceptions=True)
        await asyncio.gather(*(replica.aclose() for replica in self.replicas))

    async def _probe_until_available(self) -> None:
        while self.outage is not None:
            for replica in self.replicas:
                replica.probe_if_due()
            await asyncio.sleep(PROBE_POLL_S)

    def _closed(self) -> list[Replica]:
        return [replica for replica in self.replicas if replica.breaker.state == "closed"]


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
