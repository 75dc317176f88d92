"""Serve applications for real on loopback, in a thread or in the event loop of a test."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, cast

from anyio.from_thread import start_blocking_portal
from starlette.types import ASGIApp

from alpha_umi.web.connections import MAX_CONNECTIONS
from alpha_umi.web.server import Server, server_config

Serve = Callable[[ASGIApp], str]


class _Server(Server):
    """Ends at once when it is stopped; uvicorn itself looks ten times a second. Signals belong to the test runner."""

    def __init__(self, app: ASGIApp, max_connections: int) -> None:
        super().__init__(
            server_config(app, grace_s=1, max_connections=max_connections, web_sockets=True), cast(Any, None)
        )
        self._stopped = asyncio.Event()

    async def main_loop(self) -> None:
        while not self._stopped.is_set():
            self.check_connections()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopped.wait(), 1)

    def stop(self) -> None:
        self._stopped.set()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Raise where uvicorn would end the process."""
        try:
            await super().startup(sockets)
        except SystemExit as error:
            raise RuntimeError("the application did not start") from error

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextlib.asynccontextmanager
async def serving(
    app: ASGIApp, *, port: int = 0, abrupt: bool = False, max_connections: int = MAX_CONNECTIONS
) -> AsyncIterator[str]:
    """An application's address in this event loop, until the block ends; at a free port unless one is given.

    An `abrupt` end cuts every connection, as the end of a process does.
    """
    with socket.socket(proto=socket.IPPROTO_TCP) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(("127.0.0.1", port))
        server = _Server(app, max_connections)
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
            server.stop()
            await task


@contextlib.contextmanager
def served(app: ASGIApp) -> Iterator[str]:
    """An application's address in an event loop of its own thread, until the block ends."""
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(serving(app)) as address:
        yield address


async def until(condition: Callable[[], bool], *, seconds: float = 10) -> None:
    """Wait until something is so; an error if it is not within `seconds`."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)
