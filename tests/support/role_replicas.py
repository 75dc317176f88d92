"""Replicas of a planner, each a real HTTP server that can be ended and started again at its port."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

import httpx

from alpha_umi.contract.roles import PLAN, PlanAnswer, PlanRequest, ToolModel, TurnModel
from orchestrator.failpoints import Failpoints
from orchestrator.metrics import OrchestratorMetrics
from orchestrator.roles.breaker import DEFAULT_POLICY, BreakerPolicy
from orchestrator.roles.calls import RetryPolicy, RoleCalls
from orchestrator.roles.replicas import role_replicas
from orchestrator.roles.request import RoleRequest
from support.scripted_roles import ScriptedRoles
from support.serving_on_loopback import serving, until

NEVER_OPENS = BreakerPolicy(failures_in_a_row=10**9, failed_share=2)
AT_ONCE = RetryPolicy(first_pause_s=0, longest_pause_s=0.1)


def planning(trajectory_id: str, *, stream: bool = False) -> RoleRequest[PlanAnswer]:
    """A question to the planner for one trajectory."""
    body = PlanRequest(
        tools=[ToolModel(name="look_up")], history=[TurnModel(role="user", content=trajectory_id)], stream=stream
    )
    return RoleRequest(PLAN, body, trajectory_id, 0)


@dataclass
class Planner:
    """One replica. `roles` says what it answers and holds what it was asked."""

    roles: ScriptedRoles = field(default_factory=ScriptedRoles)
    url: str = ""
    _life: contextlib.AsyncExitStack = field(default_factory=contextlib.AsyncExitStack)

    async def start(self) -> None:
        """Serve, at the port of before."""
        port = httpx.URL(self.url).port or 0
        self.url = await self._life.enter_async_context(serving(self.roles.application(), port=port, abrupt=True))

    async def end(self) -> None:
        """Stop listening and cut every connection."""
        await self._life.aclose()

    def trajectories_served(self) -> list[str]:
        """The trajectories that asked, in order."""
        return [headers["x-trajectory-id"] for _, _, headers in self.roles.requests]


@dataclass
class Fleet:
    """Several replicas of the planner, and the clock of their breakers."""

    planners: list[Planner]
    now: float = 0.0

    @contextlib.asynccontextmanager
    async def calls(
        self,
        *,
        policy: BreakerPolicy = DEFAULT_POLICY,
        timeout_s: float = 30,
        retries: RetryPolicy = AT_ONCE,
    ) -> AsyncIterator[RoleCalls]:
        """The calls to these replicas."""
        metrics = OrchestratorMetrics()
        urls = [planner.url for planner in self.planners]
        async with role_replicas({"planner": urls}, None, metrics, policy=policy, clock=lambda: self.now) as roles:
            yield RoleCalls(roles, timeout_s, metrics, Failpoints(None), retries=retries)

    async def answers(self, load: Sequence[asyncio.Task[PlanAnswer]]) -> list[PlanAnswer]:
        """The answers of calls, while time passes for the breakers."""
        while not all(call.done() for call in load):
            self.now += 2.0
            await asyncio.sleep(0.05)
        return await asyncio.gather(*load)

    def served(self) -> dict[str, int]:
        """By trajectory: which replica answered it last. What was asked is forgotten."""
        result: dict[str, int] = {}
        for number, planner in enumerate(self.planners):
            result |= dict.fromkeys(planner.trajectories_served(), number)
            planner.roles.requests.clear()
        return result


async def until_probed(planner: Planner) -> None:
    """Return after the next readiness check of a replica."""
    before = planner.roles.readiness_checks
    await until(lambda: planner.roles.readiness_checks > before)


@contextlib.asynccontextmanager
async def fleet_of(count: int) -> AsyncIterator[Fleet]:
    """Running replicas."""
    planners = [Planner() for _ in range(count)]
    for planner in planners:
        await planner.start()
    try:
        yield Fleet(planners)
    finally:
        for planner in planners:
            await planner.end()
