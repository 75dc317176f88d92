"""The whole system for integration tests: real services over real HTTP, only the language models are scripted."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from starlette.types import ASGIApp

from alpha_umi.serving.scripted import Rule, ScriptedEngine
from services.caller import create_router as caller_router
from services.planner import create_router as planner_router
from services.summarizer import create_router as summarizer_router
from support.orchestrator_process import orchestrator_process
from support.role_apps import application, scripted
from support.serving_on_loopback import Serve

Json = dict[str, Any]


def call(name: str, arguments: Mapping[str, Any]) -> str:
    """A caller's text."""
    return f"Action: {name}\nAction Input: {json.dumps(arguments)}"


@dataclass
class Roles:
    """Addresses of the three role services, and the engines behind those that are scripted."""

    planner: str
    caller: str
    summarizer: str
    engines: dict[str, ScriptedEngine]


def serve_roles(
    serve: Serve,
    *,
    planner: Sequence[Rule],
    caller: Sequence[Rule] = (),
    summarizer: Sequence[Rule] | ASGIApp = (),
) -> Roles:
    """The three role services on loopback; a summarizer of another kind may stand in."""
    engines = {"planner": scripted(*planner), "caller": scripted(*caller)}
    if isinstance(summarizer, Sequence):
        engines["summarizer"] = scripted(*summarizer)
        last = serve(application("summarizer", summarizer_router, engines["summarizer"]))
    else:
        last = serve(summarizer)
    return Roles(
        serve(application("planner", planner_router, engines["planner"])),
        serve(application("caller", caller_router, engines["caller"])),
        last,
        engines,
    )


@contextlib.asynccontextmanager
async def orchestrated(roles: Roles, tools: str, folder: Path, **settings: str) -> AsyncIterator[httpx.AsyncClient]:
    """An orchestrator as a process of its own; a client of its REST interface, a tool source registered."""
    values = {
        "database_url": f"sqlite:///{folder}/log.db",
        "planner_url": roles.planner,
        "caller_url": roles.caller,
        "summarizer_url": roles.summarizer,
        "allow_loopback_tools": "true",
        **settings,
    }
    with orchestrator_process(values) as running:
        async with httpx.AsyncClient(base_url=running.address, timeout=30) as client:
            async with asyncio.timeout(30):
                while (await client.get("/readyz")).status_code != 200:
                    await asyncio.sleep(0.02)
            source = {"name": "stub", "kind": "openapi", "url": f"{tools}/openapi.json", "effect": "read"}
            (await client.post("/v1/tool-sources", json=source)).raise_for_status()
            yield client
