"""The role models and their context sizes, from `GET /v1/models` of their replicas."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping

from alpha_umi.roles.turns import Role
from orchestrator.roles.client import ModelLimits
from orchestrator.roles.replicas import ReplicaSet


class RoleContexts:
    """The smallest context of each role. A replica that does not answer keeps its last value; no request fails."""

    def __init__(self, roles: Mapping[Role, ReplicaSet]) -> None:
        self._roles = roles

    async def smallest(self, roles: Collection[Role]) -> int | None:
        """The tokens of the smallest context of these roles; None before a replica has answered."""
        return min((model.context for _, model in await self.models(roles)), default=None)

    async def models(self, roles: Collection[Role]) -> list[tuple[Role, ModelLimits]]:
        """The model of each replica that has answered.

        Reads what was not read within the last minute, for at most a second.
        """
        replicas = [(role, each) for role in roles if role in self._roles for each in self._roles[role].replicas]
        await asyncio.gather(*(replica.read_model() for _, replica in replicas))
        return [(role, replica.limits) for role, replica in replicas if replica.limits is not None]
