"""The orchestrator's HTTP application."""

from __future__ import annotations

import re
from collections.abc import Mapping

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import JSONResponse
from starlette.routing import Route
from starlette.types import Scope

from alpha_umi.web.application import create_application
from alpha_umi.web.problems import problem_response
from orchestrator.api import audit, events, retention, tool_calls, tools, trajectories
from orchestrator.api.store_problems import store_problem
from orchestrator.assembly import Orchestrator
from orchestrator.mcp.mount import McpMount
from orchestrator.openai import chat, compact, conversation_routes, models, responses, websocket
from orchestrator.openai.conventions import ERROR_RESPONSES, OpenAIConventions
from orchestrator.store import StoreError

# Ids that `runs` generates; other text in this path segment comes from a client and is not logged.
_TRAJECTORY_PATH = re.compile(r"/v1/trajectories/(traj_[0-9a-f]{32})(?:/|$)")

# An OpenAPI document of the largest size may stand in a body, as text with escapes.
MAX_BODY_BYTES = 24 * 2**20


def create_app(orchestrator: Orchestrator) -> FastAPI:
    """The HTTP application of an orchestrator, whose lifetime the caller manages. Raises `KeyFileUnusable`."""
    mcp = McpMount(orchestrator) if orchestrator.settings.mcp else None
    app = create_application(
        title="α-UMi orchestrator",
        # Each request is compared with the routes in this order.
        routers=[
            trajectories.create_router(orchestrator),
            _openai_router(orchestrator),
            trajectories.create_turn_router(orchestrator),
            events.create_router(orchestrator),
            retention.create_router(orchestrator),
            tools.create_router(orchestrator),
            tool_calls.create_router(orchestrator),
            audit.create_router(orchestrator),
        ],
        readiness=orchestrator.readiness,
        registry=orchestrator.metrics.registry,
        keys=orchestrator.settings.keyring(),
        lifespan=None if mcp is None else mcp.lifespan,
        log_ids=_log_ids,
        max_body_bytes=MAX_BODY_BYTES,
        max_connections=orchestrator.settings.max_connections,
    )
    # It handles a request before the guard does.
    app.add_middleware(OpenAIConventions, admission=orchestrator.admission)
    app.add_exception_handler(StoreError, _store_error)
    if mcp is not None:
        # All methods, of which the endpoint refuses some itself.
        app.router.routes.append(Route("/mcp", mcp, include_in_schema=False))
    return app


def _openai_router(orchestrator: Orchestrator) -> APIRouter:
    """The routes of OpenAI's interfaces, whose errors have a form of their own."""
    router = APIRouter(responses=ERROR_RESPONSES)
    for part in (models, chat, responses, websocket, conversation_routes, compact):
        router.include_router(part.create_router(orchestrator))
    return router


def _log_ids(scope: Scope) -> Mapping[str, object]:
    match = _TRAJECTORY_PATH.match(scope["path"])
    return {} if match is None else {"trajectory_id": match[1]}


async def _store_error(request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, StoreError):
        raise error
    return problem_response(request, store_problem(error))
