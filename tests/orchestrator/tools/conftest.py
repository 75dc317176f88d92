"""Documents and servers that the tests of the tools share."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult
from support.openapi_documents import openapi_document

from orchestrator.tools.egress import Egress

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
RawServer = Callable[[Handler], Awaitable[str]]


@pytest.fixture
async def egress() -> AsyncIterator[Egress]:
    """An egress that allows loopback."""
    async with Egress(allow_loopback=True) as way_out:
        yield way_out


@pytest.fixture
async def raw_server() -> AsyncIterator[RawServer]:
    """Start a server with a custom handler per connection, called after the request's head."""
    servers: list[asyncio.Server] = []
    connections: set[asyncio.Task[None]] = set()

    async def start(handler: Handler) -> str:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                    await reader.readuntil(b"\r\n\r\n")
                    await handler(reader, writer)
            finally:
                writer.close()
                with contextlib.suppress(ConnectionError):
                    await writer.wait_closed()

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            connections.add(asyncio.create_task(handle(reader, writer)))

        server = await asyncio.start_server(accept, "127.0.0.1", 0)
        servers.append(server)
        return f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"

    yield start
    for server in servers:
        server.close()
    for connection in connections:
        connection.cancel()
    await asyncio.gather(*connections, return_exceptions=True)


class TableResolver(AbstractResolver):
    """A resolver with a table: one list of addresses per lookup, then the last one; numbers as libc parses them."""

    def __init__(self, table: dict[str, list[list[str]]]) -> None:
        self.table = table
        self.lookups: list[str] = []

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        self.lookups.append(host)
        if host not in self.table:
            infos = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
            return [_result(host, str(info[4][0]), port) for info in infos]
        answers = self.table[host]
        return [_result(host, address, port) for address in (answers.pop(0) if len(answers) > 1 else answers[0])]

    async def close(self) -> None:
        return None


def _result(name: str, address: str, port: int) -> ResolveResult:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return ResolveResult(hostname=name, host=address, port=port, family=family, proto=0, flags=socket.AI_NUMERICHOST)


@pytest.fixture
def table_resolver() -> Callable[[dict[str, list[list[str]]]], TableResolver]:
    return TableResolver


def minimal(paths: dict[str, Any] | None = None, *, version: str = "3.1.0", **more: Any) -> dict[str, Any]:
    """A valid document."""
    usual = {"/things": {"get": {"operationId": "read", "responses": {"200": {"description": "ok"}}}}}
    more = {"servers": [{"url": "http://api.example/v1"}], **more}
    return openapi_document(usual if paths is None else paths, version=version, **more)


@pytest.fixture
def document() -> Callable[..., dict[str, Any]]:
    return minimal
