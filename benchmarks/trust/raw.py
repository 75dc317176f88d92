"""Clients and servers that speak HTTP byte by byte."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, cast

from benchmarks.trust.process import Process

Handler = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]


@dataclass(frozen=True)
class Connection:
    """An open connection to a process."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def close(self) -> None:
        """Close it without waiting."""
        self.writer.close()

    async def send(self, data: bytes) -> bool:
        """Send bytes. False once the other side has closed."""
        try:
            self.writer.write(data)
            async with asyncio.timeout(5):
                await self.writer.drain()
        except (OSError, TimeoutError):
            return False
        return not self.reader.at_eof()

    async def closed_within(self, seconds: float) -> bool:
        """Whether the other side closes within a time. What it sends is read."""
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(seconds):
                while await self.reader.read(65_536):
                    pass
                return True
        return self.reader.at_eof()


async def open_request(process: Process, head: bytes) -> Connection:
    """A connection that has sent `head`, and reads nothing by itself."""
    reader, writer = await asyncio.open_connection("127.0.0.1", process.port, limit=1_024)
    connection = Connection(reader, writer)
    await connection.send(head)
    return connection


@contextlib.asynccontextmanager
async def raw_server(handler: Handler) -> AsyncIterator[str]:
    """A server that gives each request's head to `handler`, which writes what it likes; its address."""
    running: set[asyncio.Task[Any]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        running.add(cast(asyncio.Task[Any], asyncio.current_task()))
        # Not passed on: the task is the server's, which reports what its tasks raise.
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while True:
                await handler(await reader.readuntil(b"\r\n\r\n"), writer)
                await writer.drain()
        writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


def response(body: bytes, *, status: str = "200 OK", media_type: str = "application/json", head: str = "") -> bytes:
    """A complete HTTP response."""
    length = f"content-length: {len(body)}\r\n"
    return f"HTTP/1.1 {status}\r\ncontent-type: {media_type}\r\n{head}{length}\r\n".encode() + body
