"""The application of a role service: the shared frame, the list of models, the role's own routes."""

from __future__ import annotations

import time
from collections.abc import Sequence

from fastapi import APIRouter, FastAPI

from alpha_umi.contract.roles import ModelInfo, ModelList
from alpha_umi.serving.context import MakeRouter, RoleContext
from alpha_umi.serving.host import RoleHost
from alpha_umi.web.application import create_application


def create_role_application(context: RoleContext, make_router: MakeRouter, *, keys: Sequence[str] = ()) -> FastAPI:
    """The application around one host; loading begins with its lifespan."""
    host = context.host
    return create_application(
        title=f"α-UMi {host.model.role}",
        routers=[_models(host), make_router(context)],
        readiness=host.readiness,
        registry=context.metrics.registry,
        keys=keys,
        lifespan=host.running,
    )


def _models(host: RoleHost) -> APIRouter:
    router = APIRouter(tags=["models"])
    created = int(time.time())

    @router.get("/v1/models", summary="The model that this service runs")
    async def models() -> ModelList:
        info = ModelInfo(
            id=host.model.name,
            created=created,
            max_model_len=host.engine.context,
            role=host.model.role,
            template=host.model.template.name,
        )
        return ModelList(data=[info])

    return router
