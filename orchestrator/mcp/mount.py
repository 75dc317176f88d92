"""`/mcp` without the official SDK, which is imported at the first request: it takes half a second and 15 MB."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from importlib import import_module

from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from orchestrator.assembly import Orchestrator


class McpMount:
    """An ASGI application for one path. `lifespan` must be entered before the first request."""

    def __init__(self, orchestrator: Orchestrator) -> None:
        self._orchestrator = orchestrator
        self._wanted = asyncio.Event()
        self._closing = asyncio.Event()

    @contextlib.asynccontextmanager
    async def lifespan(self, _: FastAPI) -> AsyncIterator[None]:
        """Serve until the block ends, which ends all sessions."""
        self._endpoint: asyncio.Future[ASGIApp] = asyncio.get_running_loop().create_future()
        serving = asyncio.create_task(self._serve())
        try:
            yield
        finally:
            self._wanted.set()
            self._closing.set()
            await serving

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request. Raises `ServiceError`."""
        self._wanted.set()
        endpoint = await asyncio.shield(self._endpoint)
        await endpoint(scope, receive, send)

    async def _serve(self) -> None:
        """One task begins and ends the sessions, as the SDK demands."""
        await self._wanted.wait()
        if self._closing.is_set():
            return
        try:
            module = await asyncio.to_thread(import_module, "orchestrator.mcp.endpoint")
            endpoint = module.McpEndpoint(self._orchestrator)
            async with endpoint.lifespan():
                self._endpoint.set_result(endpoint)
                await self._closing.wait()
        except Exception as error:
            if self._endpoint.done():
                raise
            self._endpoint.set_exception(error)
