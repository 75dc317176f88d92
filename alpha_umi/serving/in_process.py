"""Role applications without a server: their routes are reached from within the process that runs them.

Everything else is as in a service: the same application, the canary, the watch over the engines.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence

import httpx

from alpha_umi.contract.problems import ServiceError
from alpha_umi.roles.turns import Role
from alpha_umi.serving.application import RolePart, create_shared_application


class RoleUnusable(Exception):
    """A role's engine did not start, or its canary went wrong."""

    def __init__(self, role: Role, reason: str) -> None:
        super().__init__(reason)
        self.role = role


@contextlib.asynccontextmanager
async def reachable_in_process(parts: Sequence[RolePart]) -> AsyncIterator[httpx.ASGITransport]:
    """The way to the roles as soon as all of them are ready; their engines end with the block.

    Raises `RoleUnusable` when one will not be.
    """
    application = create_shared_application(parts)
    async with application.router.lifespan_context(application):
        for context, _ in parts:
            try:
                await context.host.wait_ready()
            except ServiceError as error:
                raise RoleUnusable(context.host.model.role, error.detail) from error
        # What goes wrong in there is answered, as it is by a server.
        yield httpx.ASGITransport(application, raise_app_exceptions=False)
