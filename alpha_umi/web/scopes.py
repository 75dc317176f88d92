"""The scope that a route needs, as a dependency. Every route with an owner takes one of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Depends
from starlette.requests import HTTPConnection

from alpha_umi.contract.problems import ServiceError
from alpha_umi.web.keys import Principal, Scope


def require(scope: Scope) -> Callable[[HTTPConnection], Awaitable[Principal]]:
    """A dependency: who sends the request. It raises `ServiceError` (403) for a key without the scope."""

    async def principal(connection: HTTPConnection) -> Principal:
        sender: Principal = connection.state.principal
        require_scope(sender, scope)
        return sender

    return principal


def require_scope(sender: Principal, scope: Scope) -> None:
    """Raises `ServiceError` (403) for a key without the scope."""
    if scope not in sender.scopes:
        raise ServiceError(
            "forbidden",
            f"the key {sender.key_id} has no scope `{scope}`",
            field="Authorization",
            remedy=f"use a key with the scope `{scope}`; the operator makes one with `alpha-umi keys create`",
        )


User = Annotated[Principal, Depends(require("use"))]
ToolsUser = Annotated[Principal, Depends(require("tools"))]
Operator = Annotated[Principal, Depends(require("operate"))]
