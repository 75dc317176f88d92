"""Serve applications with uvicorn in the test's own event loop, on ports that the system chooses."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator

import uvicorn
from starlette.types import ASGIApp


class _QuietServer(uvicorn.Server):
    """Ends when told, without uvicorn's polling."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.told = asyncio.Event()

    async def main_loop(self) -> None:
        """Serve until told to end."""
        await self.told.wait()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals belong to the test runner."""
        yield


@contextlib.asynccontextmanager
async def serving(app: ASGIApp, *, port: int = 0, abrupt: bool = False) -> AsyncIterator[str]:
    """An application's address, until the block ends; at a port of the system's choice unless one is given.

    An `abrupt` end cuts every connection, as the end of a process does.
    """
    with socket.socket(proto=socket.IPPROTO_TCP) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(("127.0.0.1", port))
        config = uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=1, lifespan="on")
        server = _QuietServer(config)
        task = asyncio.create_task(server.serve(sockets=[listening]))
        while not server.started:
            if task.done():
                await task
            await asyncio.sleep(0.005)
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            for connection in list(server.server_state.connections) if abrupt else ():
                connection.transport.abort()
            server.told.set()
            await task
