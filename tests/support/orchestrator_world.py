"""An orchestrator with scripted roles, a real tool API, and a real database."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI
from httpx_sse import ServerSentEvent, aconnect_sse

from orchestrator.app import create_app
from orchestrator.assembly import Orchestrator, assembled
from orchestrator.settings import OrchestratorSettings
from support.scripted_roles import ScriptedRoles
from support.serving_on_loopback import serving
from support.shop_api import Shop


@dataclass
class Client:
    """A client of a running orchestrator, the orchestrator itself, and its application."""

    http: httpx.AsyncClient
    orchestrator: Orchestrator
    app: FastAPI

    async def create(self, **body: Any) -> httpx.Response:
        """`POST /v1/trajectories`."""
        return await self.http.post("/v1/trajectories", json={"instruction": "What is it?"} | body)

    async def run(self, **body: Any) -> dict[str, Any]:
        """Create a trajectory and wait for its end."""
        response = await self.create(**body)
        assert response.status_code == 200, response.text
        result: dict[str, Any] = response.json()
        return result

    async def start(self, **body: Any) -> str:
        """Create a trajectory in the background. Returns its id."""
        response = await self.create(background=True, **body)
        assert response.status_code == 202, response.text
        return str(response.json()["id"])

    async def finished(self, trajectory_id: str) -> dict[str, Any]:
        """The trajectory, once its stream has ended."""
        events = await self.events(trajectory_id)
        assert events[-1].event == "trajectory.finished"
        result: dict[str, Any] = events[-1].json()
        return result

    async def events(self, trajectory_id: str, *, after: int | None = None) -> list[ServerSentEvent]:
        """Every event of a trajectory's stream, up to its end."""
        headers = {} if after is None else {"Last-Event-ID": str(after)}
        return await self.stream("GET", f"/v1/trajectories/{trajectory_id}/events", headers=headers)

    async def stream(self, method: str, path: str, **options: Any) -> list[ServerSentEvent]:
        """Every event of a stream; none if it has ended before (204)."""
        async with aconnect_sse(self.http, method, path, **options) as source:
            return [] if source.response.status_code == 204 else [event async for event in source.aiter_sse()]


@dataclass
class World:
    """Scripted roles and a tool API on loopback, and a folder for the database."""

    roles: ScriptedRoles
    shop: Shop
    roles_url: str
    shop_url: str
    folder: Path

    def settings(self, **changes: Any) -> OrchestratorSettings:
        """Settings of an orchestrator that uses these services."""
        return OrchestratorSettings(**self.environment() | changes)

    def environment(self) -> dict[str, Any]:
        """The settings as plain values."""
        sources = self.folder / "sources.json"
        sources.write_text(json.dumps({"sources": [self.shop.source(self.shop_url)]}))
        return {
            "database_url": f"sqlite:///{self.folder}/log.db",
            "planner_url": self.roles_url,
            "caller_url": self.roles_url,
            "summarizer_url": self.roles_url,
            "tool_sources": str(sources),
            "allow_loopback_tools": True,
        }

    @contextlib.asynccontextmanager
    async def orchestrator(self, **changes: Any) -> AsyncIterator[Client]:
        """A running orchestrator and its client."""
        async with assembled(self.settings(**changes)) as orchestrator:
            app = create_app(orchestrator)
            async with serving(app) as address, httpx.AsyncClient(base_url=address, timeout=30) as http:
                yield Client(http, orchestrator, app)


@contextlib.asynccontextmanager
async def surroundings(folder: Path) -> AsyncIterator[World]:
    """Serve the roles and the tool API until the block ends."""
    roles, shop = ScriptedRoles(), Shop()
    app = roles.application()
    app.mount("/shop", shop.application())
    async with serving(app) as address:
        yield World(roles, shop, address, f"{address}/shop", folder)
