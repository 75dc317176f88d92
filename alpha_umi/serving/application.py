"""The HTTP application of a role service: one role, several roles on one engine, or roles in this process."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

import httpx
from fastapi import APIRouter, FastAPI

from alpha_umi.contract.problems import ServiceError
from alpha_umi.contract.roles import ModelInfo, ModelList
from alpha_umi.roles.turns import Role
from alpha_umi.serving.assembly import MakeRouter, RoleContext, RolePart
from alpha_umi.serving.host import RoleHost
from alpha_umi.web.application import create_application
from alpha_umi.web.request_id import log_ids_from_headers


def create_role_application(context: RoleContext, make_router: MakeRouter, *, keys: Sequence[str] = ()) -> FastAPI:
    """The application of one role; its lifespan loads the model."""
    host = context.host
    context.metrics.watch(host)
    return create_application(
        title=f"α-UMi {host.model.role}",
        routers=[_models([context]), make_router(context)],
        readiness=host.readiness,
        registry=context.metrics.registry,
        keys=keys,
        lifespan=host.running,
        log_ids=log_ids_from_headers,
    )


def create_shared_application(parts: Sequence[RolePart], *, keys: Sequence[str] = ()) -> FastAPI:
    """The application of several roles, whose metrics share a registry. It is ready when all of them are."""
    hosts = [context.host for context, _ in parts]
    registry, *others = {context.metrics.registry for context, _ in parts}
    if others:
        raise ValueError("the roles of one application share a registry")
    for context, _ in parts:
        context.metrics.watch(context.host)

    @contextlib.asynccontextmanager
    async def running(_: Any) -> AsyncIterator[None]:
        async with contextlib.AsyncExitStack() as stack:
            for host in hosts:
                await stack.enter_async_context(host.running())
            yield

    return create_application(
        title=f"α-UMi {', '.join(host.model.role for host in hosts)}",
        routers=[_models([context for context, _ in parts]), *(make_router(context) for context, make_router in parts)],
        readiness=lambda: _all_ready(hosts),
        registry=registry,
        keys=keys,
        lifespan=running,
        log_ids=log_ids_from_headers,
    )


async def _all_ready(hosts: Sequence[RoleHost]) -> dict[str, Any]:
    return {"models": [await _ready(host) for host in hosts]}


async def _ready(host: RoleHost) -> dict[str, Any]:
    try:
        return await host.readiness()
    except ServiceError as error:
        raise ServiceError(error.kind, f"{host.model.role}: {error.detail}") from error


def _models(contexts: Sequence[RoleContext]) -> APIRouter:
    router = APIRouter(tags=["models"])
    created = int(time.time())

    @router.get("/v1/models", summary="The models that this service runs")
    async def models() -> ModelList:
        return ModelList(data=[_info(context, created) for context in contexts])

    return router


def _info(context: RoleContext, created: int) -> ModelInfo:
    host = context.host
    return ModelInfo(
        id=host.model.name,
        created=created,
        max_model_len=host.engine.context,
        answer_tokens=context.answer_tokens,
        capacity=host.engine.capacity,
        role=host.model.role,
        template=host.model.template.name,
        template_version=host.model.template.version,
        planner_label=host.model.planner_label,
        hub=host.model.hub,
        server=dict(stats.server) if (stats := host.engine.stats()) is not None else {},
        manifest=None if host.model.manifest is None else host.model.manifest.model_dump(mode="json", exclude={"hub"}),
    )


class RoleUnusable(Exception):
    """A role's engine did not start, or its canary failed."""

    def __init__(self, role: Role, reason: str) -> None:
        super().__init__(reason)
        self.role = role


@contextlib.asynccontextmanager
async def in_process_transport(parts: Sequence[RolePart]) -> AsyncIterator[httpx.ASGITransport]:
    """A transport to the roles in this process, without a server. It is yielded when all of them are ready.

    Everything else is as in a service: the same application, the canary, the watch over the engines, which stop with
    the block. Raises `RoleUnusable`.
    """
    application = create_shared_application(parts)
    async with application.router.lifespan_context(application):
        for context, _ in parts:
            try:
                await context.host.wait_ready()
            except ServiceError as error:
                raise RoleUnusable(context.host.model.role, error.detail) from error
        # An exception in a route becomes a response, as with a server.
        yield httpx.ASGITransport(application, raise_app_exceptions=False)
