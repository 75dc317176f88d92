"""A client on a plain socket, which can send what no HTTP client would: half requests, endless heads, slow bodies."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

GET = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"


class RawConnection:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def send(self, data: bytes) -> bool:
        """Send; False if the server has closed the connection."""
        try:
            self._writer.write(data)
            await self._writer.drain()
        except ConnectionError:
            return False
        return not self._writer.is_closing()

    async def answer(self) -> bytes:
        """What the server sends next, at least its first line; empty if it has closed the connection."""
        with contextlib.suppress(ConnectionError):
            return await self._reader.read(2**16)
        return b""

    async def rest(self, *, seconds: float = 30) -> bytes:
        """Everything until the server closes the connection."""
        received = b""
        async with asyncio.timeout(seconds):
            while part := await self.answer():
                received += part
        return received


@contextlib.asynccontextmanager
async def raw_connection(address: str) -> AsyncIterator[RawConnection]:
    """A connection to the server at a URL."""
    url = urlsplit(address)
    reader, writer = await asyncio.open_connection(url.hostname, url.port)
    try:
        yield RawConnection(reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


def status_of(answer: bytes) -> int | None:
    """The status of an answer; None if there is none."""
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.1 ") else None
