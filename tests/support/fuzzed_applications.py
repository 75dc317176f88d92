"""The applications that are tested against their OpenAPI documents: real stores and HTTP, scripted models.

A new service is one line of `APPLICATIONS`.
"""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path
from typing import Any

import httpx
from anyio.from_thread import start_blocking_portal
from fastapi import FastAPI

from alpha_umi.roles.turns import Role
from alpha_umi.serving.application import create_shared_application
from alpha_umi.serving.assembly import MakeRouter, RoleContext
from alpha_umi.serving.metrics import RoleMetrics
from services.backbone import create_router as backbone_router
from services.caller import create_router as caller_router
from services.planner import create_router as planner_router
from services.summarizer import create_router as summarizer_router
from support.orchestrator_world import surroundings
from support.role_apps import application, role_host
from support.scripted_roles import Reply, call, decide, problem, say
from support.serving_on_loopback import serving
from support.willing_engine import WillingEngine

ROUTERS: dict[Role, MakeRouter] = {
    "planner": planner_router,
    "caller": caller_router,
    "summarizer": summarizer_router,
    "backbone": backbone_router,
}
SHARED: tuple[Role, ...] = ("planner", "caller", "summarizer")
# Serves one application with a data folder until the block ends; yields its address.
Serving = Callable[[Path], AbstractAsyncContextManager[str]]


@contextlib.asynccontextmanager
async def _role_service(role: Role, _: Path) -> AsyncIterator[str]:
    async with _ready(application(role, ROUTERS[role], WillingEngine())) as address:
        yield address


@contextlib.asynccontextmanager
async def _shared_roles(_: Path) -> AsyncIterator[str]:
    metrics = RoleMetrics("shared")
    parts = [
        (RoleContext(role_host(role, WillingEngine()), metrics.of_role(role), 64), ROUTERS[role]) for role in SHARED
    ]
    async with _ready(create_shared_application(parts)) as address:
        yield address


@contextlib.asynccontextmanager
async def _ready(app: FastAPI) -> AsyncIterator[str]:
    async with serving(app) as address:
        async with httpx.AsyncClient(base_url=address) as client:
            while (await client.get("/readyz")).status_code != 200:
                pass
        yield address


@contextlib.asynccontextmanager
async def _orchestrator(folder: Path) -> AsyncIterator[str]:
    async with surroundings(folder) as world:
        world.roles.planner, world.roles.caller, world.roles.summarizer = _plan, _call, lambda _: say("That is all.")
        async with world.orchestrator() as client:
            yield str(client.http.base_url)


APPLICATIONS: dict[str, Serving] = {
    "orchestrator": _orchestrator,
    "planner": partial(_role_service, "planner"),
    "caller": partial(_role_service, "caller"),
    "summarizer": partial(_role_service, "summarizer"),
    "backbone": partial(_role_service, "backbone"),
    "shared": _shared_roles,
}


def _plan(request: dict[str, Any]) -> Reply:
    """Up to two calls, then the answer or nothing; which of it follows from the instruction."""
    luck = zlib.crc32(repr(request["history"][0]).encode())
    calls = sum(turn["role"] == "caller" for turn in request["history"])
    if calls < luck % 3:
        return decide("The price is needed.", "caller")
    return decide("All is known.", "conclusion" if luck % 5 else "give up")


def _call(request: dict[str, Any]) -> Reply:
    tool = request["tools"][0]
    if not isinstance(tool["parameters"].get("properties"), dict):
        return problem("call-invalid", "the model wrote no call")
    arguments: dict[str, Any] = {"item": "lamp"} if "item" in tool["parameters"]["properties"] else {}
    return call(tool["name"], **arguments)


@contextlib.contextmanager
def application_running(name: str, folder: Path) -> Iterator[str]:
    """Run an application in its own event loop; yields its address."""
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(APPLICATIONS[name](folder)) as address:
        yield address
