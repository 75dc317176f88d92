"""Role services around a scripted engine, in process."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import httpx
from fastapi import FastAPI

from alpha_umi.roles.template import PlannerLabel, load_any_template
from alpha_umi.roles.turns import Role
from alpha_umi.serving.application import create_role_application
from alpha_umi.serving.assembly import MakeRouter, RoleContext
from alpha_umi.serving.engine import Engine
from alpha_umi.serving.host import Canary, RoleHost, ServedModel
from alpha_umi.serving.manifest import ModelManifest
from alpha_umi.serving.metrics import RoleMetrics
from alpha_umi.serving.scripted import CANARY, Rule, ScriptedEngine

CANARY_PROMPT = "What is the capital of France?"


def scripted(*rules: Rule, context: int = 4_096) -> ScriptedEngine:
    """An engine that passes the canary and then follows the rules."""
    return ScriptedEngine([Rule([CANARY], when=CANARY_PROMPT), *rules], context=context)


def role_host(
    role: Role,
    engine: Engine,
    *,
    canary: tuple[str, str] = (CANARY_PROMPT, CANARY),
    on_lost: Callable[[], None] = lambda: None,
    manifest: ModelManifest | None = None,
    planner_label: PlannerLabel = "assistant",
    template: str = "toolbench",
    thinking: bool = False,
) -> RoleHost:
    """A host around an engine, with the published template unless another one is named."""
    described = load_any_template(template)
    model = ServedModel(role, "scripted", described, Canary(*canary), planner_label, manifest, thinking=thinking)
    return RoleHost(engine, model, on_lost=on_lost)


def application(
    role: Role,
    make_router: MakeRouter,
    engine: Engine,
    *,
    answer_tokens: int = 64,
    keys: Sequence[str] = (),
    **options: Any,
) -> FastAPI:
    """A role service around an engine; `options` are those of `role_host`."""
    host = role_host(role, engine, **options)
    context = RoleContext(host, RoleMetrics(role), answer_tokens)
    return create_role_application(context, make_router, keys=keys)


@contextlib.asynccontextmanager
async def client_of(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an application that is ready."""
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://localhost") as client,
    ):
        while (await client.get("/readyz")).status_code != 200:
            await asyncio.sleep(0)  # an application in process answers without ever giving way
        yield client
