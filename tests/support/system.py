"""The whole system for integration tests: real services over real HTTP, only the language models are scripted."""

from __future__ import annotations

import contextlib
import json
import socket
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
from support.processes import service_process, wait_ready
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
    """`python -m orchestrator` as a process; a client of its REST interface, a tool source registered."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {
        "ALPHA_UMI_PORT": str(port),
        "ALPHA_UMI_DATABASE_URL": f"sqlite:///{folder}/log.db",
        "ALPHA_UMI_PLANNER_URL": roles.planner,
        "ALPHA_UMI_CALLER_URL": roles.caller,
        "ALPHA_UMI_SUMMARIZER_URL": roles.summarizer,
        "ALPHA_UMI_ALLOW_LOOPBACK_TOOLS": "true",
        **{f"ALPHA_UMI_{name.upper()}": value for name, value in settings.items()},
    }
    address = f"http://127.0.0.1:{port}"
    with service_process("orchestrator", environment) as process:
        wait_ready(address, process, seconds=30)
        async with httpx.AsyncClient(base_url=address, timeout=30) as client:
            source = {"name": "stub", "kind": "openapi", "url": f"{tools}/openapi.json", "effect": "read"}
            (await client.post("/v1/tool-sources", json=source)).raise_for_status()
            yield client
