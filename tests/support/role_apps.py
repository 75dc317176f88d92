"""Role services around a scripted engine, in process."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import httpx
from fastapi import FastAPI

from alpha_umi.roles.template import load_template
from alpha_umi.roles.turns import RoleName
from alpha_umi.serving.application import create_role_application
from alpha_umi.serving.context import MakeRouter, RoleContext
from alpha_umi.serving.host import Canary, RoleHost, ServedModel
from alpha_umi.serving.metrics import RoleMetrics
from alpha_umi.serving.scripted import CANARY, Rule, ScriptedEngine

CANARY_PROMPT = "What is the capital of France?"


def scripted(*rules: Rule, context: int = 4_096) -> ScriptedEngine:
    """An engine that passes the canary and then follows the rules."""
    return ScriptedEngine([Rule([CANARY], when=CANARY_PROMPT), *rules], context=context)


def application(role: RoleName, make_router: MakeRouter, engine: ScriptedEngine, **options: Any) -> FastAPI:
    """A role service around a scripted engine."""
    model = ServedModel(role, "scripted", load_template("toolbench"), Canary(CANARY_PROMPT, CANARY))
    host = RoleHost(engine, model, on_lost=options.pop("on_lost", lambda: None))
    context = RoleContext(host, RoleMetrics(role), options.pop("answer_tokens", 64))
    return create_role_application(context, make_router, **options)


@contextlib.asynccontextmanager
async def client_of(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an application that is ready."""
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://role") as client,
    ):
        while (await client.get("/readyz")).status_code != 200:
            pass
        yield client
