"""The context sizes of the roles: the smallest, the last known, and no error."""

from __future__ import annotations

from support.role_replicas import Fleet

from alpha_umi.roles.turns import Role
from orchestrator.roles.contexts import RoleContexts

PLANNER: tuple[Role, ...] = ("planner",)
CALLER: tuple[Role, ...] = ("caller",)


async def test_the_smallest_context_that_is_known(fleet: Fleet) -> None:
    async with fleet.calls() as calls:
        contexts = RoleContexts(calls.roles)
        assert await contexts.smallest(PLANNER) is None, "no replica lists its models"
        for planner, size in zip(fleet.planners, (8_192, 2_048, 4_096), strict=True):
            planner.roles.context = size
        assert await contexts.smallest(PLANNER) is None, "they were read just now"
        fleet.now += 60
        assert await contexts.smallest(PLANNER) == 2_048

        await fleet.planners[1].end()
        fleet.now += 60
        assert await contexts.smallest(PLANNER) == 2_048, "the last value of a replica that is down"
        assert await contexts.smallest(CALLER) is None, "a role without an address"
